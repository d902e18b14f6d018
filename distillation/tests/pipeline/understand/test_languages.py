import pytest

from distillation.pipeline.understand.languages import (
    NAMES,
    language_of,
    language_of_all,
    named_language,
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Where is the parcel that I ordered last week?", "en"),
        ("Wo bleibt das Paket, das ich letzte Woche bestellt habe?", "de"),
        ("Où est le colis que j'ai commandé la semaine dernière ?", "fr"),
        ("¿Dónde está el paquete que pedí la semana pasada?", "es"),
        ("先週注文した荷物はどこですか", "ja"),
        ("Где посылка, которую я заказал на прошлой неделе?", "ru"),
        ("hm", ""),
        ("", ""),
        ("#fail @user https://example.org 12345", ""),
        ("{}[]|<>", ""),
    ],
)
def test_a_language_is_told_or_left_open(text, code):
    assert language_of(text) == code


def test_texts_in_two_languages_are_in_none():
    english = "Where is the parcel that I ordered last week?"
    german = "Wo bleibt das Paket, das ich letzte Woche bestellt habe?"
    assert language_of_all([english, "ok", english]) == "en"
    assert language_of_all([english, german]) == ""
    assert language_of_all([]) == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("German tickets about washing machines", "de"),
        ("Translate texts from English into French.", "en"),
        ("A Polish to English translator", "pl"),
        ("Answer in Spanish.", ""),
        ("Italian guests ask; reply in English.", "it"),
        ("Mails in German, French or Italian", ""),
        ("Write polite mails.", ""),
        ("polish the sentence", ""),
    ],
)
def test_the_language_of_the_inputs_is_the_one_that_words_name(words, code):
    assert named_language(words) == code


def test_every_name_has_a_two_letter_code():
    assert len(NAMES) > 80
    assert all(len(code) == 2 and name[0].isupper() for code, name in NAMES.items())
