"""Turns what is CUDA and not C++ into calls of cuda_runtime_api.h: launches, and arrays in shared memory."""

from __future__ import annotations

import re

_LAUNCH = re.compile(r"\b(\w+)((?:<[^<>;]*>)?)<<<(.*?)>>>\(", re.DOTALL)
_DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:__align__\(\d+\)\s+)?([\w:]+)\s+(\w+)\[\];")
_STATIC = re.compile(r"__shared__\s+([\w:]+)\s+(\w+)((?:\[[^\]]*\])*);")
_KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^()]*\)\s+)?(\w+)\(")
_BARRIER = re.compile(r"[ \t]*(__sync(?:threads|warp)\(\);)")


def translated(source: str, name: str) -> str:
    """A CUDA source as C++, line by line; messages name it `name`."""
    source = _LAUNCH.sub(r'::copgen_shim::Launch("\1", \3)(\1\2, ', source)
    source = _DYNAMIC.sub(r"\1* const \2 = static_cast<\1*>(::copgen_shim::dynamic_shared_memory());", source)
    source = _STATIC.sub(r'auto& \2 = ::copgen_shim::shared_array<\1\3>(COPGEN_SHIM_SITE " \2");', source)
    return f'#line 1 "{name}"\n{source}'


def kernels(source: str) -> set[str]:
    """The names of a CUDA source's kernels."""
    return set(_KERNEL.findall(source))


def barriers(source: str) -> list[tuple[int, str]]:
    """The barriers of a CUDA source: the line of each, and what it says."""
    return [(source.count("\n", 0, found.start(1)) + 1, found[1]) for found in _BARRIER.finditer(source)]


def without_barrier(source: str, line: int) -> str:
    """The source with the barrier of this line removed."""
    lines = source.split("\n")
    lines[line - 1], removed = _BARRIER.subn("", lines[line - 1])
    assert removed == 1
    return "\n".join(lines)
