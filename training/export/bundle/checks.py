"""Does an artifact carry the chat format that the model was trained with? Its own template, special
tokens and vocabulary are used, never ours, and every prompt must come out as the same token ids.

python -m pytest training/tests/export/test_certificate.py
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from modelstation.lm.chat import ChatRenderer, Message, load_renderer
from modelstation.lm.gguf.check import GgufFacts, llama_cpp, read_facts
from training.export.bundle.results import Check

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)
UNREADABLE = "File"
ROWS_BY_LLAMA_CPP = 50  # its template engine and tokenizer see at most so many
Prompt = list[Message]


def check_folder(folder: Path, trained: ChatRenderer, prompts: Sequence[Prompt]) -> list[Check]:
    """Of a folder for transformers: its tokenizer and template beside those of the training."""
    try:
        renderer = load_renderer(folder)
    except ValueError as error:
        return [Check("Chat template", False, f"{folder.name} cannot render a chat: {error}")]
    return [
        _template_check(folder.name, renderer.render_prompt, trained, prompts),
        _special_check(folder.name, trained, renderer.eos_token_id, renderer.pad_token_id),
        _vocabulary_check(folder.name, renderer.vocabulary(), trained),
    ]


def check_gguf(file: Path, trained: ChatRenderer, prompts: Sequence[Prompt]) -> list[Check]:
    """Of a GGUF: what it says, read here, and what llama.cpp by itself makes of it."""
    try:
        facts = read_facts(file)
    except (ValueError, OSError) as error:
        return [Check(UNREADABLE, False, f"{file.name} cannot be read as GGUF: {error}")]
    vocabulary = {token: at for at, token in enumerate(facts.tokens)}
    return [
        _template_check(
            file.name, trained.with_template(facts.template).render_prompt, trained, prompts
        )
        if facts.template
        else Check("Chat template", False, f"{file.name} holds no chat template."),
        _special_check(file.name, trained, facts.eos_token_id, facts.pad_token_id, facts.adds_bos),
        _vocabulary_check(file.name, vocabulary, trained),
        _llama_cpp_check(file, trained, prompts),
    ]


def tokenizer_of_gguf(facts: GgufFacts, source: Path, target: Path) -> Path:
    """Copy the tokenizer's files of `source` with the template that stands in the GGUF: with these
    the engine renders chats as the file would have it.
    """
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, target / name)
    (target / "chat_template.jinja").write_text(facts.template, encoding="utf-8")
    return target


def _template_check(
    name: str,
    render: Callable[[Prompt], list[int]],
    trained: ChatRenderer,
    prompts: Sequence[Prompt],
) -> Check:
    for number, prompt in enumerate(prompts, 1):
        wanted = trained.render_prompt(prompt)
        try:
            rendered = render(prompt)
        except ValueError as error:
            sentence = f"The chat template in {name} does not render row {number}: {error}"
            return Check("Chat template", False, sentence)
        if rendered != wanted:
            return Check("Chat template", False, _parting(name, number, wanted, rendered, trained))
    sentence = (
        f"The template in {name} gives the tokens of the training on all {len(prompts)} rows."
    )
    return Check("Chat template", True, sentence)


def _parting(
    name: str, number: int, wanted: list[int], rendered: list[int], trained: ChatRenderer
) -> str:
    shorter = min(len(wanted), len(rendered))
    at = next((i for i in range(shorter) if wanted[i] != rendered[i]), shorter)
    trained_on, here = (trained.show(ids[at : at + 8]) or "the end" for ids in (wanted, rendered))
    return (
        f"The chat template in {name} is not the one of the training: in row {number} the prompts "
        f"part at token {at + 1}, where the training had “{trained_on}” and the file has “{here}”."
    )


def _special_check(
    name: str, trained: ChatRenderer, eos: int | None, pad: int | None, adds_bos: bool = False
) -> Check:
    wrong = []
    if eos != trained.eos_token_id:
        wrong.append(f"its end token is {eos}, in training it was {trained.eos_token_id}")
    if pad != trained.pad_token_id:
        wrong.append(f"its padding token is {pad}, in training it was {trained.pad_token_id}")
    if adds_bos:
        wrong.append("it puts a first token of its own before each prompt")
    if wrong:
        return Check("Special tokens", False, f"{name}: {'; '.join(wrong)}.")
    return Check("Special tokens", True, f"End token {eos}, padding {pad}, none put in front.")


def _vocabulary_check(name: str, vocabulary: dict[str, int], trained: ChatRenderer) -> Check:
    wanted = trained.vocabulary()
    differing = [token for token, at in wanted.items() if vocabulary.get(token) != at]
    if differing:
        sentence = f"{len(differing):,} tokens of {name} are not those of the training."
        return Check("Vocabulary", False, sentence)
    return Check("Vocabulary", True, f"All {len(wanted):,} tokens are at their places.")


def _llama_cpp_check(file: Path, trained: ChatRenderer, prompts: Sequence[Prompt]) -> Check:
    """Rows whose text spells a special token are left out: llama.cpp reads it as one, we do not."""
    plain = [prompt for prompt in prompts if not trained.spells_special(prompt)]
    plain = plain[:ROWS_BY_LLAMA_CPP]
    try:
        with llama_cpp(file) as other:
            check = _template_check(file.name, other.prompt_ids, trained, plain)
    except ValueError as error:
        return Check("llama.cpp alone", False, f"{error}")
    if not check.passed:
        return Check("llama.cpp alone", False, f"As llama.cpp reads it: {check.sentence}")
    sentence = f"llama.cpp's own template engine and tokenizer give the same on {len(plain)} rows."
    return Check("llama.cpp alone", True, sentence)
