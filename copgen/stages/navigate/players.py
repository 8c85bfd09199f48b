"""The game of Algorithm 1: f descends the loss L, T_z ascends it, and G stands by, frozen.

`simultaneous` is Algorithm 1: one forward and one backward of f give both gradients. `alternating` is the authors'
code: f first, on positives without graph, and then T_z against the new f; two of each, of which the second leaves out
the gradients of f's weights. In both, G is run once for the anchors without graph and once for the positives, and
differentiated once, in z' alone.

Nothing here waits for the device. An update that must not happen (its loss is not finite, or d(z, z') went beyond
delta) is prevented there: `halted` is 1 from then on, and the optimizers leave every weight as it is. Whoever reads the
figures finds out, at the next reading, which update that was.

Legend: K rows of this rank; z, z' (K, dim); x, x' images; v, v' views; y (K,) classes; h, h' (K, D) embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from copgen import encoders, generators
from copgen.distributed.ranks import Ranks
from copgen.encoders.synchronised import synchronise
from copgen.latents.navigator import new_navigator
from copgen.objectives import info_nce, sup_con
from copgen.runtime.seeds import seeded
from copgen.stages.navigate.settings import NavigateSettings

# torch 2.14 has a new name for it and warns of the old one.
_NEW, _OLD = "forward_sync_buffers", "broadcast_buffers"
_BUFFERS_AS_THEY_ARE: dict[str, Any] = {_NEW if _NEW in signature(DistributedDataParallel).parameters else _OLD: False}


class Game:
    """The players and their optimizers: T_z that ascends L, f that descends it."""

    def __init__(
        self, settings: NavigateSettings, G: generators.Generator, device: torch.device, ranks: Ranks | None = None
    ) -> None:
        self.settings = settings
        self.ranks = ranks or Ranks()
        self.device = device
        self.dtype = torch.float64 if settings.precision == "float64" else torch.float32
        self.T_z = new_navigator(
            G.latent_dim,
            **settings.shape_for(G),
            init=settings.init,
            std=settings.init_std,
            prior=G.prior,
            seed=settings.seed,
        ).to(device, self.dtype)
        with seeded(settings.seed, "navigate/f"):
            backbone = encoders.build(settings.encoder, G.channels)
            hidden, out = settings.projector
            f = nn.Sequential(backbone, encoders.Projector(backbone.feature_dim, hidden, out))
        f = f.to(device, self.dtype).to(memory_format=torch.channels_last).train()
        self.f: nn.Module = synchronise(f, self.ranks.group, device)
        # Fused, they take a flag on the device that says whether to step at all.
        adam = partial(torch.optim.Adam, betas=settings.betas, fused=True)
        self.ascend = adam(self.T_z.parameters(), lr=settings.lr_navigator, maximize=True)
        self.descend = adam(self.f.parameters(), lr=settings.lr_encoder)
        self.halted = torch.zeros((), device=device)
        for optimizer in (self.ascend, self.descend):
            cast("Any", optimizer).found_inf = self.halted

        compiled = _compiler(settings)
        if settings.memory == "save":
            for segment in G.segments():
                segment.forward = partial(checkpoint, segment.forward, use_reentrant=False, preserve_rng_state=False)
        self.G = compiled(G) if G.compiles else G
        self.embed = compiled(self.f)
        self.embed_and_average = self.embed
        if self.ranks.group is not None:
            self.embed_and_average = DistributedDataParallel(
                self.embed, process_group=self.ranks.group, gradient_as_bucket_view=True, **_BUFFERS_AS_THEY_ARE
            )

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the game."""
        return {"navigator": self.T_z, "encoder": self.f, "ascend": self.ascend, "descend": self.descend}

    def paint(self, z: Tensor, z_pos: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """x = G(z) without graph, and x' = G(z') with a graph to z'; both of condition y."""
        if self.settings.compile in ("reduce-overhead", "max-autotune"):
            begin: Any = torch.compiler.cudagraph_mark_step_begin  # untyped in torch
            begin()
        with torch.no_grad():
            x = self.G(z, y)
            if self.settings.compile != "off":
                x = x.clone()  # the next replay of a CUDA graph would write over it
        return x, self.G(z_pos, y)

    def loss(self, embed: Callable[[Tensor], Tensor], v: Tensor, v_pos: Tensor, y: Tensor | None) -> Tensor:
        """L of this rank's views (K, C, H, W), in nats; one pass of f over both, so batch statistics are joint."""
        half = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            h_both = embed(torch.cat((v, v_pos)))
        h_both = h_both.to(self.dtype)
        tau, group = self.settings.temperature, self.ranks.group
        if self.settings.objective == "sup_con":
            assert y is not None
            return sup_con(h_both, torch.cat((y, y)), temperature=tau, group=group)
        h, h_pos = h_both.chunk(2)
        return info_nce(h, h_pos, temperature=tau, anchors=self.settings.anchors, group=group)

    def play(self, v: Tensor, v_pos: Tensor, y: Tensor | None = None) -> Mapping[str, Tensor]:
        """One update of both players; returns L over all ranks as f saw it and as T_z saw it."""
        if self.settings.update == "simultaneous":
            return self._simultaneous(v, v_pos, y)
        return self._alternating(v, v_pos, y)

    def _simultaneous(self, v: Tensor, v_pos: Tensor, y: Tensor | None) -> Mapping[str, Tensor]:
        loss = self.loss(self.embed_and_average, v, v_pos, y)
        self.descend.zero_grad()
        self.ascend.zero_grad()
        torch.autograd.backward(self.settings.loss_scale * loss)
        loss = self._checked(loss)
        self.descend.step()
        self._ascend()
        return {"loss_encoder": loss, "loss_navigator": loss}

    def _alternating(self, v: Tensor, v_pos: Tensor, y: Tensor | None) -> Mapping[str, Tensor]:
        loss_f = self.loss(self.embed_and_average, v, v_pos.detach(), y)
        self.descend.zero_grad()
        torch.autograd.backward(self.settings.loss_scale * loss_f)
        loss_f = self._checked(loss_f)
        self.descend.step()

        loss_T = self.loss(self.embed, v, v_pos, y)
        self.ascend.zero_grad()
        torch.autograd.backward(self.settings.loss_scale * loss_T, inputs=list(self.T_z.parameters()))
        loss_T = self._checked(loss_T)
        self._ascend()
        return {"loss_encoder": loss_f, "loss_navigator": loss_T}

    def _ascend(self) -> None:
        self.ranks.average_gradients(list(self.T_z.parameters()))
        self.ascend.step()

    def halt_where(self, condition: Tensor) -> None:
        """Leave all weights as they are from now on, if the condition () holds."""
        self.halted.copy_(torch.maximum(self.halted, condition.to(self.halted.dtype)))

    def _checked(self, loss: Tensor) -> Tensor:
        """The loss over all ranks; where it is not finite, nothing is updated with it nor after it."""
        loss = self.ranks.mean(loss)
        self.halt_where(~loss.isfinite())
        return loss


def _compiler(settings: NavigateSettings) -> Callable[[nn.Module], Any]:
    """torch.compile in the mode that was chosen, or nothing."""
    if settings.compile == "off":
        return lambda module: module
    return partial(torch.compile, mode=settings.compile, dynamic=False)
