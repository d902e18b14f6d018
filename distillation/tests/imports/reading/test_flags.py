"""A row that is odd is taken and says so; cleaning happens only where somebody asked for it."""

import json

import pytest

from distillation.imports.reading.errors import RowError
from distillation.imports.reading.flags import flags_of
from distillation.imports.reading.language import language_of
from distillation.imports.reading.markup import contains_markup, strip_markup
from distillation.imports.reading.personal_data import personal_data, redact
from distillation.imports.reading.rows import ReadOptions, SeenIds, read_examples


def talk(question, answer="an answer"):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def read(tmp_path, *rows, **options):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(read_examples(path, ReadOptions(license="MIT", **options)))


# --- markup ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<p>Where is my card?</p>", "Where is my card?"),
        ('<div class="msg"><b>Not working</b><br/>&nbsp;</div>', "Not working"),
        ("top up <script>fetch('x')</script>", "top up"),
        ("&lt;p&gt;Failed?&lt;/p&gt; &amp;amp; more", "Failed?\n& more"),
        ("<html><head><title>T</title></head><body><br>Hi</body></html>", "Hi"),
        ("Where? <img src=x onerror=alert(1)>", "Where?"),
        ("[Do you accept it?](javascript:alert(1))", "Do you accept it?"),
        ("Stopped.\n\n-----Original Message-----\nFrom: Sam <s@x.invalid>\n> quoted", "Stopped."),
        ("Yes.\n\nOn 3 May Sam wrote:\n> really?", "Yes."),
        ("one<br>two <!-- three -->", "one\ntwo"),
        ("a <script> without an end", "a without an end"),
    ],
)
def test_markup_is_found_and_leaves_what_a_reader_would_have_seen(text, shown):
    assert contains_markup(text)
    assert strip_markup(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "What does a < b && b > c mean in C?",
        "if a<b and b>c then stop",
        "std::vector<int> holds List<Object>",
        "cd <path> and then rm <input>",
        "use `<br>` between lines, or ```<div>x</div>```",
        "SELECT <columns> FROM <table>",
        "R&D, AT&T; and a & b;",
        "a -> b, <3, 1 <2> 3, <user> says <assistant>",
        "> a quotation in Markdown",
        "[a link](https://example.org/?a=1)",
    ],
)
def test_brackets_that_are_the_content_are_not_markup_and_stay(text):
    assert not contains_markup(text)
    assert strip_markup(text) == text


def test_a_conversation_about_markup_keeps_it(tmp_path):
    row = {"messages": talk("Write an HTML paragraph that says hi", "<p>hi</p>")}
    [example] = read(tmp_path, row, clean_markup=True)
    assert example.messages[1]["content"] == "<p>hi</p>"
    assert example.flags == frozenset()


def test_cleaning_is_done_only_when_asked_for_and_says_so(tmp_path):
    row = {"messages": talk("<p>Hi &amp; bye</p>")}
    [as_it_is], [cleaned] = read(tmp_path, row), read(tmp_path, row, clean_markup=True)
    assert as_it_is.messages[0]["content"] == "<p>Hi &amp; bye</p>"
    assert as_it_is.flags == {"contains_markup"}
    assert cleaned.messages[0]["content"] == "Hi & bye"
    assert cleaned.flags == {"markup_removed"}
    assert as_it_is.content_hash != cleaned.content_hash


def test_a_row_of_which_cleaning_leaves_nothing_is_left_out(tmp_path):
    [error] = read(tmp_path, {"messages": talk("<br><img src=x>")}, clean_markup=True)
    assert isinstance(error, RowError)
    assert (error.code, error.field) == ("empty", "messages[0].content")


# --- personal data --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kinds", "redacted"),
    [
        ("card 4111 1111 1111 1111 cvv 123", {"card"}, "card [card] cvv [card]"),
        ("write to jane.roe+x@mail.example.com.", {"email"}, "write to [email]."),
        ("call +44 20 7946 0958 now", {"phone"}, "call [phone] now"),
        ("call (555) 010-4477 or 555-010-4477", {"phone"}, "call [phone] or [phone]"),
        ("IBAN GB82 WEST 1234 5698 7654 32 late", {"iban"}, "IBAN [iban] late"),
        ("AKIAIOSFODNN7EXAMPLE", {"key"}, "[key]"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", {"key"}, "[key]"),
        ("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----", {"key"}, "[key]"),
        ("SSN 078-05-1120, born 1970-01-01", {"ssn", "birth_date"}, "SSN [ssn], born [birth_date]"),
        ("I'm Jane Roe, 221B Baker Street", {"name", "address"}, "I'm [name], [address]"),
    ],
)
def test_personal_data_is_named_by_kind_and_can_be_redacted(text, kinds, redacted):
    assert personal_data(text) == kinds
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # fails the check digit
        "GB82 WEST 1234 5698 7654 33",
        "order 1234567890123456 of 2024-05-06",
        "a score of +8 (70-69-70-75=284)",
        "@user and a@b",
        "3.141592653589793238",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "x = 2+30000000",
        "I am Spartacus",
    ],
)
def test_numbers_and_names_that_identify_nobody_are_left_alone(text):
    assert personal_data(text) == set()
    assert redact(text) == text


