"""The hot paths of a small transformer rewritten: the same numbers, fewer passes over memory.

    python -m pytest training/tests/recipes/test_kernels.py

At a hidden size of some hundreds a step spends as long in the small operations around the matrix
products as in the products themselves. Each function here does one of those stretches by hand,
forward and backward. `install` puts them into a model of transformers and peft; what it does not
know (DoRA, another norm, another activation) keeps its own forward.

Shapes: T tokens in one line, H hidden, R rank of an adapter, D of one head, V vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from transformers import AttentionInterface

from training.recipes.packing import Packing

ATTENTION = "packed_rows"
QUERY_BLOCK = 256  # what lies above the diagonal of larger blocks would be computed for nothing
HEAD_BLOCK = 128  # rows of float32 logits held at once: 25 MB for 49,000 words
NORMS = ("LlamaRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm", "Olmo2RMSNorm", "GraniteRMSNorm")
GATED = ("LlamaMLP", "Qwen2MLP", "Qwen3MLP", "Olmo2MLP", "GraniteMLP")


def install(causal_lm: nn.Module) -> None:
    """Make the model read packed rows (pass `packing=` to its trunk), and do so quickly."""
    from peft.tuners.lora import Linear

    AttentionInterface.register(ATTENTION, attend_packed)
    causal_lm.set_attn_implementation(ATTENTION)
    for module in causal_lm.modules():
        kind = type(module).__name__
        if kind in NORMS:
            module.forward = _norm(module)
        elif kind in GATED and isinstance(module.act_fn, nn.SiLU):
            module.forward = _gated(module)
        elif isinstance(module, Linear) and not module.lora_variant:  # no DoRA
            module.forward = _adapted(module)


def _norm(module: Any) -> Any:
    return lambda x: RmsNorm.apply(x, module.weight, module.variance_epsilon)


def _gated(module: Any) -> Any:
    return lambda x: module.down_proj(SwiGlu.apply(module.gate_proj(x), module.up_proj(x)))


def _adapted(module: Any) -> Any:
    name = module.active_adapters[0]
    base, a, b = module.base_layer, module.lora_A[name], module.lora_B[name]
    scale = module.scaling[name]

    def forward(x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        y: Tensor = LoraLinear.apply(flat, base.weight, base.bias, a.weight, b.weight, scale)
        return y.view(*x.shape[:-1], -1)

    return forward


class LoraLinear(Function):  # type: ignore[misc]
    """y = x Wᵀ + bias + s (x Aᵀ) Bᵀ for x (T, in), W (out, in) frozen, A (R, in), B (out, R).

    The adapter's product is added inside the matrix product, in W's dtype; A and B may be float32.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        low, high = a.to(x.dtype), (b * scale).to(x.dtype)
        narrow = x @ low.T
        y = F.linear(x, w, bias)
        y.addmm_(narrow, high.T)
        ctx.save_for_backward(x, w, narrow, low, high)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, w, narrow, low, high = ctx.saved_tensors
        back = dy @ high
        dx = None
        if ctx.needs_input_grad[0]:
            dx = dy @ w
            dx.addmm_(back, low)
        return dx, None, None, (back.T @ x).float(), (dy.T @ narrow).float() * ctx.scale, None


class RmsNorm(Function):  # type: ignore[misc]
    """y = w · x / sqrt(mean(x²) + eps) over the last dimension, the mean in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        rate = torch.rsqrt(norm.square_().div_(x.shape[-1]).add_(eps))
        unit = torch.empty_like(x)
        torch.mul(x, rate, out=unit)
        ctx.save_for_backward(unit, w, rate)
        return unit * w

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        unit, w, rate = ctx.saved_tensors
        dw = (dy * unit).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        g = dy * w
        mean = (g * unit).sum(-1, keepdim=True, dtype=torch.float32).div_(-unit.shape[-1])
        dx = torch.addcmul(g, unit, mean.to(g.dtype)).mul_(rate.to(g.dtype))
        return dx, dw, None


class SwiGlu(Function):  # type: ignore[misc]
    """silu(gate) · up."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        dgate = torch.ops.aten.silu_backward(dy * up, gate)
        return dgate, F.silu(gate).mul_(dy)


