"""Implementations of InfoNCE with dual negatives: copgen, plain PyTorch, and other libraries.

Every method is a function (h, h_pos, temperature) -> scalar loss of embeddings that are not normalised. The losses:

    first   Algorithm 1: every anchor against the other anchors and all positives
    both    SimCLR's NT-Xent: the positives are contrasted too
    other   similar to "first" with different logits; its value is not comparable, its time is roughly

Legend: K pairs, D embedding dimension, E = 2K embeddings, C rows of a chunk.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import timing
from copgen.objectives import info_nce

Loss = Literal["first", "both", "other"]
Function = Callable[[Tensor, Tensor, float], Tensor]
CPU_AND_CUDA = ("cpu", "cuda")
CHUNK_ROWS = 4096
WEIGHT_SCALE = 256.0  # lifts probabilities of about 1/E out of float16's subnormal numbers


@dataclass(frozen=True)
class Method:
    """A method of computing the loss; `build` returns the function, or raises ImportError."""

    name: str
    loss: Loss
    build: Callable[[], Function]
    devices: tuple[str, ...] = CPU_AND_CUDA
    compiled: bool = False
    note: str = ""


def _wide(h: Tensor) -> Tensor:
    return h.float() if h.dtype in (torch.float16, torch.bfloat16) else h


def _unit(h: Tensor) -> Tensor:
    return F.normalize(_wide(h), dim=1)


def copgen_first(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
    """The library's loss of Algorithm 1."""
    return info_nce(h, h_pos, temperature=temperature)


