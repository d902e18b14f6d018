"""Every file of `dirty` ends as its expectations say: through the reader, and through the database.

Small twins of these cases, which need no data, are in test_importing, test_flags,
test_pipeline_near_duplicates, test_pipeline_quality and modelstation/lm/tests/test_chat.
"""

import gzip
import json
import tracemalloc
from collections import Counter
from itertools import islice

import pytest
from django.conf import settings

from distillation.imports.loading import file_origin, load
from distillation.imports.reading.errors import ImportRefused, RowError
from distillation.imports.reading.rows import ReadOptions, inspect_file, read_examples
from distillation.imports.reading.shapes import ColumnMapping
from distillation.imports.reading.streams import Limits
from distillation.models import CorpusExample, ImportRun, SourceDataset
from distillation.pipeline.choose.leakage import LeakageIndex
from distillation.pipeline.choose.near_duplicates import near_duplicate_groups, normal_form
from distillation.pipeline.licenses import LicensePolicy
from distillation.pipeline.quality import QualityRow, conflicts, quality_report
from distillation.pipeline.text import embedding_text, input_text
from distillation.pipeline.types import Candidate, Example
from distillation.tests.pipeline.rows import WordsEmbedder
from modelstation.lm.chat import load_renderer
from modelstation.lm.embedding import load_embedder
from modelstation.testing import shared_data

BY_NORMAL_FORM = ("upper", "spaces", "punct", "zero_width", "emoji")
ACCEPTED = {
    "01_near_duplicates.jsonl": 200,
    "02_test_leakage.jsonl": 168,
    "03_empty_rows.jsonl": 13,
    "04_html_rows.jsonl": 42,
    "05_wrong_labels.jsonl": 200,
    "06_prompt_injection.jsonl": 32,
    "07_huge_rows.jsonl.gz": 10,
    "10_bom_crlf_no_final_newline.jsonl": 10,
    "11_broken_json.jsonl": 3,  # its three last good rows say the same in different shapes
    "12_invalid_utf8_and_nul.jsonl": 6,
    "13_alpaca_array.json": 21,
    "14_sharegpt_conversations.jsonl": 17,
    "15_prompt_completion.parquet": 30,
    "19_pii_conflicts_dup_ids.jsonl": 18,  # and an exact repeat
}


class CheapEmbedder(WordsEmbedder):
    def embed(self, texts, *, on_batch=None):
        if on_batch:
            on_batch(len(texts))
        return super().embed(texts)

    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]


@pytest.fixture
def dirty():
    return shared_data() / "dirty"


@pytest.fixture
def loaded(dirty, db):
    """Load a file as a user's upload is loaded; return its rows by their id."""

    def loaded(name, **options):
        run = load(file_origin(dirty / name, ReadOptions(**options)), embedder=CheapEmbedder)
        rows = {row.external_id: row for row in CorpusExample.objects.all()}
        assert len(rows) == CorpusExample.objects.count(), "two rows have one id"
        return run, rows

    return loaded


def read(path, **options):
    rows = list(read_examples(path, ReadOptions(**options)))
    good = [row for row in rows if not isinstance(row, RowError)]
    return good, {row.line: row for row in rows if isinstance(row, RowError)}


def key_of(dirty, name):
    return {row["id"]: row for row in json.loads((dirty / "keys" / name).read_text())}


def raw_rows(dirty, name):
    return {row["id"]: row for row in map(json.loads, (dirty / name).open(encoding="utf-8"))}


# --- all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_file_is_stored_row_by_row_and_a_second_time_adds_nothing(loaded, dirty, name):
    first, rows = loaded(name)
    assert (first.rows_added, len(rows)) == (ACCEPTED[name], ACCEPTED[name])
    assert first.rows_read == first.rows_added + first.rows_duplicate + first.rows_rejected
    assert all(error["line"] and error["message"] and error["hint"] for error in first.errors)
    assert len(first.errors) == first.rows_rejected
    again, _ = loaded(name)
    assert again.rows_added == 0
    assert CorpusExample.objects.count() == ACCEPTED[name]
    assert ImportRun.objects.count() == 1


# --- 01 -------------------------------------------------------------------------------------------


