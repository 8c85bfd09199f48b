"""How a number was measured. Only results with the same data and protocol are in one column of a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from copgen.report.comparison.reading import Result
from copgen.runtime.settings import flatten

# What of a document says how it was measured, if it is there; dotted names, also of whole tables.
KEYS = (
    *("kind", "dataset", "inputs", "images.channels", "splits", "protocol", "probe", "selected_on", "c_grid"),
    *("temperature", "similarity", "schedule", "backbone", "space", "spaces", "reference", "percent"),
    *(
        "lr_grid",
        "augmentation",
        "optimizer",
        "validation_images",
        "info_nce",
        "data.measured",
        "data.views",
        "data.size",
    ),
    *("n", "generated.images", "pairs.measured", "labels.classifier", "diversity.space"),
    *(f"linear.{name}" for name in ("epochs", "batch", "augmentation", "standardised", "lr_grid", "features_grid")),
)
SIZES = ("images.size", "images.resize")
MEASURED = {"pairs": "inputs.pairs", "detect": "inputs.encoder"}  # hashes of what is measured, not of the data
# Below tables whose names are those of datasets, or numbers of labels.
BELOW = {"datasets": ("metric", "selected_on", "inputs", "images"), "finetune": ("batch", "updates")}
SHOWN = 10  # characters of a hash


def protocols_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Everything that is recorded of how each result was measured, by dotted names.

    What suits an encoder (`_own`) is left out, unless one encoder has several of it, which are to be compared.
    """
    found = [_protocol(result) for result in results]
    ways: dict[tuple[str, str], set[str]] = {}
    for result, protocol in zip(results, found, strict=True):
        ways.setdefault((key_of(protocol), encoder_of(result)), set()).add(key_of(_own(result)))
    several = {key for (key, _), own in ways.items() if len(own) > 1}
    return [
        {**protocol, **_own(result)} if key_of(protocol) in several else protocol
        for result, protocol in zip(results, found, strict=True)
    ]


def encoder_of(result: Result) -> str:
    """What tells an encoder from others: its file, shape and normalisation; without one, the file of the result."""
    encoder = result.table("encoder")
    return key_of({name: encoder.get(name) for name in ("sha256", "config")}) if encoder else str(result.path)


def _protocol(result: Result) -> dict[str, Any]:
    left_out = {*_own(result), MEASURED.get(result.evaluation)}
    return {
        name: value
        for name, value in sorted(flatten(result.document).items())
        if name not in left_out
        and not (result.evaluation == "pairs" and name.startswith("similarity.") and not name.endswith(".text"))
        and (any(name == key or name.startswith(f"{key}.") for key in KEYS) or _below(name))
    }


def _own(result: Result) -> dict[str, Any]:
    """What suits the encoder: the size of images is that of its training, and the rate of the paper's linear evaluation
    is another one on MNIST for generated images than for real ones."""
    flat = flatten(result.document)
    names = (*SIZES, *(("linear.lr_grid",) if flat.get("protocol") == "authors" else ()))
    return {name: flat[name] for name in names if name in flat}


def _below(name: str) -> bool:
    table, _, rest = name.partition(".")
    return any(f".{key}." in f"{rest}." for key in BELOW.get(table, ()))


def label_of(result: Result) -> str:
    """'linear (lbfgs), digits', 'linear (sgd, best test epoch), mnist'."""
    words = [str(result.document[name]) for name in ("probe",) if isinstance(result.document.get(name), str)]
    if result.document.get("selected_on") == "test":
        words.append("best test epoch")
    how = f" ({', '.join(words)})" if words else ""
    dataset = result.table("dataset").get("name", "")
    return f"{result.evaluation}{how}" + (f", {dataset}" if dataset else "")


def distinguished(protocols: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each protocol, in words, what tells it from the others; empty for a single one."""
    names = sorted({name for one in protocols for name in one})
    different = [name for name in names if len({_key(one.get(name)) for one in protocols}) > 1]
    return [", ".join(f"{name.rpartition('.')[2]} {_short(one.get(name))}" for name in different) for one in protocols]


def key_of(protocol: Mapping[str, Any]) -> str:
    """A hash of a protocol."""
    return hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:
        return value[:SHOWN]
    text = _key(value).strip('"')
    return text if len(text) <= 2 * SHOWN else f"#{hashlib.sha256(text.encode()).hexdigest()[:SHOWN]}"
