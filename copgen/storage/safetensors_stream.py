"""The bytes of a safetensors file, written tensor by tensor: the library's `save` holds them in memory two more times.

They are those of `save`. The library decides the order of the tensors, and the names of their types, from tensors of
the same types without elements.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import BinaryIO

import torch
from safetensors.torch import save
from torch import Tensor

_LENGTH = 8  # bytes of the header's length, and of what it is padded to


def write_safetensors(stream: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a whole file.

    Args:
        stream: at its start.
        tensors: name -> tensor, contiguous, on the CPU.
        metadata: of the header.
    """
    empty = save({name: tensor.new_empty(0) for name, tensor in tensors.items()}, metadata=dict(metadata))
    header = json.loads(empty[_LENGTH : _LENGTH + int.from_bytes(empty[:_LENGTH], "little")])
    names, end = [name for name in header if name in tensors], 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        header[name] |= {"shape": list(tensors[name].shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _LENGTH)
    stream.write(len(text).to_bytes(_LENGTH, "little") + text)
    for name in names:
        stream.write(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
