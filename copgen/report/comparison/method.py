"""What a result is a result of: the method that trained the encoder, as the rows of the paper's tables name it.

Two encoders belong to one row if all that is recorded of them agrees, but for seeds, places of files, and what changes
speed only. Pairs of another seed, and navigators of another seed, belong to it too: the paper repeats all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from copgen.report.comparison.reading import Result
from copgen.runtime.settings import flatten

REAL = "N/A"  # T_z of real images, as in the paper's tables
# Settings of any stage that do not make it another method.
PLACES = {"pairs", "weights", "instances", "navigator", "walk", "data_root", "out", "filter_encoder"}
SPEED = {"device", "workers", "loader", "compile", "chunk", "checkpoint_every", "preview_every", "snapshot_every"}
REPORT = {"read_every", "skip_bad", "track", "monitor", "monitor_every", "memory_format", "max_checkpoints"}
LEFT_OUT = {"seed", *PLACES, *SPEED, *REPORT}
HASHES = ("transform.sha256", "transform.settings.snapshot_")  # of a navigator or walk


@dataclass(frozen=True)
class Method:
    """A row.

    Attributes:
        name: COP-Gen or GenRep, if it learned from pairs; else the pretraining method, or the file of the encoder.
        learner: the pretraining method: simclr, byol, ...
        source: the generator or the dataset.
        T_z: the latent transform; N/A for real images.
        T_x: the view policy.
        arch: of the encoder.
        epochs: over the pairs or images; None if unknown.
        identity: all that is recorded, by dotted names.
    """

    name: str
    learner: str
    source: str
    T_z: str
    T_x: str
    arch: str
    epochs: float | None
    identity: tuple[tuple[str, Any], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What a row shows of it."""
        source = f"real {self.source}" if self.T_z == REAL else self.source
        return self.name, self.learner, source, self.T_z, self.T_x


def method_of(result: Result) -> Method:
    """The method of a result's encoder; of a result without one, what it names instead."""
    made_by, settings = result.table("encoder", "made_by"), result.table("encoder", "made_by", "settings")
    config, pairs = result.table("encoder", "config"), result.table("encoder", "made_by", "pairs")
    transform, summary = _table(pairs, "transform"), _table(made_by, "summary")
    learner = str(settings.get("method", ""))
    identity = _identity(result, settings, pairs)
    if "pairs" in settings or pairs:
        T_z = _T_z(transform)
        named = {"optimal": "COP-Gen", "nearest": "neighbours", None: learner}
        name = named.get(transform.get("name"), "GenRep")
        source = _table(pairs, "generator").get("name") or _table(pairs, "imported").get("name")
        source = source or settings.get("pairs")
    elif "dataset" in settings:
        name, source, T_z = learner, settings["dataset"], REAL
    else:
        name, source, T_z = _other(result, made_by), "", ""
    images, epochs = summary.get("pairs"), None
    if isinstance(images, int) and images and isinstance(samples := summary.get("samples"), int):
        epochs = samples / images
    T_x, arch = str(settings.get("views", config.get("views", ""))), str(config.get("arch", ""))
    return Method(name or "?", learner, str(source or ""), T_z, T_x, arch, epochs, identity)


def _other(result: Result, made_by: Mapping[str, Any]) -> str:
    """What is evaluated, if it was not pretrained here: a file of another program, a generator, pairs."""
    source = made_by.get("source")
    if isinstance(source, Mapping) and isinstance(source.get("file"), str):
        return str(source["file"])
    for keys, name in (("generated", "generator"), "name"), (("generated",), "pairs"), (("pairs",), "folder"):
        if isinstance(found := result.table(*keys).get(name), str):
            return found
    folder = result.path.parent
    return folder.parent.parent.name if folder.parent.name == "eval" else folder.name


def _T_z(transform: Mapping[str, Any]) -> str:
    """'none', 'gaussian 0.2', 'nearest pixels', 'optimal'; empty if it is not recorded."""
    if transform.get("name") == "nearest":
        return f"nearest {_table(transform, 'settings').get('features')}"
    std = _table(transform, "settings").get("std")
    return f"{transform.get('name', '')} {std:g}" if isinstance(std, float) else str(transform.get("name", ""))


def _identity(result: Result, settings: Mapping[str, Any], pairs: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    found = {f"encoder.{name}": value for name, value in result.table("encoder", "config").items()}
    found |= {name: value for name, value in flatten(settings).items() if name not in LEFT_OUT}
    if pairs:
        kind = "walk" if "walk" in pairs else "navigator"
        of_training = flatten(_table(_table(pairs, kind), "settings"))
        found |= {f"{kind}.{name}": value for name, value in of_training.items() if name not in LEFT_OUT}
        of_pairs = flatten({name: pairs[name] for name in pairs if name not in ("plan", "seed", "navigator", "walk")})
        hashes = HASHES if of_training else ()  # without its settings, another navigator is another method
        found |= {f"pairs.{name}": value for name, value in of_pairs.items() if not name.startswith(hashes)}
    else:
        # Without the origin of the pairs, other pairs are another method; real images are told by their hashes.
        found |= {f"data.{name}": value for name, value in result.table("encoder", "made_by", "inputs").items()}
        if "pairs" in settings:
            found["pairs"] = settings["pairs"]
    if not settings:
        found["sha256"] = result.table("encoder").get("sha256", str(result.path))
    return tuple(sorted((name, _plain(value)) for name, value in found.items()))


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def _table(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tree.get(name)
    return found if isinstance(found, Mapping) else {}
