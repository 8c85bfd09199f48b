"""GenRep's numbers for its latent transforms."""

GENREP_THRESHOLD = 2.0  # bound of its gaussian step, in standard deviations
GENREP_GAIN = 5.0  # on the 3-D rotation of its walks, when pairs are made
