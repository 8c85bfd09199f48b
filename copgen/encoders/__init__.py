"""f: residual networks from images to features, the projection head for training, and the encoder file."""

from copgen.encoders.encoder import Encoder, EncoderConfig, load, save_encoder
from copgen.encoders.heads import mlp
from copgen.encoders.projector import Projector
from copgen.encoders.resnet import ARCHITECTURES, ResNet, build

__all__ = ["ARCHITECTURES", "Encoder", "EncoderConfig", "Projector", "ResNet", "build", "load", "mlp", "save_encoder"]
