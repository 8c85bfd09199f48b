"""The settings of fitting a Residual Flow by maximum likelihood."""

from __future__ import annotations

from copgen.runtime.declaration import Flag, seed_setting, setting
from copgen.runtime.panels import TRAINING
from copgen.training.length import Length, batch_size, sample_count, update_count


class FlowTrainingSettings(Length):
    """What the fits of Residual Flows have in common."""

    samples: int = sample_count(exclude=True)
    updates: int = update_count(20_000)
    batch: int = batch_size(128)
    lr: float = setting(
        2e-3,
        text="Learning rate of Adam (of a flow, its peak).",
        source="measured",
        gt=0,
        flag=Flag(TRAINING, "RATE"),
    )
    warmup: int = setting(100, text="Updates of linear warm-up.", unit="updates", ge=1)
    clip: float = setting(1.0, text="Gradient norm clip.", gt=0)
    ema: float = setting(0.999, text="Decay of the EMA of the weights.", source="residual-flows: 0.999", ge=0, lt=1)
    exact_terms: int = setting(2, text="Terms of the series always computed.", source="residual-flows: 2", ge=1)
    extra_terms: float = setting(1.0, text="Mean number of extra terms (Poisson).", gt=0, le=20)
    prior_scale: float = setting(1.0, text="Standard deviation of the sampled latents.", gt=0)
    seed: int = seed_setting()
