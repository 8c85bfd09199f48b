"""What `eval pairs` compares with thresholds, with what a value beyond one means and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from copgen.evaluation.pairs_health.verdict import Check
from copgen.pairs import Contents, Plan
from copgen.stages.eval.settings.pairs import PairsThresholds

ALONE = "A single pair has nothing to be compared with: measure more with --n."


def checks_of(found: Mapping[str, Any], plan: Contents, limits: PairsThresholds) -> list[Check]:
    """The checks of a result.

    Args:
        found: the document of `eval_pairs`, without its verdict.
        plan: of the pairs; those without a latent transform equal their anchors by design.
        limits: the thresholds.
    """
    labels, diversity, main = found["labels"], found["diversity"], next(iter(found["similarity"].values()))
    none = isinstance(plan, Plan) and plan.transform.name == "none"
    checks = [
        Check(
            "label agreement",
            None if labels is None else labels["agreement"],
            limits.label_agreement,
            True,
            "No classifier: pass --encoder and --dataset. The class in the metadata is a condition of both images."
            if labels is None
            else "Positives lose the class of their anchor: sample with a smaller step (--delta, --std).",
        ),
        Check(
            "similarity",
            main["above_null"],
            limits.similarity,
            True,
            ALONE
            if main["above_null"] is None
            else "Positives are hardly more like their anchors than other images: sample with a smaller step.",
        ),
        Check(
            "positives equal to their anchor",
            found["equal"],
            limits.equal,
            False,
            "By design, as the transform is none: only T_x tells the views apart."
            if none
            else "Such a pair has no positive of its own: check the navigator, or sample with a larger step.",
            by_design=none,
        ),
        Check(
            "near-duplicates",
            diversity["near_duplicates"],
            limits.near_duplicates,
            False,
            ALONE
            if diversity["near_duplicates"] is None
            else "Anchors repeat: as negatives they push an image from itself. Check truncation, and imported folders.",
        ),
        Check(
            "effective rank",
            diversity["effective_rank"],
            min(limits.effective_rank, float(diversity["most"])),
            True,
            "Anchors hardly differ: check truncation, conditions and weights of the generator, or the encoder.",
        ),
    ]
    if found["repeated_positives"] is not None:
        advice = (
            "By design, as the transform is none." if none else "Positives of an anchor repeat: check the transform."
        )
        checks.append(
            Check("equal positives", found["repeated_positives"], limits.equal, False, advice, by_design=none)
        )
    return checks
