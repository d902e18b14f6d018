"""Does an artifact carry the chat format that the model was trained with? Its own template, special
tokens and vocabulary are used, never ours, and every prompt must come out as the same token ids.
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
    template = Check("Chat template", False, f"{file.name} holds no chat template.")
    if facts.template:
        render = trained.with_template(facts.template).render_prompt
        template = _template_check(file.name, render, trained, prompts)
    vocabulary = {token: at for at, token in enumerate(facts.tokens)}
    return [
        template,
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
    good = f"The template in {name} gives the tokens of the training on all {len(prompts)} rows."
    problem = _template_problem(name, render, trained, prompts)
    return Check("Chat template", not problem, problem or good)


def _template_problem(
    name: str,
    render: Callable[[Prompt], list[int]],
    trained: ChatRenderer,
    prompts: Sequence[Prompt],
) -> str:
    for number, prompt in enumerate(prompts, 1):
        wanted = trained.render_prompt(prompt)
        try:
            rendered = render(prompt)
        except ValueError as error:
            return f"The chat template in {name} does not render row {number}: {error}"
        if rendered != wanted:
            return _parting(name, number, wanted, rendered, trained)
    return ""


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
    good = f"End token {eos}, padding {pad}, none put in front."
    return Check("Special tokens", not wrong, f"{name}: {'; '.join(wrong)}." if wrong else good)


def _vocabulary_check(name: str, vocabulary: dict[str, int], trained: ChatRenderer) -> Check:
    wanted = trained.vocabulary()
    differing = [token for token, at in wanted.items() if vocabulary.get(token) != at]
    problem = f"{len(differing):,} tokens of {name} are not those of the training."
    good = f"All {len(wanted):,} tokens are at their places."
    return Check("Vocabulary", not differing, problem if differing else good)


def _llama_cpp_check(file: Path, trained: ChatRenderer, prompts: Sequence[Prompt]) -> Check:
    """Rows whose text spells a special token are left out: llama.cpp reads it as one, we do not."""
    plain = [prompt for prompt in prompts if not trained.spells_special(prompt)]
    plain = plain[:ROWS_BY_LLAMA_CPP]
    try:
        with llama_cpp(file) as other:
            problem = _template_problem(file.name, other.prompt_ids, trained, plain)
    except ValueError as error:
        return Check("llama.cpp alone", False, f"{error}")
    good = f"llama.cpp's own template engine and tokenizer give the same on {len(plain)} rows."
    sentence = f"As llama.cpp reads it: {problem}" if problem else good
    return Check("llama.cpp alone", not problem, sentence)
