"""Results of evaluations, written as `copgen eval` writes them, without encoders."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from copgen.report.comparison import Result
from copgen.storage.files import write_json

TRANSFORM = {"name": "optimal", "settings": {}, "sha256": "n0"}


def made_by(
    seed: int = 0, *, real: str | None = None, generator: str = "residual-flow-mnist", **how: Any
) -> dict[str, Any]:
    """How an encoder was made; `how` are its settings, `transform` and `navigator` those of its pairs."""
    transform, navigator = how.pop("transform", TRANSFORM), how.pop("navigator", {"seed": seed, "lr": 1e-5})
    usual = {"method": "simclr", "views": "mnist", "encoder": "resnet50", "seed": seed, "device": f"cuda:{seed}"}
    found: dict[str, Any] = {"stage": "pretrain", "summary": {"samples": 6000, "pairs": 60}}
    if real is not None:
        return {**found, "settings": {**usual, **how, "dataset": real}, "inputs": {"images": "i"}}
    origin = {"plan": f"p{seed}", "seed": seed, "generator": {"name": generator, "sha256": "g"}, "transform": transform}
    if navigator:
        origin |= {"navigator": {"settings": navigator}, "transform": {**transform, "sha256": f"n{seed}"}}
    settings = {**usual, **how, "pairs": f"pairs-{seed}"}
    return {**found, "settings": settings, "inputs": {"pairs": f"p{seed}"}, "pairs": origin}


def document(
    by: dict[str, Any], *, top1: float | None = 0.9, dataset: str = "mnist", kind: str = "linear", **more: Any
) -> dict[str, Any]:
    """results.json of an encoder."""
    encoder = {
        "sha256": hashlib.sha256(repr(sorted(by.items())).encode()).hexdigest(),
        "config": {"arch": "resnet50", "image_size": 28},
        "made_by": by,
    }
    head = {"format": 1, "kind": f"eval-{kind}", "seed": 0, "inputs": {"images": "t"}}
    how = {"probe": "sgd", "selected_on": "test", "dataset": {"name": dataset}}
    return {**head, **how, "encoder": encoder, "top1": top1, "top5": None, **more}


def result(*given: Any, **how: Any) -> Result:
    return Result(Path("results.json"), document(*given, **how))


def written(path: Path, *given: Any, **how: Any) -> Path:
    """The folder of a result."""
    write_json(path / "results.json", document(*given, **how))
    return path
