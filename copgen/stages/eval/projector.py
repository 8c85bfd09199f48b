"""The projection head of a pretrain run, from its last checkpoint: the encoder's file does not have it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from copgen.distributed.ranks import Ranks
from copgen.encoders import Encoder
from copgen.encoders.encoder import encoder_file
from copgen.runtime.errors import CopgenError
from copgen.runtime.seeds import seeded
from copgen.runtime.settings import build
from copgen.runtime.settings_files import read_toml
from copgen.stages.pretrain.learner import build_method
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.training.checkpoints import Checkpoints
from copgen.training.run_folder import CONFIG


def trained_projector(ckpt: Path, encoder: Encoder) -> tuple[nn.Module | None, str]:
    """The projector that was trained with an encoder, float32 and in evaluation mode, or None; and where it is from.

    Args:
        ckpt: the run folder, or the encoder's file in it.
        encoder: the encoder; the projector is on its device.

    Returns:
        (projector, the checkpoint), or (None, why there is none). Nothing in the run folder is changed.
    """
    folder = encoder_file(ckpt).parent
    try:
        tree = read_toml(folder / CONFIG) if (folder / CONFIG).is_file() else {}
        if tree.get("stage") != "pretrain":
            return None, "the encoder is not in its run folder"
        settings = build(PretrainSettings, PretrainSettings.of_a_run(tree), origin=str(folder / CONFIG))
        update, saved = Checkpoints(folder / "checkpoints").last()
        with seeded(settings.seed, "eval/projector"):
            branch = build_method(settings, encoder.config, 1, Ranks()).f
        branch.load_state_dict(saved["state"]["encoder"])
    except (CopgenError, KeyError, RuntimeError) as error:
        return None, f"no checkpoint of the run can be read ({error})"
    branch = branch.float()
    kept = encoder.backbone.state_dict()
    if any(not torch.equal(value.cpu(), kept[name].cpu()) for name, value in branch.backbone.state_dict().items()):
        return None, "the last checkpoint has other weights than the encoder"
    return branch.projector.to(next(encoder.parameters()).device).eval().requires_grad_(False), f"update {update:,}"
