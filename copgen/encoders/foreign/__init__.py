"""Pretrained encoders of other programs: torchvision, timm, MoCo, SimCLR, lightly, solo-learn, VISSL, COP-Gen.

layouts   the names that these programs give the tensors of a ResNet
networks  the ResNets in a checkpoint, behind whatever prefixes
choice    the one that is meant; refuses one that is not whole
reading   `load_foreign`: the encoder, with every tensor checked
"""

from copgen.encoders.foreign.reading import is_foreign, load_foreign

__all__ = ["is_foreign", "load_foreign"]
