"""Quality of a generator of digits, measured by a classifier of real ones (`copgen.evaluation.digits_classifier`)."""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.data import digits
from copgen.evaluation.digits_classifier import fit_digits_classifier, judge_accuracy
from copgen.generators.residual_flow.generator import FlowGenerator
from copgen.runtime import philox

SAMPLES = 4000
STEP = 0.1


@torch.no_grad()
def assess_digits(G: FlowGenerator, *, seed: int = 0) -> dict[str, float]:
    """Quality metrics of a flow on digits.

    Returns:
        `inversion_error`: the largest |G(G^-1(x)) - x| over the real test images, pixels in [-1, 1].
        `confident_share`: share of 4,000 samples for which one digit has at least probability 0.9.
        `confident_share_real`: the same for the real test images, for comparison.
        `confident_share_noise`: the same for uniform noise; if it is not near 0 the classifier cannot be trusted.
        `kept_share`: share of 4,000 samples that keep their label after a Gaussian step of RMS 0.1 in z.
        `kept_share_relative`: the same for a step of 0.1 standard deviations of the prior.
        `classifier_accuracy`: accuracy of the classifier on the real test images.
    """
    judge = fit_digits_classifier()
    real = digits.load("test").images
    z = G.sample_prior(range(SAMPLES), seed)
    step = STEP * philox.normal(seed, range(SAMPLES), G.latent_dim, stream="assess/step").float()
    noise = 2.0 * philox.uniform(seed, range(SAMPLES), G.latent_dim, stream="assess/noise").float() - 1.0
    noise = noise.view(SAMPLES, *real.shape[1:])
    x = G(z)
    return {
        "inversion_error": float((G(G.encode(real)) - real).abs().max()),
        "confident_share": judge.confident_share(x),
        "confident_share_real": judge.confident_share(real),
        "confident_share_noise": judge.confident_share(noise),
        "kept_share": judge.kept_share(x, G(z + step)),
        "kept_share_relative": judge.kept_share(x, G(z + G.prior.std * step)),
        "classifier_accuracy": judge_accuracy(judge),
    }


def judge_digits(x: Tensor) -> dict[str, float]:
    """Of images (N, 1, 8, 8) in [-1, 1] of any generator: `confident_share`, `confident_share_real` and
    `classifier_accuracy`, as `assess_digits`.
    """
    judge = fit_digits_classifier()
    return {
        "confident_share": judge.confident_share(x),
        "confident_share_real": judge.confident_share(digits.load("test").images),
        "classifier_accuracy": judge_accuracy(judge),
    }
