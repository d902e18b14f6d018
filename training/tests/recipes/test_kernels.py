"""The rewritten hot paths give the same losses and gradients as transformers and peft do."""

import copy

import pytest
import torch
import torch.nn.functional as F
import transformers

from training.recipes import lora_sft
from training.recipes.config import TrainingConfig
from training.recipes.data import collate
from training.recipes.kernels import Attend, install
from training.recipes.rows import TokenRow

WORDS = 300
SIZES = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
ARCHITECTURES = ["Llama", "Qwen2", "Qwen3", "Olmo2"]


def causal_lm(architecture, **more):
    config = getattr(transformers, f"{architecture}Config")(
        **SIZES, tie_word_embeddings=True, pad_token_id=0, **more
    )
    torch.manual_seed(0)
    return getattr(transformers, f"{architecture}ForCausalLM")(config)


def row(opening, size, seed):
    """`opening` tokens that all rows share, then random ones, the last few learnt."""
    generator = torch.Generator().manual_seed(seed)
    ids = [*range(1, opening + 1), *torch.randint(1, WORDS, (size,), generator=generator).tolist()]
    learnt = [i >= len(ids) - 5 for i in range(1, len(ids))]
    return TokenRow(tuple(ids[:-1]), tuple(ids[1:]), tuple(learnt))


ROWS = {
    "one row": [row(0, 12, 0)],
    "rows of unlike length": [row(0, size, size) for size in (8, 60, 9, 300, 61)],
    "rows that open alike": [row(20, size, size) for size in (8, 30, 31, 9)],
    "two prompts in one batch": [
        *(row(20, size, size) for size in (8, 30)), *(row(35, size, size) for size in (12, 14)),
    ],
    "the same row twice": [row(9, 20, 1), row(9, 20, 1)],
}  # fmt: skip


def plain_loss(model, rows):
    """Full logits of each row by itself: the textbook form."""
    losses = []
    for each in rows:
        logits = model(input_ids=torch.tensor([each.inputs])).logits[0]
        found = F.cross_entropy(logits, torch.tensor(each.targets), reduction="none")
        losses.append(found[torch.tensor(each.learnt)])
    return torch.cat(losses).mean()


def gradients(model):
    return {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


def assert_same_loss_and_gradients(plain, quick, rows):
    expected, found = (
        plain_loss(plain, rows),
        lora_sft.answer_loss_and_hits(quick, collate(rows))[0],
    )
    expected.backward()
    found.backward()
    torch.testing.assert_close(found, expected)
    theirs = gradients(plain)
    for name, gradient in gradients(quick).items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=2e-6, msg=name)


def adapted(architecture, **values):
    """The model twice: as peft has it, and with our kernels."""
    config = TrainingConfig(lora_rank=8, **values)
    plain = lora_sft._with_adapters(causal_lm(architecture), config)
    for parameter in lora_sft.trainable(plain):  # B begins at zero and would hide A's gradient
        torch.nn.init.normal_(parameter, std=0.05)
    quick = copy.deepcopy(plain)
    install(quick.get_base_model())
    return plain, quick


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_packed_rows_have_the_plain_loss_and_its_gradients(rows):
    assert_same_loss_and_gradients(*adapted("Llama"), rows)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_keeps_its_loss_and_gradients(architecture):
    plain, quick = adapted(architecture)
    assert_same_loss_and_gradients(plain, quick, ROWS["two prompts in one batch"])


def test_dora_keeps_its_own_forward():
    plain, quick = adapted("Llama", method="dora")
    assert_same_loss_and_gradients(plain, quick, ROWS["rows that open alike"])


def test_full_tuning_has_the_gradients_of_norms_embeddings_and_head():
    plain = causal_lm("Llama")
    quick = copy.deepcopy(plain)
    install(quick)
    assert_same_loss_and_gradients(plain, quick, ROWS["rows that open alike"])


def test_a_prompt_that_rows_share_is_read_once():
    rows = ROWS["rows that open alike"]
    read = collate(rows).input_ids.numel()
    assert read <= sum(len(each.inputs) for each in rows) - 3 * 19
    assert collate(rows, share=False).input_ids.numel() == sum(len(r.inputs) for r in rows)


@pytest.mark.parametrize("size", [5, 255, 256, 257, 600])
@pytest.mark.parametrize("shared", [0, 7])
def test_attention_in_blocks_is_causal_attention(size, shared):
    torch.manual_seed(size)
    q = torch.randn(2, 3, size, 16, requires_grad=True)
    k, v = (torch.randn(2, shared + size, 16, requires_grad=True) for _ in range(2))
    found = Attend.apply(q, k, v, shared, 0.25)
    mask = torch.ones(size, shared + size, dtype=torch.bool).tril(shared)
    expected = F.scaled_dot_product_attention(
        q, k.unsqueeze(1).expand(-1, 3, -1, -1), v.unsqueeze(1).expand(-1, 3, -1, -1),
        attn_mask=mask, scale=0.25,
    )  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(found)
    ours = torch.autograd.grad((found * weights).sum(), (q, k, v))
    theirs = torch.autograd.grad((expected * weights).sum(), (q, k, v))
    for mine, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, their, rtol=1e-4, atol=1e-4)
