import pytest

from distillation.pipeline.understand.answer_band import answer_band


@pytest.mark.parametrize(
    ("words", "longest"),
    [
        ("Write the commit message, at most 72 characters.", 72),
        ("A headline of at most 60 characters.", 60),
        ("Summarise it in no more than 50 words.", 400),
        ("Explain it in one or two short sentences.", 600),
        ("Answer in two to four sentences, in plain words.", 1200),
        ("Summarise each letter in 2 sentences.", 600),
        ("Shorten articles to 100 words.", 800),
        ("Be brief.", 4000),
        ("Write an essay of up to 3000 words.", 4000),
        ("At most 0 words.", 4000),
    ],
)
def test_a_limit_in_the_words_is_the_longest_answer(words, longest):
    assert answer_band("generate", [], words) == (1, longest)


def test_examples_make_the_band_and_a_limit_narrows_it():
    assert answer_band("generate", ["x" * 40, "y" * 60], "") == (10, 240)
    assert answer_band("generate", ["x" * 40, "y" * 60], "At most 80 characters.") == (10, 80)


def test_a_limit_that_an_example_breaks_is_about_something_else():
    words = "Messages of at most 20 characters get an answer."
    assert answer_band("generate", ["x" * 40], words) == (10, 160)


def test_limits_are_of_texts_only():
    assert answer_band("classify", [], "At most 5 words.") == (1, 80)
    assert answer_band("sql", [], "Questions of at most 20 words.") == (1, 4000)
