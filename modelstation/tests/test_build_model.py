import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.management.commands import build_model
from modelstation.management.commands.build_model import _pairs


def chat(system, text, answer):
    turns = [("system", system), ("user", text), ("assistant", answer)]
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_pairs_and_chats_are_read_alike(tmp_path):
    pairs = write(tmp_path / "pairs.jsonl", [{"input": "hi", "output": "greeting"}])
    chats = write(tmp_path / "chats.jsonl", [chat("Label the message.", "hi", "greeting")])
    assert _pairs(pairs) == _pairs(chats) == [{"input": "hi", "output": "greeting"}]


def test_system_turns_that_differ_from_row_to_row_join_the_input(tmp_path):
    rows = [chat(f"Write section {n}.", "the talk", "the note") for n in range(20)]
    pairs = _pairs(write(tmp_path / "rows.jsonl", rows))
    assert pairs[3]["input"] == "Write section 3.\n\nthe talk"


def test_a_bad_row_is_refused_with_its_line(tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"input": "a", "output": "b"}, {"input": "a"}])
    with pytest.raises(UserFacingError, match=r"rows\.jsonl, line 2"):
        _pairs(path)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"requirement": "@/nowhere/at/all.txt"}, "cannot be read"),
        ({"requirement": "short"}, "too short to work from"),
        ({"base": "unknown-7b"}, "not on this installation"),
        ({"rows": 3}, "Rows must be between"),
        ({"org": "nobody"}, "no organisation"),
        ({"intent_edits": Path("/nowhere/edits.json")}, "corrections cannot be read"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(org, options, message):
    given = {"requirement": "Label each message with one of our intents.", "org": org.slug}
    with pytest.raises(CommandError, match=message):
        call_command("build_model", **given | options)


@pytest.mark.django_db
def test_what_is_understood_is_printed_first_with_the_corrections_of_a_file(
    org, tmp_path, monkeypatch, capsys
):
    testing.make_base()
    monkeypatch.setattr(build_model, "_build", lambda model, console: model)
    edits = tmp_path / "edits.json"
    edits.write_text('{"labels": ["spam", "ham"], "language": "de"}')
    with pytest.raises(SystemExit):
        call_command(
            "build_model", requirement=testing.REQUIREMENT, org=org.slug, intent_edits=edits
        )
    printed = " ".join(capsys.readouterr().out.split())
    assert "one of 2 labels: spam, ham." in printed
    assert "Inputs are in German." in printed
    assert CustomModel.objects.get().intent_edits == json.loads(edits.read_text())


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["[1]", '{"labels": ["one"]}', "{"])
def test_corrections_that_make_no_sense_are_refused(org, tmp_path, text):
    edits = tmp_path / "edits.json"
    edits.write_text(text)
    with pytest.raises(CommandError, match="orrections|intent_edits|labels"):
        call_command(
            "build_model", requirement=testing.REQUIREMENT, org=org.slug, intent_edits=edits
        )


@pytest.mark.django_db
def test_own_rows_give_examples_and_labels_and_wait_for_the_build(org, tmp_path, monkeypatch):
    testing.make_base()
    monkeypatch.setattr(build_model, "_build", lambda model, console: model)
    path = tmp_path / "tickets.csv"
    lines = [f"my drain {n} is blocked;Plumbing\nno light in hall {n};Electrical" for n in range(9)]
    path.write_text("Beschreibung;Kategorie\n" + "\n".join(lines))
    with pytest.raises(SystemExit):
        call_command(
            "build_model",
            requirement="Sort what our tenants write to us.",
            org=org.slug,
            data=[path],
            no_corpus=True,
        )
    model = CustomModel.objects.get()
    assert model.intent_edits["labels"] == ["Electrical", "Plumbing"]
    assert (len(model.examples), model.search_corpus) == (2, False)
    assert model.imports.get().state == "running"


@pytest.mark.django_db
def test_columns_of_own_rows_that_are_not_clear_are_said_by_an_option(org, tmp_path, monkeypatch):
    testing.make_base()
    monkeypatch.setattr(build_model, "_build", lambda model, console: model)
    path = tmp_path / "rows.csv"
    path.write_text("a1,a2\nsome words here,more words there\nand some words,and more words\n")
    given = {"requirement": "Write each sentence in a formal way.", "org": org.slug, "data": [path]}
    with pytest.raises(CommandError, match="Choose them among: a1, a2"):
        call_command("build_model", **given)
    with pytest.raises(SystemExit):
        call_command("build_model", columns="a1,a2", **given)
    assert CustomModel.objects.get().imports.get().options["assistant"] == "a2"


UNCLEAR = {
    "requirement": "Our shop gets about 400 mails a day and we sort them by hand.",
    "objective": "Classify each e-mail into one of four categories.",
    "policy": "Answer with exactly one of these labels: order, return, complaint, other.",
}


@pytest.fixture
def unclear(tmp_path, monkeypatch):
    testing.make_base()
    monkeypatch.setattr(build_model, "_build", lambda model, console: model)
    answers = ("order", "return", "Praise")
    pairs = [{"input": f"mail {n}", "output": answer} for n, answer in enumerate(answers)]
    return UNCLEAR | {"examples": write(tmp_path / "pairs.jsonl", pairs)}


@pytest.mark.django_db
def test_what_is_in_doubt_is_asked_and_nothing_is_built(org, unclear):
    with pytest.raises(CommandError, match="“Praise”") as refused:
        call_command("build_model", **unclear, org=org.slug)
    assert refused.value.returncode == 3
    assert '{"labels": ["order", "return", "complaint", "other"]}' in str(refused.value)
    assert not CustomModel.objects.exists()


@pytest.mark.django_db
def test_yes_builds_from_what_is_understood(org, unclear):
    with pytest.raises(SystemExit):
        call_command("build_model", **unclear, org=org.slug, yes=True)
    assert CustomModel.objects.get().intent_edits == {}
