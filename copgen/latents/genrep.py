"""Constants of GenRep's latent transforms."""

GENREP_THRESHOLD = 2.0  # bound of its Gaussian step, in standard deviations
GENREP_GAIN = 5.0  # factor on the 3-D rotation of its walks when pairs are made

# Standard deviation of its Gaussian step, by the start of the generator's name. Nominal: GenRep draws within two of
# these, so the effective one is 0.88 times as large.
PRIOR_STD = {
    "bigbigan": 0.2,  # GenRep
    "biggan-deep": 1.0,  # GenRep, appendix E
    "residual-flow-mnist": 0.05,  # appendix D
    "digits": 0.2,  # measured here, docs/digits.md
}


def prior_std_of(generator: str) -> float | None:
    """The standard deviation of the Gaussian step of a generator; None if it is not known."""
    return next((std for name, std in PRIOR_STD.items() if generator.startswith(name)), None)
