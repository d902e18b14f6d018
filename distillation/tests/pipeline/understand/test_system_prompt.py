import json

import pytest
from tokenizers import Tokenizer

from distillation.pipeline.types import Example, IntentEdits, Requirement
from distillation.pipeline.understand.intent import understand
from distillation.pipeline.understand.system_prompt import (
    NAMES_TOKENS,
    compile_system_prompt,
    prompt_of,
    with_all_named,
)

MANY = tuple(f"card_payment_{n}_not_recognised" for n in range(77))


def wanted(text="We want a small model.", outputs=(), **fields):
    examples = tuple(Example(f"input {i}", output) for i, output in enumerate(outputs))
    return Requirement(text, examples=examples, **fields)


def test_the_system_prompt_is_objective_and_policy():
    requirement = wanted("Long story.", objective="Tag tweets", policy="One word.")
    assert compile_system_prompt(requirement) == "Tag tweets. One word."


def test_a_sentence_beyond_the_budget_is_left_out_whole():
    long = " ".join(["word"] * 40)
    requirement = wanted(objective="Tag tweets.", policy=f"{long}. Be short.")
    assert compile_system_prompt(requirement) == "Tag tweets. Be short."


def test_without_objective_the_sentences_that_give_orders_stand():
    prompt = compile_system_prompt(wanted("We are a bank. Return only the topic name."))
    assert prompt == "Return only the topic name."


def test_a_prompt_that_the_user_edited_is_kept_as_it_is():
    requirement = wanted(system_prompt=" Mine. ", objective="Other.")
    assert compile_system_prompt(requirement) == "Mine."


def test_labels_that_the_words_list_apart_from_the_orders_are_named():
    text = "Sort the mails into Billing, Login, Refunds. Answer with the category only."
    requirement = wanted(text, objective="Name the category.", policy="The category only.")
    intent = understand(requirement, IntentEdits(labels=("Billing", "Login", "Refunds")))
    assert intent.system_prompt == (
        "Name the category. The category only. Answer with one of: Billing, Login, Refunds."
    )


def test_labels_that_are_named_already_are_not_named_twice():
    intent = understand(wanted(outputs=["yes", "no"], policy="One of: yes, no, maybe."))
    assert intent.system_prompt == "One of: yes, no, maybe."


def test_a_label_inside_another_word_is_not_named_yet():
    prompt = compile_system_prompt(wanted(objective="Do you know?"), ("no", "yes"))
    assert prompt.endswith("Answer with one of: no, yes.")


def test_labels_with_commas_are_told_apart():
    prompt = compile_system_prompt(wanted(objective="Sort."), ("Billing, other", "Login"))
    assert prompt == "Sort. Answer with one of: Billing, other; Login."


def test_more_labels_than_fit_are_counted_and_all_told_to_a_model_that_saw_no_row():
    prompt = compile_system_prompt(wanted(objective="Name the intent."), MANY)
    assert prompt == "Name the intent. Answer with one of 77 labels."
    told = with_all_named(prompt, MANY, tokens=2_000)
    assert told == f"Name the intent. Answer with one of: {', '.join(MANY)}."
    assert with_all_named(prompt, MANY, tokens=NAMES_TOKENS) == prompt


def test_the_names_take_about_the_tokens_they_may(settings):
    tokenizer = settings.MODELS_DIR / "smollm2-135m-instruct" / "tokenizer.json"
    if not tokenizer.is_file():
        pytest.skip("the tokenizer of the base is not on this machine")
    named = [n for n in range(1, 77) if "one of:" in compile_system_prompt(wanted(), MANY[:n])]
    prompt = compile_system_prompt(wanted(), MANY[: max(named)])
    assert 150 < len(Tokenizer.from_file(str(tokenizer)).encode(prompt).ids) < 280


def test_open_labels_are_named_once_the_rows_tell_them():
    requirement = wanted("Label it with an intent, such as a or b.", ["aa", "bb"])
    intent = understand(requirement)
    assert "Answer with one of" not in intent.system_prompt
    told = prompt_of(requirement, intent, ["cc", "aa", "Bb", "aa"])
    assert told.endswith("Answer with one of: Bb, aa, cc.")


def test_json_keys_are_named_as_the_rows_spell_them():
    answer = json.dumps({"b-b": 1, "a": 2})
    requirement = wanted(outputs=[answer, answer], objective="Read the facts.")
    intent = understand(requirement)
    keys = "Answer with a JSON object with the keys"
    assert intent.system_prompt == f"Read the facts. {keys} b-b, a."
    more = prompt_of(requirement, intent, ['{"a": 1, "C": 2}'] * 2 + ['{"once": 1}'])
    assert more == f"Read the facts. {keys} b-b, a, C."


@pytest.mark.parametrize("outputs", [["SELECT a FROM t", "select b from t"], ["A long sentence."]])
def test_other_tasks_name_nothing(outputs):
    requirement = wanted(outputs=outputs, objective="Do it.")
    assert prompt_of(requirement, understand(requirement), outputs) == "Do it."


def test_a_prompt_of_the_users_own_never_changes_with_the_labels():
    requirement = wanted(system_prompt="Mine.", outputs=["yes", "no"], policy="yes or no?")
    intent = understand(requirement, IntentEdits(labels=("yes", "no")))
    assert intent.system_prompt == prompt_of(requirement, intent, ["yes", "no"]) == "Mine."
