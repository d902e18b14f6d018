"""vLLM's log probabilities: by ids, so that nothing is lost, and by bytes, so that letters are."""

import pytest
from tokenizers import Tokenizer

from models_app.serving.answers import GenerationConfig
from models_app.serving.vllm.logprobs import Vocabulary
from modelstation.lm import testing

TEXTS = [
    "Please answer.",
    "  two  blanks\n\ttab",
    "Grüße, 日本 🙂🏳️‍🌈 ▁",
    "<0x41> <|im_start|>",
    "\x00\x7f¡",
]
SUNNY = "ab 日本 🙂 c"


def told(logprobs):
    return b"".join(bytes(token.bytes) for token in logprobs)


@pytest.mark.parametrize("text", TEXTS)
def test_the_bytes_of_tokens_are_those_of_the_text(exported, text):
    vocabulary, tokenizer = Vocabulary(exported), Tokenizer.from_file(f"{exported}/tokenizer.json")
    ids = tokenizer.encode(text).ids

    assert b"".join(map(vocabulary.bytes_of, ids)) == text.encode()


@pytest.mark.parametrize("text", ["Please answer.", "Grüße, 日本 🙂", "two  blanks\n"])
def test_those_of_a_sentencepiece_tokenizer_too(tmp_path, text):
    tokenizer = testing._train_sentencepiece()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    ids = tokenizer.encode(text, add_special_tokens=False).ids

    assert b"".join(map(Vocabulary(tmp_path).bytes_of, ids)) == f" {text}".encode()


def test_an_id_beyond_the_vocabulary_has_no_bytes(exported):
    assert Vocabulary(exported).bytes_of(99_999) == b""


def test_letters_of_several_tokens_come_in_their_parts(ask, stream, stand_in):
    stand_in.answer = [*stand_in.ids(SUNNY), stand_in.end]
    config = GenerationConfig(top_logprobs=0)
    answer = ask(config=config)
    *pieces, last = stream(config=config)

    assert len(answer.logprobs) == len(stand_in.answer) - 1  # the end is no part of the text
    assert told(answer.logprobs).decode() == answer.text == SUNNY
    assert any(token.token.startswith("\\x") for token in answer.logprobs)
    assert last.logprobs == answer.logprobs
    assert all(piece.text for piece in pieces)
    assert "\ufffd" not in "".join(piece.text for piece in pieces)


def test_each_token_comes_with_the_text_that_it_begins(stream, stand_in):
    stand_in.answer = [*stand_in.ids("one two three"), stand_in.end]
    *pieces, _ = stream(config=GenerationConfig(top_logprobs=0, stop=("no such",)))

    shown = heard = b""
    for piece in pieces:
        begins = len(heard)
        shown, heard = shown + piece.text.encode(), heard + told(piece.logprobs)
        assert not piece.logprobs or begins < len(shown)
    assert shown == heard == b"one two three"


@pytest.mark.parametrize("stop", ["two th", "one", "e", "o t", "ee"])
def test_the_stop_text_and_its_tokens_are_not_told(ask, stream, stand_in, stop):
    stand_in.answer = [*stand_in.ids("one two three"), stand_in.end]
    config = GenerationConfig(top_logprobs=0, stop=(stop,))
    answer = ask(config=config)
    *_, last = stream(config=config)

    assert last == answer
    assert told(answer.logprobs).startswith(answer.text.encode())
    assert sum(len(token.bytes) for token in answer.logprobs[:-1]) < max(1, len(answer.text))


def test_alternatives_of_one_text_do_not_hide_each_other(ask, stand_in):
    """Two halves of letters: as text, vLLM would name both of them “�”, and tell one."""
    halves = [stand_in.ids("日")[0], stand_in.ids("🙂")[0]]
    assert len({stand_in.tokenizer.decode([half]) for half in halves}) == 1
    stand_in.answer = [*stand_in.ids("a"), stand_in.end]
    stand_in.alternatives = [*halves, stand_in.end]
    [token] = ask(config=GenerationConfig(top_logprobs=3)).logprobs

    assert [each.logprob for each in token.top] == [-0.5, -2.0, -3.0]
    assert token.top[0].token == token.token == "a"
    assert bytes(token.top[1].bytes) != bytes(token.top[2].bytes)
    [with_end] = ask(config=GenerationConfig(top_logprobs=4)).logprobs
    assert with_end.top[3].token == "<|im_end|>"


def test_a_token_may_be_none_of_the_likeliest(ask, stand_in):
    stand_in.answer = [*stand_in.ids("a"), stand_in.end]
    stand_in.alternatives = stand_in.ids("b")
    [token] = ask(config=GenerationConfig(top_logprobs=1)).logprobs

    assert [each.token for each in token.top] == ["a"]
    assert ask().logprobs == ()
