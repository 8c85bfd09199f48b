"""The losses that f minimises and T_z maximises, one file each; embeddings in, nats out."""

from copgen.objectives.info_nce import chance_level, info_nce
from copgen.objectives.sup_con import rows_without_positive, sup_con

__all__ = ["chance_level", "info_nce", "rows_without_positive", "sup_con"]
