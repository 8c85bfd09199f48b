"""Feature spaces in which images are compared: `open_space` by name.

space            the protocol, and how images are brought to a network's size and colours
registry         the names, and `open_space`
clip             the image embedding of CLIP
published        published weights: where they are looked for, and their hashes
pixels           small images as they are
trained_encoder  the features of any encoder file
efficientnet     EfficientNet-Lite0, whose weights come as a package
inception        the network of FID
dinov2, vit      DINOv2, and its network
"""

from copgen.evaluation.spaces.registry import SPACES, check_space, open_space
from copgen.evaluation.spaces.space import FeatureSpace

__all__ = ["SPACES", "FeatureSpace", "check_space", "open_space"]
