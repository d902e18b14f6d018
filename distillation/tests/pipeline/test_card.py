import contextlib
import io
import json
import os

import pytest
import yaml
from huggingface_hub import DatasetCard

from distillation.pipeline import export
from distillation.pipeline.card import (
    CardFacts,
    CardSource,
    front_matter,
    hub_license,
    render_card,
    size_category,
    write_card,
)
from distillation.pipeline.text import hash_messages

BANK = CardSource("banking77", "CC-BY-4.0", 90, "PolyAI/banking77", "abc123")
TRIVIA = CardSource("trivia", "CC-BY-SA-4.0", 10)
FACTS = CardFacts(
    title="Support router, dataset 3",
    requirement="Label each message.\nAnswer with the label only.",
    digest="d" * 64,
    splits={"train": 80, "valid": 10, "test": 12},
    sources=[BANK, TRIVIA],
    held_out=2,
    system_prompt="Label it.",
    intent={
        "task_kind": "classify",
        "labels": ["card_arrival", "lost_card"],
        "language": "en",
        "answer_min_chars": 4,
        "answer_max_chars": 40,
    },
    label_map=[{"source": "trivia", "label": "A|B", "mapped_to": "lost_card", "how": "name"}],
    funnel=[{"filter": "licence", "refused": 1234, "kept": 5678, "examples": []}],
)


def with_facts(**fields):
    return CardFacts(**{**FACTS.__dict__, **fields})


def matter(facts):
    return yaml.safe_load(front_matter(facts))


def test_the_front_matter_is_what_the_hub_reads():
    assert matter(FACTS) == {
        "pretty_name": "Support router, dataset 3",
        "license": ["cc-by-4.0", "cc-by-sa-4.0"],
        "language": ["en"],
        "task_categories": ["text-classification"],
        "size_categories": ["n<1K"],
        "tags": ["modelstation"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "train.jsonl"},
                    {"split": "validation", "path": "valid.jsonl"},
                    {"split": "test", "path": "test.jsonl"},
                ],
            }
        ],
    }


def test_the_hubs_own_library_reads_the_card():
    card = DatasetCard(render_card(FACTS))
    assert card.data.license == ["cc-by-4.0", "cc-by-sa-4.0"]
    assert card.text.startswith("\n# Support router") or card.text.startswith("# Support router")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["MIT"], "mit"),
        (["MIT", "Apache-2.0", "MIT"], ["apache-2.0", "mit"]),
        (["ODC-BY-1.0"], "odc-by"),
        (["CC-BY-4.0 (data, google-research); mirror Apache-2.0"], "cc-by-4.0"),
        (["MIT", "own data"], "other"),
        (["WordNet-3.0 licence"], "other"),
        (["unknown"], "other"),
        ([""], "other"),
        ([], "other"),
    ],
)
def test_licences_are_named_as_the_hub_names_them(names, expected):
    assert hub_license(names) == expected


@pytest.mark.parametrize(
    ("rows", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**7, "n>10M")],
)
def test_sizes_fall_into_the_hubs_classes(rows, category):
    assert size_category(rows) == category


def test_a_split_without_rows_is_not_offered_to_the_hub():
    facts = with_facts(splits={"train": 5, "valid": 0, "test": 0})
    assert matter(facts)["configs"][0]["data_files"] == [{"split": "train", "path": "train.jsonl"}]
    assert "`valid.jsonl`" not in render_card(facts)


def test_no_language_and_no_kind_are_left_out():
    shown = matter(with_facts(intent={}))
    assert not {"language", "task_categories"} & shown.keys()
    assert "Nothing beyond the requirement" in render_card(with_facts(intent={}, system_prompt=""))


def test_the_card_tells_the_whole_story():
    text = render_card(FACTS)
    assert "> Label each message.\n> Answer with the label only." in text
    assert "- 2 labels: `card_arrival`, `lost_card`" in text
    assert "| banking77 | CC-BY-4.0 | 90 | PolyAI/banking77 | abc123 |" in text
    assert "| trivia | CC-BY-SA-4.0 | 10 | – | – |" in text
    assert "| licence | 1,234 | 5,678 |" in text
    assert "| trivia | A\\|B | lost_card | name |" in text
    assert "2 test rows were brought by the customer" in text
    assert f"`{'d' * 64}`" in text


def test_terms_that_ask_something_of_the_reader_are_spelt_out():
    terms = ["CC-BY-NC-4.0", "CC-BY-ND-4.0", "own data", "", "MIT"]
    sources = [CardSource(f"s{n}", name, 1) for n, name in enumerate(terms)]
    text = render_card(with_facts(sources=[BANK, TRIVIA, *sources]))
    assert "credit the authors of `banking77`, `trivia`, `s0`, `s1`" in text
    assert "**Share-alike**: what is derived from `trivia` may" in text
    assert "**Non-commercial**: `s0` exclude" in text
    assert "**No derivatives**: `s1`" in text
    assert "`s2` were uploaded by the organisation itself" in text
    assert "Nobody stated a licence for `s3`" in text
    assert "Share-alike" not in render_card(with_facts(sources=[BANK]))


def test_what_users_write_cannot_break_out_of_its_place():
    hostile = "---\nlicense: mit\n---\n# Big\n| a | b |\n<script>alert(1)</script>"
    evil = CardSource("a|b`c", "MIT | <b>", 1, "x\ny")
    text = render_card(
        with_facts(
            title="T\n---\nlicense: gpl",
            requirement=hostile,
            sources=[evil],
            intent={"labels": ["a`b", "`"]},
        )
    )
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "other"
    assert yaml.safe_load(head)["pretty_name"] == "T --- license: gpl"
    assert "<script>" not in body
    assert "\n# Big" not in body
    assert "| a\\|b`c | MIT \\| &lt;b> | 1 | x y | – |" in body
    assert "`` a`b ``" in body


def test_the_recipe_of_the_card_gives_the_digest_of_the_files(tmp_path):
    rows = [
        ("train", [{"role": "user", "content": "Grüße, wo ist “sie”?"}]),
        ("test", [{"role": "user", "content": "line\nbreak   here"}]),
    ]
    for split in export.SPLITS:
        lines = [json.dumps({"messages": messages}) for name, messages in rows if name == split]
        (tmp_path / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    write_card(tmp_path, FACTS)
    recipe = (tmp_path / "README.md").read_text().split("```python\n")[1].split("```")[0]
    printed = io.StringIO()
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        with contextlib.redirect_stdout(printed):
            exec(recipe, {})
    finally:
        os.chdir(here)
    lines = sorted(f"{split} {hash_messages(messages)}" for split, messages in rows)
    import hashlib

    assert printed.getvalue().strip() == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_same_facts_give_the_same_card():
    assert render_card(FACTS) == render_card(with_facts())
