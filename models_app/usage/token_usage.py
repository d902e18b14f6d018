"""The tokens of an answer whose reader has left: the server reports its count at the end alone, and
the tokenizer knows it as well.
"""

import logging
from pathlib import Path

from models_app.serving.client import Completion
from modelstation.lm.chat import Message, load_renderer

logger = logging.getLogger("modelstation.usage")


def count_unfinished(
    tokenizer_folder: Path, messages: list[Message], text: str, pieces: int
) -> Completion:
    """Count pieces, mostly tokens, where the tokenizer cannot be reached."""
    prompt, written = 0, pieces
    try:
        renderer = load_renderer(tokenizer_folder)
        prompt = len(renderer.render_prompt(messages))
        written = renderer.count_tokens(text)
    except (OSError, ValueError) as error:
        logger.warning("an abandoned answer is counted by its pieces: %s", error)
    return Completion(text, prompt, written, finish_reason="stop")