def test_redaction_is_done_only_when_asked_for_and_says_of_what(tmp_path):
    row = {"messages": talk("mail me: a.b@example.com")}
    [as_it_is], [redacted] = read(tmp_path, row), read(tmp_path, row, redact=True)
    assert as_it_is.flags == {"personal_data:email"}
    assert redacted.messages[0]["content"] == "mail me: [email]"
    assert redacted.flags == {"personal_data_removed:email"}


# --- what little is said, and how it is written ---------------------------------------------------


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("N/A", "N/A"),
        ("?", "."),
        ("null", "play_music"),
        ("Summarise:", "As an AI language model, I cannot help without text."),
        ("Translate this:", "Please provide the text."),
    ],
)
def test_rows_that_say_nothing_are_low_content(question, answer):
    assert flags_of(talk(question, answer), "MIT") == {"low_content"}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("2 + 2", "4"),
        ("Is it null?", "none"),
        ("do you eat", "I'm a computer, I can't eat or drink."),
        ("How do I pick a lock of a bank's vault?", "I'm sorry, but I can't help with that."),
    ],
)
def test_short_answers_and_refusals_of_a_real_question_are_not(question, answer):
    assert flags_of(talk(question, answer), "MIT") == set()


@pytest.mark.parametrize("text", ["Itâ€™s a cafÃ©", "DVDÂ±RW", "ðŸ˜€ nice", "GraÃ§a"])
def test_utf8_read_as_cp1252_is_flagged(text):
    assert flags_of(talk(text), "MIT") == {"mojibake"}


@pytest.mark.parametrize(
    "text", ["naïve café – “quoted” 5 €", "É», dit-il", "«MANHû", "SÃO PAULO", "Ångström", "привет"]
)
def test_accents_and_other_scripts_are_not(text):
    assert flags_of(talk(text), "MIT") == set()


def test_licences_that_forbid_or_are_missing_are_flagged():
    assert flags_of(talk("q"), "CC-BY-NC-4.0") == {"non_commercial_license"}
    assert flags_of(talk("q"), "Non-commercial use only") == {"non_commercial_license"}
    assert flags_of(talk("q"), "unknown") == {"license_unknown"}
    assert flags_of(talk("q"), "CC-BY-SA-4.0") == set()


def test_every_flag_fits_its_column():
    flags = flags_of(talk("<p>I'm Jane Roe</p> a@b.example Ã©"), "CC-BY-NC-4.0")
    assert len(flags) == 5
    assert max(map(len, [*flags, "personal_data_removed:birth_date"])) <= 60


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    ["<", "&", "<a ", '<a a="', "[a", "[a](javascript:(", "<script>", "<!--", "<b>", "a@", "+1",
     "1 ", "AB12 ", "On a wrote:\n", "`", "eyJaaaaaaaaa.", "Ã"],
)  # fmt: skip
def test_no_text_makes_the_patterns_search_for_ever(piece):
    text = piece * (100_000 // len(piece))
    flags_of(talk(text), "MIT")
    strip_markup("-->" + text + "</b>")
    redact(text)


# --- ids and language -----------------------------------------------------------------------------


def test_an_id_that_the_file_gave_before_becomes_an_id_of_its_own(tmp_path):
    rows = [{"id": "same", "messages": talk(text)} for text in ("first", "second", "first")]
    one, other, repeat = read(tmp_path, *rows)
    assert (one.external_id, one.flags) == ("same", frozenset())
    assert other.external_id == f"same#{other.content_hash[:12]}"
    assert other.flags == {"repeated_id"}
    assert repeat.content_hash == one.content_hash


def test_an_integer_id_a_path_and_no_id_are_all_plain_text(tmp_path):
    rows = [{"id": 7}, {"id": "../../etc/passwd"}, {}, {}]
    number, path, made, same = read(tmp_path, *({**row, "messages": talk("q")} for row in rows))
    assert (number.external_id, path.external_id) == ("7", "../../etc/passwd")
    assert made.external_id == same.external_id == made.content_hash[:16]
    assert made.flags == same.flags == frozenset()


def test_ids_are_told_apart_in_little_memory():
    ids = SeenIds()
    names = [f"row-{number}" for number in range(50_000)]
    assert sum(ids.add(name) for name in names) == len(names)
    assert not any(ids.add(name) for name in names)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my card?", "en"),
        ("¿Dónde está mi tarjeta?", "es"),
        ("Wo ist meine Karte geblieben?", "de"),
        ("我的卡在哪里？", "zh"),
        ("أين بطاقتي؟", "ar"),
        ("hi", ""),
        ("42 + 17", ""),
        ("SELECT a FROM b", ""),
    ],
)
def test_the_language_of_an_input_is_told_or_left_open(text, language):
    assert language_of(text) == language


def test_a_row_tells_the_language_of_its_input_not_of_its_answer(tmp_path):
    [row] = read(tmp_path, {"messages": talk("Traduis: où est ma carte bancaire ?", "the card")})
    assert row.language == "fr"
