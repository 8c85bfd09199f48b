"""The dataset card of a pairs folder: how the pairs were generated, their number, how to read them.

For imported pairs, it says where they came from and what is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from copgen.pairs import layout
from copgen.pairs.plan import Contents, ImportedPlan, Plan, Setting
from copgen.runtime.printable import printable

_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "n>1B")
_FORMAT_NAMES = {"png": "PNG", "jpg": "JPEG", "webp": "WebP"}

# Without it, `datasets.load_dataset` would take the JSON documents of the folder for the data.
_CONFIGS = f"""\
configs:
- config_name: default
  data_files: {layout.SHARDS}/*.tar
"""

_SAMPLED = """\
---
{configs}pretty_name: {pairs:,} image pairs of {generator}
size_categories:
- {size}
tags:
- copgen
- webdataset
- contrastive-learning
- synthetic
---

# {pairs:,} image pairs of {generator}

Each pair is an **anchor** image x = G(z) and {positives}: images with the same meaning
that look different. They were sampled from the generator `{generator}` by copgen (COP-Gen, NeurIPS 2022).

| | |
|---|---|
| pairs | {pairs:,}, each of one anchor and {positives} |
| images | {height} x {width} pixels, {colour}, {format} |
| shards | {shards:,}, of up to {per_shard:,} pairs; {bytes:,} bytes in total |
| generator G | `{generator}`, weights sha256 `{generator_sha256}` |
| prior of z | {prior} |
| latent transform z -> z' | {transform} |
{filter}| seed | {seed}; pair k is a function of (seed, k) |
| versions | {versions}; device {device}, inner batch {batch} |

## Reading

```python
import copgen

for pair in copgen.pairs.read("path/to/this/folder"):
    pair.index, pair.anchor, pair.positive, pair.metadata    # images are uint8 tensors ({channels}, {height}, {width})
```

The shards are plain tar files in the WebDataset layout, which any program that reads tar and {format_name} can read,
such as `datasets.load_dataset("path/to/this/folder")` of Hugging Face. The members of pair 0 are:

{members}

With NVIDIA DALI (the `.idx` file of each tar is its index; by default, DALI does not report missing components):

```python
fn.readers.webdataset(paths=tars, index_paths=indices, ext={extensions}, missing_component_behavior="error")
```

## Verification

`plan.json` holds everything that determines the bytes, `manifest.json` the size and sha256 of every shard. To check
them:

```python
copgen.pairs.open_pairs("path/to/this/folder", verify="full")
```
"""

_IMPORTED = """\
---
{configs}pretty_name: {pairs:,} imported image pairs
tags:
- copgen
- webdataset
- contrastive-learning
- synthetic
---

# {pairs:,} imported image pairs

Imported from the folder `{name}` of another program, with the file names of GenRep and the authors of COP-Gen (NeurIPS
2022). The generator, seed and navigator were not recorded; the pixels are unchanged, and were encoded again.

| | |
|---|---|
| pairs | {pairs:,}, each of one anchor and {positives} |
| images | {height} x {width} pixels, {colour}, PNG |
| shards | {shards:,}, of up to {per_shard:,} pairs; {bytes:,} bytes in total |
| imported from | `{name}`, {files:,} images; sha256 of the list of their names and sizes `{sha256}` |
| versions | {versions} |

The class in the metadata of a pair is the folder of its images. For an unconditional generator, the authors' folders
have no meaning: they are filled in the order of sampling.

## Reading

```python
import copgen

for pair in copgen.pairs.read("path/to/this/folder"):
    pair.index, pair.anchor, pair.positive, pair.metadata    # images are uint8 tensors ({channels}, {height}, {width})
```

The shards are plain tar files in the WebDataset layout, which `datasets.load_dataset("path/to/this/folder")` of Hugging
Face reads too. The members of pair 0 are:

{members}

To check for missing or modified files: `copgen verify path/to/this/folder`.
"""


def card(plan: Contents, *, total_bytes: int, rejected: int = 0) -> str:
    """The card in Markdown, with the metadata header of dataset hubs.

    Args:
        plan: of the folder.
        total_bytes: of all tars.
        rejected: number of draws that the plan's filter rejected.
    """
    channels, height, width = plan.image_shape
    shared = {
        "configs": _CONFIGS,
        "pairs": plan.pairs,
        "channels": channels,
        "height": height,
        "width": width,
        "colour": "grey" if channels == 1 else "RGB",
        "shards": plan.shards,
        "per_shard": plan.pairs_per_shard,
        "bytes": total_bytes,
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(plan.versions.items())),
        "members": "\n".join(f"* `{layout.key(0)}.{component}`" for component in plan.components),
    }
    if isinstance(plan, ImportedPlan):
        positives = f"{plan.positives:,} positive{'' if plan.positives == 1 else 's'}"
        imported = {**plan.imported.model_dump(), "name": printable(plan.imported.name)}
        return _IMPORTED.format(**shared, positives=positives, **imported)
    assert isinstance(plan, Plan)  # there is no third kind
    weights = "features" if plan.transform.name == "nearest" else "navigator"
    return _SAMPLED.format(
        **shared,
        size=_SIZES[sum(plan.pairs >= 10**power for power in range(3, 10))],
        positives="one positive x' = G(z')" if plan.positives == 1 else f"{plan.positives} positives x' = G(z')",
        format=_FORMAT_NAMES[plan.image_format] + (f" of quality {plan.quality}" if plan.quality else ""),
        format_name=_FORMAT_NAMES[plan.image_format],
        generator=plan.generator.name,
        generator_sha256=plan.generator.sha256,
        prior=_described(plan.prior.name, plan.prior.settings),
        transform=_described(plan.transform.name, plan.transform.settings)
        + (f", {weights} sha256 `{plan.transform.sha256}`" if plan.transform.sha256 else ""),
        filter=_filter_row(plan, rejected),
        seed=plan.seed,
        device=plan.device,
        batch=plan.batch,
        extensions="[" + ", ".join(f'"{component}"' for component in plan.components[:-1]) + "]",
    )


def _filter_row(plan: Plan, rejected: int) -> str:
    """The row of the quality filter, or an empty string."""
    if plan.filter is None:
        return ""
    rules = plan.filter.model_dump(exclude={"encoder_sha256", "attempts"}, exclude_none=True)
    said = ", ".join(f"{name} = {value}" for name, value in rules.items()) or "no bounds"
    encoder = f", encoder sha256 `{plan.filter.encoder_sha256}`" if plan.filter.encoder_sha256 else ""
    return f"| filter | {said}{encoder}; {rejected:,} draws were rejected and drawn again |\n"


def _described(name: str, settings: Mapping[str, Setting]) -> str:
    numbers = ", ".join(f"{field} = {value}" for field, value in sorted(settings.items()))
    return f"{name} ({numbers})" if numbers else name
