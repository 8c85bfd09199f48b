"""`copgen eval`: evaluate an encoder on frozen features; nothing is selected on the test split, unless asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.eval.alignment import eval_alignment
    from copgen.stages.eval.detect import eval_detect
    from copgen.stages.eval.few_shot import eval_few_shot
    from copgen.stages.eval.finetune import eval_finetune
    from copgen.stages.eval.generator import eval_generator
    from copgen.stages.eval.knn import eval_knn
    from copgen.stages.eval.linear import eval_linear
    from copgen.stages.eval.pairs import eval_pairs
    from copgen.stages.eval.settings.alignment import EvalAlignmentSettings
    from copgen.stages.eval.settings.detect import EvalDetectSettings
    from copgen.stages.eval.settings.few_shot import EvalFewShotSettings
    from copgen.stages.eval.settings.finetune import EvalFinetuneSettings
    from copgen.stages.eval.settings.generator import EvalGeneratorSettings
    from copgen.stages.eval.settings.knn import EvalKnnSettings
    from copgen.stages.eval.settings.linear import EvalLinearSettings
    from copgen.stages.eval.settings.pairs import EvalPairsSettings
    from copgen.stages.eval.settings.transfer import EvalTransferSettings
    from copgen.stages.eval.transfer import eval_transfer

__all__ = [
    "EvalAlignmentSettings",
    "EvalDetectSettings",
    "EvalFewShotSettings",
    "EvalFinetuneSettings",
    "EvalGeneratorSettings",
    "EvalKnnSettings",
    "EvalLinearSettings",
    "EvalPairsSettings",
    "EvalTransferSettings",
    "eval_alignment",
    "eval_detect",
    "eval_few_shot",
    "eval_finetune",
    "eval_generator",
    "eval_knn",
    "eval_linear",
    "eval_pairs",
    "eval_transfer",
]
__getattr__, __dir__ = later.names(
    __name__,
    {
        "settings.transfer": ["EvalTransferSettings"],
        "transfer": ["eval_transfer"],
        "settings.finetune": ["EvalFinetuneSettings"],
        "finetune": ["eval_finetune"],
        "settings.alignment": ["EvalAlignmentSettings"],
        "settings.detect": ["EvalDetectSettings"],
        "settings.few_shot": ["EvalFewShotSettings"],
        "settings.generator": ["EvalGeneratorSettings"],
        "settings.knn": ["EvalKnnSettings"],
        "settings.linear": ["EvalLinearSettings"],
        "settings.pairs": ["EvalPairsSettings"],
        "alignment": ["eval_alignment"],
        "generator": ["eval_generator"],
        "detect": ["eval_detect"],
        "linear": ["eval_linear"],
        "pairs": ["eval_pairs"],
        "knn": ["eval_knn"],
        "few_shot": ["eval_few_shot"],
    },
)
