"""The next command to type, where it depends on what there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copgen.runtime.errors import CopgenError
from copgen.runtime.settings_files import read_recipe
from copgen_cli.resolving import recipe_of

DEFAULT = 224  # batch size of `copgen pretrain` without a recipe


def pretrain_on(pairs: Path) -> list[str]:
    """`pretrain` on a finished pairs folder, which needs a smaller batch than the usual one if it has few pairs."""
    from copgen.pairs import Plan, read_plan

    plan = read_plan(pairs)
    try:
        recipe = read_recipe(recipe_of(plan.generator.name)) if isinstance(plan, Plan) else {}
    except CopgenError:  # a generator that is not installed here
        recipe = {}
    return ["pretrain", "--pairs", f"{pairs}/", *smaller_batch(plan.pairs, recipe.get("pretrain", {}))]


def pretrain_on_images(dataset: str, images: int) -> list[str]:
    """`pretrain` on the training images of a dataset or folder, with a smaller batch if they are few."""
    from copgen.data.datasets import DATASETS

    known = DATASETS.get(dataset)
    recipe = read_recipe(known.recipe) if known is not None and known.recipe else {}
    return ["pretrain", "--dataset", dataset, *smaller_batch(images, recipe.get("pretrain", {}))]


def smaller_batch(count: int, recipe: Mapping[str, Any]) -> list[str]:
    """The option for a batch that so many pairs or images fill, if the usual one does not fit; [] if it does."""
    usual: int = recipe.get("batch", DEFAULT)
    return ["--batch", str(1 << count.bit_length() - 1)] if 2 <= count < usual else []
