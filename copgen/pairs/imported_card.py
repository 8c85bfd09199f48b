"""The dataset card of imported pairs: where they came from, and what is not known of them."""

from __future__ import annotations

from copgen.pairs import layout
from copgen.pairs.plan import ImportedPlan

_TEXT = """\
---
pretty_name: {pairs:,} imported image pairs
tags:
- copgen
- webdataset
- contrastive-learning
- synthetic
---

# {pairs:,} imported image pairs

Taken from the folder `{name}` of another program, which names files as GenRep and the authors of COP-Gen (NeurIPS 2022)
do. What generator, seed and navigator made them, nobody wrote down; the pixels are what they were, encoded anew.

| | |
|---|---|
| pairs | {pairs:,}, each of one anchor and {positives:,} positive{plural} |
| images | {height} x {width} pixels, {colour}, PNG |
| shards | {shards:,}, of up to {per_shard:,} pairs; {bytes:,} bytes in all |
| taken from | `{name}`, {files:,} images; sha256 of the list of their names and sizes `{sha256}` |
| made with | {versions} |

The class in a pair's metadata is the folder that its images lay in. Of an unconditional generator the authors' folders
mean nothing: they are filled in the order of drawing.

## Reading

```python
import copgen

for pair in copgen.pairs.read("path/to/this/folder"):
    pair.index, pair.anchor, pair.positive, pair.metadata    # images are uint8 tensors ({channels}, {height}, {width})
```

The shards are plain tar files in the layout of WebDataset. The members of pair 0 are:

{members}

To check that nothing is missing or altered: `copgen verify path/to/this/folder`.
"""


def card(plan: ImportedPlan, *, total_bytes: int) -> str:
    """The card's Markdown; a pure function of the plan and the tars' size."""
    channels, height, width = plan.image_shape
    return _TEXT.format(
        pairs=plan.pairs,
        positives=plan.positives,
        plural="" if plan.positives == 1 else "s",
        channels=channels,
        height=height,
        width=width,
        colour="grey" if channels == 1 else "RGB",
        shards=plan.shards,
        per_shard=plan.pairs_per_shard,
        bytes=total_bytes,
        name=plan.imported.name,
        files=plan.imported.files,
        sha256=plan.imported.sha256,
        versions=", ".join(f"{name} {version}" for name, version in sorted(plan.versions.items())),
        members="\n".join(f"* `{layout.key(0)}.{component}`" for component in plan.components),
    )
