"""Counter-based random numbers: row k of a run depends on (seed, stream, k) only.

Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). The key is a hash of the seed and
of the stream's name; the counter is (row, low word; row, high word; block of four columns; 0). There is no state, so a
sample does not depend on the batch size, on the rank, or on where a run was resumed.

Legend: N rows, C columns.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from copgen.runtime.device_copies import to_device
from copgen.runtime.dispatch import choose

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW_32 = 0xFFFFFFFF

Rows = Tensor | Sequence[int] | range


def stream_key(seed: int, stream: str) -> int:
    """The 64-bit key of a named stream: streams of one seed, and one stream of several seeds, are independent."""
    digest = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


# Compiled code treats a key as a constant. The public decorator, torch.compiler.assume_constant_result, sets the same
# attribute, but imports the whole compiler first.
vars(stream_key)["_dynamo_marked_constant"] = True


def as_rows(rows: Rows, device: torch.device | str | None = None) -> Tensor:
    """Row numbers as an int64 tensor (N,)."""
    if isinstance(rows, Tensor):
        return to_device(rows.to(torch.int64), device)
    if isinstance(rows, range):
        return torch.arange(rows.start, rows.stop, rows.step, dtype=torch.int64, device=device)
    return to_device(torch.tensor(list(rows), dtype=torch.int64), device)


def bits(seed: int, rows: Rows, columns: int, *, stream: str, device: torch.device | str | None = None) -> Tensor:
    """Random 32-bit words (N, C), int64 in [0, 2**32)."""
    row = as_rows(rows, device)
    key = stream_key(seed, stream)
    plain = torch.compiler.is_compiling() or type(row) is not Tensor
    if not plain and choose("random words", row.device, row.dtype).name == "native":
        return cast("Tensor", torch.ops.copgen.philox_bits.default(row, signed(key), columns))
    return plain_bits(row, key, columns)


def signed(key: int) -> int:
    """A 64-bit key as the signed number with the same bits, as operators expect it."""
    return key - (1 << 64) if key >> 63 else key


def plain_bits(row: Tensor, key: int, columns: int) -> Tensor:
    """The words (N, C) of a key in plain PyTorch: the reference, used without the native operators."""
    blocks = -(-columns // 4)
    block = torch.arange(blocks, dtype=torch.int64, device=row.device)
    shape = (row.shape[0], blocks)
    words = _philox(_counter(row, block, shape), (key & _LOW_32, key >> 32))
    return torch.stack(words, dim=-1).reshape(row.shape[0], blocks * 4)[:, :columns]


def _counter(row: Tensor, block: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        (row & _LOW_32)[:, None].expand(shape),
        ((row >> 32) & _LOW_32)[:, None].expand(shape),
        block[None, :].expand(shape),
        torch.zeros(shape, dtype=torch.int64, device=row.device),
    )


def _philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int] | tuple[Tensor, Tensor]
) -> tuple[Tensor, ...]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # The product overflows int64, but has the bit pattern of the unsigned product.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        high0, high1 = (p0 >> 32) & _LOW_32, (p1 >> 32) & _LOW_32
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, p1 & _LOW_32, high0 ^ c3 ^ k1, p0 & _LOW_32
        k0, k1 = (k0 + _WEYL[0]) & _LOW_32, (k1 + _WEYL[1]) & _LOW_32
    return c0, c1, c2, c3


def uniform(seed: int, rows: Rows, columns: int, *, stream: str, device: torch.device | str | None = None) -> Tensor:
    """Uniform numbers (N, C), float64 in the open interval (0, 1), on a grid of 2**-32."""
    return _unit_interval(bits(seed, rows, columns, stream=stream, device=device))


def _unit_interval(words: Tensor) -> Tensor:
    return (words.to(torch.float64) + 0.5) * 2.0**-32


def uniform_parts(
    seed: int, rows: Rows, parts: Mapping[str, int], *, stream: str, device: torch.device | str | None = None
) -> dict[str, Tensor]:
    """Uniform numbers of several sub-streams, sampled together.

    Args:
        parts: name and number of columns C of each.

    Returns:
        For each part (N, C), equal to `uniform(..., stream=f"{stream}/{part}")`.
    """
    row = as_rows(rows, device)
    plain = torch.compiler.is_compiling() or type(row) is not Tensor
    if not plain and choose("random words", row.device, row.dtype).name == "native":
        return {part: uniform(seed, row, columns, stream=f"{stream}/{part}") for part, columns in parts.items()}
    blocks = [-(-columns // 4) for columns in parts.values()]
    keys = [stream_key(seed, f"{stream}/{part}") for part in parts]

    def of_blocks(words: Sequence[int]) -> Tensor:
        # Filled on the device: a tensor made from a list would be copied there, which synchronises.
        return torch.cat([row.new_full((count,), word) for count, word in zip(blocks, words, strict=True)])

    key = of_blocks([key & _LOW_32 for key in keys]), of_blocks([key >> 32 for key in keys])
    block = torch.cat([torch.arange(count, dtype=torch.int64, device=row.device) for count in blocks])
    shape = (row.shape[0], sum(blocks))
    counter = _counter(row, block, shape)
    words = torch.split(torch.stack(_philox(counter, key), dim=-1), blocks, dim=1)
    return {
        part: _unit_interval(word.flatten(1)[:, :columns])
        for (part, columns), word in zip(parts.items(), words, strict=True)
    }


def normal(seed: int, rows: Rows, columns: int, *, stream: str, device: torch.device | str | None = None) -> Tensor:
    """Standard normal numbers (N, C), float64, by the Box-Muller transform; |value| < 6.8."""
    pairs = -(-columns // 2)
    u = uniform(seed, rows, 2 * pairs, stream=stream, device=device)
    radius = torch.sqrt(-2.0 * torch.log(u[:, 0::2]))
    angle = (2.0 * math.pi) * u[:, 1::2]
    both = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1)
    return both.reshape(u.shape[0], 2 * pairs)[:, :columns]


def truncated_normal(
    seed: int,
    rows: Rows,
    columns: int,
    *,
    stream: str,
    threshold: float = 2.0,
    device: torch.device | str | None = None,
) -> Tensor:
    """Standard normal numbers truncated to |value| <= threshold, (N, C), float64, by the inverse distribution."""
    u = uniform(seed, rows, columns, stream=stream, device=device)
    tail = 0.5 * math.erfc(threshold / math.sqrt(2.0))
    value: Tensor = torch.special.ndtri(tail + u * (1.0 - 2.0 * tail))
    return value.clamp(-threshold, threshold)


def signs(seed: int, rows: Rows, columns: int, *, stream: str, device: torch.device | str | None = None) -> Tensor:
    """Random signs -1 and +1 (N, C), float32, 32 per word."""
    words = bits(seed, rows, -(-columns // 32), stream=stream, device=device)
    each = (words[:, :, None] >> torch.arange(32, device=words.device)) & 1
    return (2 * each - 1).flatten(1)[:, :columns].float()


def permutation(seed: int, n: int, *, stream: str) -> Tensor:
    """A random permutation of range(n), int64 (n,); 63-bit sort keys, so ties do not occur in practice."""
    words = bits(seed, range(n), 2, stream=stream)
    return torch.argsort((words[:, 0] << 31) ^ words[:, 1], stable=True)