def copgen_both(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
    """The library's symmetric loss."""
    return info_nce(h, h_pos, temperature=temperature, anchors="both")


def cross_entropy(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
    """All logits of "first" in one matrix, and PyTorch's cross-entropy."""
    h, h_pos = _unit(h), _unit(h_pos)
    own = torch.eye(len(h), dtype=torch.bool, device=h.device)
    logits_KE = torch.cat((h @ h_pos.T, (h @ h.T).masked_fill(own, -math.inf)), dim=1) / temperature
    return F.cross_entropy(logits_KE, torch.arange(len(h), device=h.device))


def log_sum_exp(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
    """The same loss as a difference of log-sum-exp and positive, without concatenation: the easiest to fuse."""
    h, h_pos = _unit(h), _unit(h_pos)
    own = torch.eye(len(h), dtype=torch.bool, device=h.device)
    to_anchors = torch.logsumexp((h @ h.T / temperature).masked_fill(own, -math.inf), dim=1)
    to_positives = torch.logsumexp(h @ h_pos.T / temperature, dim=1)
    return (torch.logaddexp(to_anchors, to_positives) - (h * h_pos).sum(1) / temperature).mean()


def nt_xent(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
    """All logits of "both" in one matrix, and PyTorch's cross-entropy."""
    z = torch.cat((_unit(h), _unit(h_pos)))
    own = torch.eye(len(z), dtype=torch.bool, device=z.device)
    partner = torch.arange(len(z), device=z.device).roll(len(h))
    return F.cross_entropy((z @ z.T).masked_fill(own, -math.inf) / temperature, partner)


def autocast_cross_entropy(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
    """Plain PyTorch as it runs in a mixed-precision training loop."""
    with torch.autocast(h.device.type, dtype=torch.bfloat16):
        return cross_entropy(h, h_pos, temperature)


def _compiled(function: Function) -> Function:
    return torch.compile(function, dynamic=False, fullgraph=True)


def _linear_cross_entropy() -> Function:
    """PyTorch's own loss that does not materialise all logits, with chunking."""
    loss = getattr(F, "linear_cross_entropy", None)
    options = getattr(torch.nn, "LinearCrossEntropyOptions", None)
    if loss is None or options is None:
        raise ImportError("torch >= 2.13")

    def function(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
        rows, columns = _unit(h), torch.cat((_unit(h_pos), _unit(h)))
        target = torch.arange(len(h), device=h.device)
        value: Tensor = loss((rows / temperature).to(h.dtype), columns.to(h.dtype), target, options=options())
        return value

    return function


class ChunkedLoss(torch.autograd.Function):
    """The anchors' loss ("first") of unit rows, in chunks of rows: cuBLAS products of float16, statistics in float32.

    The gradient is computed in the forward pass, chunk by chunk; the logits are in one float16 buffer (C, E), which is
    turned into probabilities in place.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
        """The mean loss, in nats."""
        k = len(h)
        z_ED = torch.cat((h, h_pos)).half()
        gradient = torch.zeros(z_ED.shape, dtype=torch.float32, device=h.device)
        buffer = torch.empty(min(CHUNK_ROWS, k), 2 * k, dtype=torch.float16, device=h.device)
        total = torch.zeros((), device=h.device)
        for begin in range(0, k, CHUNK_ROWS):
            end = min(begin + CHUNK_ROWS, k)
            rows_CD, weights_CE = z_ED[begin:end], buffer[: end - begin]
            torch.mm(rows_CD / temperature, z_ED.T, out=weights_CE)
            weights_CE[:, begin:end].fill_diagonal_(-math.inf)
            largest = weights_CE.amax(dim=1, keepdim=True)
            weights_CE.sub_(largest).exp_()
            sums = weights_CE.sum(dim=1, dtype=torch.float32, keepdim=True)
            weights_CE.mul_(WEIGHT_SCALE / sums)
            total += (largest + sums.log()).sum()
            gradient[begin:end] += weights_CE @ z_ED
            gradient += weights_CE.T @ rows_CD
        gradient /= WEIGHT_SCALE
        gradient -= torch.cat((h_pos, h))
        ctx.save_for_backward(gradient.div_(k * temperature))
        positives: Tensor = (h * h_pos).sum() / temperature
        return (total - positives) / k

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor, Tensor, None]:
        """The gradients of h and h_pos."""
        (gradient,) = ctx.saved_tensors
        first, second = (gradient * outputs[0]).chunk(2)
        return first, second, None


def chunked(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
    """A loop over chunks of rows, as in losses for large batches."""
    value: Tensor = ChunkedLoss.apply(_unit(h), _unit(h_pos), temperature)
    return value


def _lightly() -> Function:
    loss: Any = functools.cache(importlib.import_module("lightly.loss").NTXentLoss)

    def function(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
        value: Tensor = loss(temperature=temperature)(_wide(h), _wide(h_pos))
        return value

    return function


def _metric_learning() -> Function:
    loss: Any = functools.cache(importlib.import_module("pytorch_metric_learning.losses").SupConLoss)

    def function(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
        labels = torch.arange(len(h), device=h.device).repeat(2)
        value: Tensor = loss(temperature=temperature)(torch.cat((_wide(h), _wide(h_pos))), labels)
        return value

    return function


def _inf_cl() -> Function:
    loss = importlib.import_module("inf_cl").cal_flash_loss

    def function(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
        head = min(h.shape[1], 256)  # how its kernel splits the dimension; it does not change the loss
        value: Tensor = loss(_unit(h), _unit(h_pos), scale=1.0 / temperature, head_dim=head)
        return value.mean()

    return function


OURS: Mapping[Loss, str] = {
    "first": "copgen info_nce",
    "both": "copgen info_nce, both",
    "other": "copgen info_nce",
}
CROSS_ENTROPY = "torch cross_entropy"
COMPILED = ("torch.compile, cross_entropy", "torch.compile, logsumexp")
LINEAR_CROSS_ENTROPY = "F.linear_cross_entropy"
NT_XENT = "torch cross_entropy, both"
LIGHTLY = "lightly NTXentLoss"

METHODS: tuple[Method, ...] = (
    Method(OURS["first"], "first", lambda: copgen_first),
    Method(CROSS_ENTROPY, "first", lambda: cross_entropy),
    Method(COMPILED[0], "first", lambda: _compiled(cross_entropy), compiled=True),
    Method(COMPILED[1], "first", lambda: _compiled(log_sum_exp), compiled=True),
    Method(
        LINEAR_CROSS_ENTROPY,
        "other",
        _linear_cross_entropy,
        note="cannot exclude an anchor's own logit: E instead of E - 1 per anchor",
    ),
    Method("torch cross_entropy, bf16 autocast", "first", lambda: autocast_cross_entropy, ("cuda",)),
    Method("chunked cuBLAS loop", "first", lambda: chunked, ("cuda",), note=f"{CHUNK_ROWS} rows at a time, float16"),
    Method(
        "inf-cl", "other", _inf_cl, ("cuda",), note="anchors against positives only: K logits for each anchor, half"
    ),
    Method(OURS["both"], "both", lambda: copgen_both),
    Method(NT_XENT, "both", lambda: nt_xent),
    Method(LIGHTLY, "both", _lightly),
    Method("pytorch-metric-learning SupConLoss", "both", _metric_learning),
)


def methods_on(device: str, *, compiled: bool = True) -> list[Method]:
    """The methods that run on this kind of device."""
    return [method for method in METHODS if device in method.devices and (compiled or not method.compiled)]


def embeddings(k: int, d: int, dtype: torch.dtype, device: torch.device, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random embeddings (K, D) and positives near them, which require gradients."""
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(k, d, generator=generator)
    h_pos = h + 0.7 * torch.randn(k, d, generator=generator)
    return h.to(device, dtype).requires_grad_(), h_pos.to(device, dtype).requires_grad_()


def value_and_gradients(
    function: Function, h: Tensor, h_pos: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The timed function: the loss and the gradients of both inputs."""
    loss = function(h, h_pos, temperature)
    dh, dh_pos = torch.autograd.grad(loss, (h, h_pos))
    return loss, dh, dh_pos


def extra_memory(name: str, k: int, d: int, dtype: str, temperature: float) -> int | None:
    """Bytes that a method adds at its peak on the CPU, with one thread; for a separate process."""
    torch.set_num_threads(1)
    h, h_pos = embeddings(k, d, getattr(torch, dtype), timing.CPU)
    function = next(method for method in METHODS if method.name == name).build()
    return timing.peak_memory_cpu(lambda: value_and_gradients(function, h, h_pos, temperature))
