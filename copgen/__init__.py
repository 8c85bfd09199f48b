"""copgen: contrastive optimal positives from a pretrained generator (COP-Gen, NeurIPS 2022).

The stages and their settings are here under their names: `copgen.navigate(settings, out="runs/navigate")` does what
`copgen navigate` does. Below them are the packages that they are built of. All is loaded on first use, so
`import copgen` does not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from copgen.runtime import checkout, later

if TYPE_CHECKING:
    from copgen import (
        data,
        doctor,
        encoders,
        evaluation,
        generators,
        latents,
        methods,
        objectives,
        pairs,
        report,
        stages,
        training,
        views,
    )
    from copgen.stages.compare import CompareSettings, compare
    from copgen.stages.eval import (
        EvalAlignmentSettings,
        EvalDetectSettings,
        EvalFewShotSettings,
        EvalFinetuneSettings,
        EvalGeneratorSettings,
        EvalKnnSettings,
        EvalLinearSettings,
        EvalPairsSettings,
        EvalTransferSettings,
        eval_alignment,
        eval_detect,
        eval_few_shot,
        eval_finetune,
        eval_generator,
        eval_knn,
        eval_linear,
        eval_pairs,
        eval_transfer,
    )
    from copgen.stages.generator import (
        FitFlowSettings,
        FitGanSettings,
        FitResidualFlowSettings,
        fit_flow,
        fit_gan,
        fit_residual_flow,
    )
    from copgen.stages.navigate import NavigateSettings, SteeringSettings, navigate, navigate_steering
    from copgen.stages.pretrain import PretrainSettings, pretrain
    from copgen.stages.report import ReportSettings, write_report
    from copgen.stages.sample import SampleSettings, sample
    from copgen.stages.sweep import SweepSettings, sweep

__version__ = "0.1.0"
__all__ = [
    "CompareSettings",
    "EvalAlignmentSettings",
    "EvalDetectSettings",
    "EvalFewShotSettings",
    "EvalFinetuneSettings",
    "EvalGeneratorSettings",
    "EvalKnnSettings",
    "EvalLinearSettings",
    "EvalPairsSettings",
    "EvalTransferSettings",
    "FitFlowSettings",
    "FitGanSettings",
    "FitResidualFlowSettings",
    "NavigateSettings",
    "PretrainSettings",
    "ReportSettings",
    "SampleSettings",
    "SteeringSettings",
    "SweepSettings",
    "compare",
    "data",
    "doctor",
    "encoders",
    "eval_alignment",
    "eval_detect",
    "eval_few_shot",
    "eval_finetune",
    "eval_generator",
    "eval_knn",
    "eval_linear",
    "eval_pairs",
    "eval_transfer",
    "evaluation",
    "fit_flow",
    "fit_gan",
    "fit_residual_flow",
    "generators",
    "latents",
    "methods",
    "navigate",
    "navigate_steering",
    "objectives",
    "pairs",
    "pretrain",
    "report",
    "sample",
    "stages",
    "sweep",
    "training",
    "views",
    "write_report",
]
__getattr__, _ = later.names(
    __name__,
    {
        "stages.compare": ["CompareSettings", "compare"],
        "stages.eval": [
            *("EvalAlignmentSettings", "EvalDetectSettings", "EvalFewShotSettings", "EvalFinetuneSettings"),
            *("EvalGeneratorSettings", "EvalKnnSettings", "EvalLinearSettings", "EvalPairsSettings"),
            *("EvalTransferSettings", "eval_alignment", "eval_detect", "eval_few_shot", "eval_finetune"),
            *("eval_generator", "eval_knn", "eval_linear", "eval_pairs", "eval_transfer"),
        ],
        "stages.generator": [
            *("FitFlowSettings", "FitGanSettings", "FitResidualFlowSettings"),
            *("fit_flow", "fit_gan", "fit_residual_flow"),
        ],
        "stages.navigate": ["NavigateSettings", "SteeringSettings", "navigate", "navigate_steering"],
        "stages.pretrain": ["PretrainSettings", "pretrain"],
        "stages.report": ["ReportSettings", "write_report"],
        "stages.sample": ["SampleSettings", "sample"],
        "stages.sweep": ["SweepSettings", "sweep"],
    },
    packages=__all__,
)
checkout.add_kernels(Path(__file__).parent)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