def test_01_variants_of_a_question_are_grouped_by_form_or_by_likeness_with_no_other(dirty):
    rows, key = (
        raw_rows(dirty, "01_near_duplicates.jsonl"),
        key_of(dirty, "01_near_duplicates.json"),
    )
    texts = {name: row["messages"][0]["content"] for name, row in rows.items()}
    groups = dict(zip(texts, near_duplicate_groups(list(texts.values())), strict=True))
    grouped = Counter(
        (result["kind"], groups[name] == groups[result["of"]]) for name, result in key.items()
    )
    assert not any(count for (_, same), count in grouped.items() if not same), grouped
    for name, result in key.items():
        if result["kind"] in BY_NORMAL_FORM:
            assert normal_form(texts[name]) == normal_form(texts[result["of"]]), name
    originals = {name for name in rows if name.endswith("-0")}
    assert len({groups[name] for name in originals}) == len(originals) == 40


# --- 02 -------------------------------------------------------------------------------------------


def held_out_rows(dirty, named):
    """Those that the file repeats, and a hundred more of each set: all would take a minute more."""
    for path in sorted((dirty.parent / "eval").glob("*.jsonl")):
        if ".fixtures." not in path.name:
            for number, line in enumerate(path.open(encoding="utf-8")):
                row = json.loads(line)
                if number < 100 or row["id"] in named:
                    yield Example(input_text(row["messages"]), row["messages"][-1]["content"])


@pytest.mark.long
def test_02_rows_of_the_held_out_sets_are_blocked_and_clean_ones_are_not(dirty):
    rows, key = raw_rows(dirty, "02_test_leakage.jsonl"), key_of(dirty, "02_test_leakage.json")
    held_out = list(held_out_rows(dirty, {row["eval_id"] for row in key.values()}))
    embed = load_embedder().embed
    vectors = embed([embedding_text(row["messages"]) for row in rows.values()])
    candidates = [
        Candidate(name, "s", "s", "", "MIT", name, tuple(row["messages"]), vector)
        for (name, row), vector in zip(rows.items(), vectors, strict=True)
    ]
    index = LeakageIndex(held_out, embed([row.input for row in held_out]))
    blocked = dict(zip(rows, index.leaks(candidates), strict=True))
    result = Counter(key.get(name, {"kind": "clean"})["kind"] for name, no in blocked.items() if no)
    assert result == {"exact": 12, "case_and_punct": 12, "answer_only_differs": 12, "embedded": 12}


# --- 03, 04 ---------------------------------------------------------------------------------------


def test_03_of_empty_rows_only_the_ten_good_ones_pass_without_a_remark(dirty):
    good, errors = read(dirty / "03_empty_rows.jsonl", license="MIT")
    flags = {row.external_id: row.flags for row in good}
    unremarked = {name for name, result in flags.items() if not result}
    assert len(unremarked) == 10
    assert all(name.startswith("ok-") for name in unremarked)
    assert {name: flags[name] for name in ("e-12", "e-13", "e-14")} == dict.fromkeys(
        ("e-12", "e-13", "e-14"), frozenset({"low_content"})
    )
    lines = (dirty / "03_empty_rows.jsonl").read_text(encoding="utf-8").split("\n")
    bad = [n for n, line in enumerate(lines, 1) if '"e-' in line or line in ("{}", "[]", "null")]
    remarked = [n for n in bad if any(f'"e-{k}"' in lines[n - 1] for k in (12, 13, 14))]
    assert sorted(errors) == sorted(set(bad) - set(remarked))
    assert all(error.message and error.hint for error in errors.values())


def test_04_markup_is_flagged_and_can_be_cleaned_where_it_is_not_the_content(dirty):
    path = dirty / "04_html_rows.jsonl"
    stored = raw_rows(dirty, path.name)
    as_it_is = {row.external_id: row for row in read(path)[0]}
    cleaned = {row.external_id: row for row in read(path, clean_markup=True)[0]}
    for name, row in as_it_is.items():
        assert row.messages == stored[name]["messages"]
        is_code = name.startswith("html-code")
        assert ("contains_markup" in row.flags) is not is_code, name
        if is_code:
            assert cleaned[name].messages == row.messages
        else:
            text = cleaned[name].messages[0]["content"]
            assert not set("<>") & set(text), text
            assert "alert" not in text
            assert "example.invalid" not in text
            assert "&lt;" not in text
            assert len(text) > 10
    assert sum("contains_markup" in row.flags for row in as_it_is.values()) == 40


