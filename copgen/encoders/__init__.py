"""f: residual networks from images to features, the projection head for training, and the encoder file."""

from copgen.encoders.encoder import Encoder, EncoderConfig, save_encoder
from copgen.encoders.foreign import load_foreign
from copgen.encoders.heads import mlp
from copgen.encoders.loading import load
from copgen.encoders.projector import Projector
from copgen.encoders.resnet import ARCHITECTURES, ResNet, build, check_architecture

__all__ = [
    "ARCHITECTURES",
    "Encoder",
    "EncoderConfig",
    "Projector",
    "ResNet",
    "build",
    "check_architecture",
    "load",
    "load_foreign",
    "mlp",
    "save_encoder",
]