class Attend(Function):  # type: ignore[misc]
    """Causal attention of q (N, G, S, D) on k, v (N, P + S, D), of which the first P are open to
    all: G query heads share a head of keys, and so one larger matrix product.

    Probabilities are computed again on the way back, a block of queries at a time. torch's own
    kernel for CPUs took three times as long backward on rows of a hundred tokens, and as long on
    rows of three hundred.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, shared: int, scale: float) -> Tensor:
        out = torch.empty_like(q)
        with torch.autocast(q.device.type, enabled=False):
            for block in _blocks(q.shape[2]):
                end = shared + block.stop
                p = _probabilities(q[:, :, block], k[:, :end], shared + block.start, scale)
                mixed = torch.bmm(p.to(q.dtype), v[:, :end])
                out[:, :, block] = mixed.view(*q.shape[:2], -1, q.shape[3])
        ctx.save_for_backward(q, k, v)
        ctx.shared, ctx.scale = shared, scale
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        heads, _, size, width = q.shape
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for block in _blocks(size):
            end = ctx.shared + block.stop
            p = _probabilities(q[:, :, block], k[:, :end], ctx.shared + block.start, ctx.scale)
            d = dout[:, :, block].reshape(heads, -1, width)
            dv[:, :end].baddbmm_(p.to(q.dtype).transpose(1, 2), d)
            dp = torch.bmm(d, v[:, :end].transpose(1, 2)).float()
            ds = torch._softmax_backward_data(dp, p, -1, torch.float32)
            ds = ds.mul_(ctx.scale).to(q.dtype)
            dq[:, :, block] = torch.bmm(ds, k[:, :end]).view(*q.shape[:2], -1, width)
            dk[:, :end].baddbmm_(ds.transpose(1, 2), q[:, :, block].reshape(heads, -1, width))
        return dq, dk, dv, None, None


def _blocks(size: int) -> list[slice]:
    return [slice(a, min(size, a + QUERY_BLOCK)) for a in range(0, size, QUERY_BLOCK)]


def _probabilities(q: Tensor, k: Tensor, before: int, scale: float) -> Tensor:
    """(N, G·n, K) in float32; the last n of the K keys are the queries' own."""
    heads, _, n, width = q.shape
    scores = torch.bmm(q.reshape(heads, -1, width), k.transpose(1, 2)).float().mul_(scale)
    own = scores.view(heads, -1, n, k.shape[1])[..., before:]
    own.masked_fill_(torch.ones(n, n, dtype=torch.bool, device=q.device).triu_(1), -torch.inf)
    return torch.softmax(scores, -1)


def attend_packed(
    module: nn.Module,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    packing: Packing,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Attend, by transformers' interface: q (1, heads, T, D), k and v (1, fewer heads, T, D)."""
    # (T, heads, D); under autocast the rotary embedding has left q and k in float32
    lines = [x[0].transpose(0, 1).to(v.dtype) for x in (q, k, v)]
    if q.is_cuda:
        return _attend_on_gpu(lines, scaling, packing).unsqueeze(0), None
    out = [_attend_in(r.queries, r.keys, r.shared, lines, scaling) for r in packing.rectangles]
    return torch.cat(out).index_select(0, packing.order).view(1, *lines[0].shape), None


def _attend_in(
    queries: Tensor, keys: Tensor, shared: int, lines: list[Tensor], scale: float
) -> Tensor:
    """One rectangle; (B·S, heads·D) in the order of its queries."""
    q, k, v = lines
    batch, (heads, width), kv_heads = len(queries), q.shape[1:], k.shape[1]

    def rows(line: Tensor, index: Tensor) -> Tensor:
        return line.flatten(1).index_select(0, index.flatten()).view(batch, -1, *line.shape[1:])

    grouped = rows(q, queries).view(batch, -1, kv_heads, heads // kv_heads, width)
    grouped = grouped.permute(0, 2, 3, 1, 4).flatten(0, 1)
    k, v = (rows(line, keys).transpose(1, 2).flatten(0, 1) for line in (k, v))
    out: Tensor = Attend.apply(grouped, k, v, shared, scale)
    return out.unflatten(0, (batch, kv_heads)).permute(0, 3, 1, 2, 4).flatten(2).flatten(0, 1)


def _attend_on_gpu(lines: list[Tensor], scale: float, packing: Packing) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (line.contiguous() for line in lines)
    ends, longest = packing.bounds, packing.longest
    grouped = q.shape[1] != k.shape[1]
    out: Tensor = varlen_attn(
        q, k, v, ends, ends, longest, longest,
        scale=scale, window_size=(-1, 0), enable_gqa=grouped,
    )  # fmt: skip
    return out


class AnswerLoss(Function):  # type: ignore[misc]
    """Mean cross-entropy of `targets` (A,) under logits h Wᵀ for h (A, H), W (V, H); float32. And
    how many of them have the highest logit.

    Logits live for one block of rows at a time, and the gradients are made in the same pass, as in
    Liger's fused linear cross-entropy (Hsu et al. 2024).
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, w: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        total = torch.zeros((), dtype=torch.float32, device=h.device)
        hits = torch.zeros((), dtype=torch.int64, device=h.device)
        wants_h, wants_w = ctx.needs_input_grad[:2]
        dh = torch.empty_like(h) if wants_h else None
        dw = torch.zeros_like(w) if wants_w else None
        for start in range(0, len(targets), HEAD_BLOCK):
            rows = slice(start, start + HEAD_BLOCK)
            loss, hit, dlogits = _cross_entropy((h[rows] @ w.T).float(), targets[rows])
            total += loss
            hits += hit
            if dh is not None:
                dh[rows] = dlogits.to(h.dtype) @ w
            if dw is not None:
                dw.addmm_(dlogits.to(h.dtype).T, h[rows])
        ctx.save_for_backward(dh, dw)
        ctx.count = len(targets)
        ctx.mark_non_differentiable(hits)
        return total / len(targets), hits

    @staticmethod
    def backward(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        share = dy / ctx.count
        dh, dw = (None if d is None else d * share.to(d.dtype) for d in ctx.saved_tensors)
        return dh, dw, None


def _cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the summed loss, how many targets have the highest logit, and the gradient, which
    takes the place of the logits.
    """
    columns = targets.unsqueeze(1)
    chosen = logits.gather(1, columns)
    log_sum = torch.logsumexp(logits, -1, keepdim=True)
    loss = (log_sum - chosen).sum()
    hits = (chosen >= logits.amax(-1, keepdim=True)).sum()
    gradient = logits.sub_(log_sum).exp_()
    gradient.scatter_add_(1, columns, torch.full_like(columns, -1.0, dtype=gradient.dtype))
    return loss, hits, gradient
