"""How alike two images are: measures of pairs, for the health of pairs and for rules that stop a navigator.

    similarity = open_similarity("ms-ssim", device=torch.device("cpu"), events=Silent())
    similarity(x, x_pos)                                          # (N,), larger is more alike

measure      what a measure is
structural   MS-SSIM: needs no weights
perceptual   LPIPS
cosine       the cosine of two images' features in any space
choice       a measure by its name
"""

from copgen.evaluation.similarity.choice import check_similarity, open_similarity
from copgen.evaluation.similarity.measure import Similarity

__all__ = ["Similarity", "check_similarity", "open_similarity"]