def test_04_no_page_shows_a_live_tag_of_these_rows(loaded, as_bob, org):
    loaded("04_html_rows.jsonl")
    source = SourceDataset.objects.get()
    for path in ("", "?flag=contains_markup", "quality/"):
        page = as_bob.get(f"/o/{org.slug}/sources/{source.id}/{path}").content.decode()
        for live in (
            "<script>fetch",
            "<img src=x",
            'href="javascript',
            '<div class="msg"',
            "<td>The",
        ):
            assert live not in page
    assert (
        "&lt;script&gt;fetch" in as_bob.get(f"/o/{org.slug}/sources/{source.id}/").content.decode()
    )


# --- 05 -------------------------------------------------------------------------------------------


def labelled_rows(dirty, embed):
    rows = list(raw_rows(dirty, "05_wrong_labels.jsonl").values())
    vectors = embed([embedding_text(row["messages"]) for row in rows])
    given = [
        QualityRow(input_text(row["messages"]), row["messages"][-1]["content"].strip(), vector)
        for row, vector in zip(rows, vectors, strict=True)
    ]
    return [row["id"] for row in rows], given


def test_05_answers_outside_the_label_set_are_named_with_their_reason(dirty):
    with gzip.open(dirty.parent / "corpus" / "banking77.jsonl.gz", "rt", encoding="utf-8") as lines:
        labels = sorted({json.loads(line)["task"] for line in lines})
    ids, rows = labelled_rows(dirty, WordsEmbedder().embed)
    tampered = {
        name: row
        for name, row in key_of(dirty, "05_wrong_labels.json").items()
        if row["kind"] != "other_label"
    }
    reasons = {"spelling_variant": "spelling_variant", "truncated_label": "truncated",
               "sentence_instead_of_label": "sentence"}  # fmt: skip
    wanted = {name: (reasons[row["kind"]], row["true"]) for name, row in tampered.items()}
    assert len(wanted) == 19
    known = quality_report(rows, labels).label_problems
    assert {ids[p.row]: (p.reason, p.meant) for p in known} == wanted

    # Without the set it is learned from the file, in which one whole label is missing.
    learned = quality_report(rows).label_problems
    assert wanted.keys() <= {ids[p.row] for p in learned}
    named = {ids[p.row]: (p.reason, p.meant) for p in learned if p.reason != "given_once"}
    assert named.items() <= wanted.items()
    assert len(named) == 18


@pytest.mark.slow
def test_05_at_least_half_of_the_swapped_labels_are_among_the_forty_most_doubtful(dirty):
    key = key_of(dirty, "05_wrong_labels.json")
    swapped = {name for name, row in key.items() if row["kind"] == "other_label"}
    ids, rows = labelled_rows(dirty, load_embedder().embed)
    doubtful = [ids[doubt.row] for doubt in quality_report(rows).disagreements[:40]]
    result = len(swapped & set(doubtful))
    assert len(swapped) == 25
    assert result >= 13, f"{result} of 25 among the first 40"


# --- 06 -------------------------------------------------------------------------------------------


def test_06_text_that_gives_orders_is_stored_letter_for_letter_and_obeyed_by_nobody(loaded, dirty):
    _, rows = loaded("06_prompt_injection.jsonl")
    stored = raw_rows(dirty, "06_prompt_injection.jsonl")
    assert {name: row.messages for name, row in rows.items()} == {
        name: row["messages"] for name, row in stored.items()
    }
    assert {row.license for row in rows.values()} == {"CC-BY-4.0"}
    assert "inj-ok-1" in rows


def test_06_nobody_writes_a_special_token_by_spelling_it(dirty):
    folder = settings.MODELS_DIR / "smollm2-135m-instruct"
    if not (folder / "tokenizer.json").is_file():
        pytest.skip("The real base is not set up: run `make setup`.")
    renderer = load_renderer(folder)
    plain = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    specials = Counter(specials_of(renderer, plain))
    for name, row in raw_rows(dirty, "06_prompt_injection.jsonl").items():
        assert Counter(specials_of(renderer, row["messages"])) == specials, name


