"""The next command to type, where it depends on what there is."""

from __future__ import annotations

from pathlib import Path

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
    usual = recipe.get("pretrain", {}).get("batch", DEFAULT)
    smaller = ["--batch", str(1 << plan.pairs.bit_length() - 1)] if 2 <= plan.pairs < usual else []
    return ["pretrain", "--pairs", f"{pairs}/", *smaller]
