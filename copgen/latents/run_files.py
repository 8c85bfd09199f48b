"""Paths of the navigator and the walk in a run folder."""

from __future__ import annotations

from pathlib import Path

NAVIGATOR = "navigator.safetensors"
WALK = "walk.safetensors"


def navigator_file(path: str | Path) -> Path:
    """The navigator's file: the path itself, or `navigator.safetensors` in it if it is a run folder."""
    return _file(Path(path), NAVIGATOR)


def walk_file(path: str | Path) -> Path:
    """The walk's file: the path itself, or `walk.safetensors` in it if it is a run folder."""
    return _file(Path(path), WALK)


def _file(path: Path, name: str) -> Path:
    return path / name if path.is_dir() or not path.suffix else path