def specials_of(renderer, messages):
    known = set(renderer._special_ids.values())
    return [token for token in renderer.render_training(messages)[0] if token in known]


# --- 07, 20b --------------------------------------------------------------------------------------


def test_07_rows_past_the_limit_are_left_out_in_little_memory(dirty):
    tracemalloc.start()
    good, errors = read(dirty / "07_huge_rows.jsonl.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.external_id[:3] for row in good] == ["ok-"] * 10
    assert [error.code for error in errors.values()] == ["too_long", "too_long", "too_many_turns",
                                                         "too_long"]  # fmt: skip
    assert peak < 40_000_000


@pytest.mark.slow
def test_20b_a_small_file_that_expands_to_much_is_refused_before_it_has(dirty):
    with pytest.raises(ImportRefused) as refusal:
        inspect_file(dirty / "20b_expands_to_100mb.jsonl.gz", ReadOptions())
    assert refusal.value.code == "expands_too_far"


@pytest.mark.long
def test_20b_where_it_is_allowed_one_row_is_kept_of_90_000_and_memory_stays_flat(loaded, dirty):
    path, allowed = dirty / "20b_expands_to_100mb.jsonl.gz", Limits(expansion_ratio=1_000)
    run, rows = loaded(path.name, limits=allowed)
    assert (run.rows_added, run.rows_duplicate, len(rows)) == (1, 89_846, 1)
    tracemalloc.start()
    for _ in islice(read_examples(path, ReadOptions(limits=allowed)), 10_000):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


# --- 08, 10 to 17 ---------------------------------------------------------------------------------


def test_08_an_old_windows_file_is_read_in_its_own_letters_and_by_its_german_columns(dirty):
    path = dirty / "08_cp1252_semicolon.csv"
    good, errors = read(path, columns=ColumnMapping(user="Frage", assistant="Antwort"))
    text = "\n".join(row.messages[0]["content"] for row in good)
    assert (len(good), errors) == (20, {})
    for letter in "üÖÇçï€–“”é":
        assert letter in text
    assert "naïve façade; with a semicolon (3)" in text
    by_their_names, _ = read(path)
    assert [row.messages for row in by_their_names] == [row.messages for row in good]


def test_10_a_mark_at_the_start_and_returns_at_the_ends_of_lines_are_not_kept(loaded):
    _, rows = loaded("10_bom_crlf_no_final_newline.jsonl")
    assert all(name.startswith("ok-banking77") for name in rows)
    assert not any("\r" in json.dumps(row.messages) for row in rows.values())


def test_11_of_broken_lines_each_is_left_out_with_its_number_and_reason(dirty):
    good, errors = read(dirty / "11_broken_json.jsonl")
    assert [row.line for row in good] == [1, 6, 12, 15, 17]
    assert {line: error.code for line, error in errors.items()} == {
        2: "broken_json", 3: "broken_json", 4: "broken_json", 5: "broken_json",
        7: "duplicate_key", 8: "broken_json", 9: "not_an_object", 10: "not_an_object",
        11: "broken_json", 13: "turn_order", 14: "system_turn", 16: "not_text",
    }  # fmt: skip
    assert [[m["role"] for m in row.messages] for row in good[2:4]] == [["user", "assistant"]] * 2
    assert good[3].messages[0]["content"] == "a?"


def test_12_what_postgres_cannot_store_is_repaired_and_flagged_or_left_out(loaded):
    run, rows = loaded("12_invalid_utf8_and_nul.jsonl", license="MIT")
    assert [(error["line"], error["code"]) for error in run.errors] == [
        (2, "broken_utf8"),
        (7, "broken_json"),
    ]
    requested = {name: (row.messages[0]["content"], row.flags) for name, row in rows.items()}
    assert requested["nul"] == ("ab", ["control_characters_removed"])
    assert requested["lone"] == ("half \ufffd emoji", ["broken_characters_replaced"])
    assert requested["ctrl"] == ("bell  esc [31m red", ["control_characters_removed"])
    assert requested["mojibake"][1] == ["mojibake"]


def test_13_instruction_and_input_are_one_question(dirty):
    good, errors = read(dirty / "13_alpaca_array.json")
    assert (len(good), len(errors)) == (21, 2)
    assert good[0].messages[0]["content"].startswith("Name the support intent.\n\nIS there")


def test_14_a_conversation_is_kept_whole_up_to_its_last_answer(dirty):
    rows = {row.external_id: row for row in read(dirty / "14_sharegpt_conversations.jsonl")[0]}
    assert len(rows["sg-multi"].messages) == 4
    assert [m["content"] for m in rows["sg-ends-with-human"].messages] == ["hi", "hello"]
    assert "unanswered_last_turn_dropped" in rows["sg-ends-with-human"].flags


def test_15_null_and_empty_cells_are_left_out_and_other_columns_do_no_harm(dirty):
    good, errors = read(dirty / "15_prompt_completion.parquet")
    assert (len(good), {error.code for error in errors.values()}) == (30, {"empty"})
    assert len(errors) == 3


def test_17_a_file_that_is_no_parquet_is_refused_in_a_clear_sentence(dirty):
    with pytest.raises(ImportRefused, match="does not begin with PAR1.*Give it the ending"):
        inspect_file(dirty / "17_not_really_a.parquet", ReadOptions())


# --- 19 -------------------------------------------------------------------------------------------


def test_19_personal_data_is_flagged_by_kind_and_redacted_where_asked(loaded, dirty):
    _, rows = loaded("19_pii_conflicts_dup_ids.jsonl")
    kinds = {
        name: {flag.partition(":")[2] for flag in row.flags if flag.startswith("personal_data")}
        for name, row in rows.items()
    }
    assert {name: result for name, result in kinds.items() if result} == {
        "pii-1": {"card"},
        "pii-2": {"name", "email", "phone", "address"},
        "pii-3": {"iban"},
        "pii-4": {"key"},
        "pii-5": {"ssn", "birth_date"},
    }
    redacted, _ = read(dirty / "19_pii_conflicts_dup_ids.jsonl", redact=True)
    text = "\n".join(row.messages[0]["content"] for row in redacted)
    for secret in ("4111", "jane.roe", "7946", "GB82", "AKIA", "wJalr", "078-05", "1970", "Baker"):
        assert secret not in text


def test_19_three_answers_to_one_question_are_one_conflict(dirty):
    good, _ = read(dirty / "19_pii_conflicts_dup_ids.jsonl")
    vectors = WordsEmbedder().embed([input_text(row.messages) for row in good])
    given = [
        QualityRow(input_text(row.messages), row.messages[-1]["content"], vector)
        for row, vector in zip(good, vectors, strict=True)
    ]
    [conflict] = conflicts(given)
    assert [answer for answer, _ in conflict.answers] == [
        "card_arrival",
        "lost_or_stolen_card",
        "card_delivery_estimate",
    ]


def test_19_an_id_names_one_text_and_a_path_is_only_text(loaded):
    run, rows = loaded("19_pii_conflicts_dup_ids.jsonl")
    assert run.rows_duplicate == 1
    texts = {name: row.messages[0]["content"] for name, row in rows.items()}
    assert texts["same-id"] == "first text"
    [other] = [name for name, text in texts.items() if text == "second text"]
    assert other.startswith("same-id#")
    assert texts["7"] == "integer id"
    assert texts["../../etc/passwd"] == "path as id"
    [made] = [name for name, text in texts.items() if text == "no id at all"]
    assert len(made) == 16


def test_19_a_licence_that_is_missing_or_forbids_is_flagged_and_kept_out_by_the_policy(loaded):
    _, rows = loaded("19_pii_conflicts_dup_ids.jsonl")
    missing, forbids = rows["lic-1"], rows["lic-2"]
    assert (missing.license, missing.flags) == ("unknown", ["license_unknown"])
    assert forbids.flags == ["non_commercial_license"]
    assert not LicensePolicy("any").allows(missing.license)
    assert not LicensePolicy("permissive").allows(forbids.license)


def test_19_the_language_of_a_row_is_stored(loaded):
    _, rows = loaded("19_pii_conflicts_dup_ids.jsonl")
    assert [rows[name].language for name in ("conf-1", "lang-1", "lang-2", "lang-3")] == [
        "en", "es", "zh", "ar",
    ]  # fmt: skip
