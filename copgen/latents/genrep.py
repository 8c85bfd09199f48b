"""Constants of GenRep's latent transforms."""

GENREP_THRESHOLD = 2.0  # bound of its Gaussian step, in standard deviations
GENREP_GAIN = 5.0  # factor on the 3-D rotation of its walks when pairs are made
