"""The adversarial training of Algorithm 1: f minimises the loss L, T_z maximises it, and G is frozen.

`simultaneous` is Algorithm 1: one forward and one backward of f give both gradients. `alternating` is the authors'
code: f first, on detached positives, and then T_z against the updated f; two forwards and backwards, of which the
second skips the gradients of f's weights. In both, G runs once for the anchors without a graph and once for the
positives, and is differentiated once, with respect to z' only. With several updates of f for each of T_z, the other
batches update f alone, and their positives need no graph.

Nothing here synchronises with the device. An update that must not happen (the loss is not finite, or d(z, z') exceeds
delta) is skipped on the device (training/halt.py).

Legend: K rows of this rank; z, z' (K, dim); x, x' images; v, v' views; y (K,) classes; h, h' (K, D) embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from copgen import encoders, generators
from copgen.distributed.ranks import Ranks
from copgen.encoders.synchronised import synchronise
from copgen.latents.centring import for_sampling
from copgen.latents.navigator import Navigator, new_navigator
from copgen.objectives import info_nce, sup_con
from copgen.runtime.seeds import seeded
from copgen.stages.navigate.settings import NavigateSettings
from copgen.training.data_parallel import averaging_gradients
from copgen.training.halt import Halt
from copgen.training.optimizers import build_optimizer
from copgen.training.precision import autocast, compiler, dtype_of, uses_cuda_graphs


class Game:
    """The two networks and their optimizers: T_z, which maximises L, and f, which minimises it."""

    def __init__(
        self, settings: NavigateSettings, G: generators.Generator, device: torch.device, ranks: Ranks | None = None
    ) -> None:
        self.settings = settings
        self.ranks = ranks or Ranks()
        self.device = device
        self.dtype = dtype_of(settings.precision)
        self.prior = G.prior
        self.T_z = new_navigator(
            G.latent_dim,
            **settings.shape_for(G),
            init=settings.init,
            std=settings.init_std,
            prior=G.prior,
            seed=settings.seed,
        ).to(device, self.dtype)
        with seeded(settings.seed, "navigate/f"):
            self.backbone = encoders.build(
                settings.encoder, G.channels, stem=settings.stem, width=settings.encoder_width
            )
            hidden, out = settings.projector
            f = nn.Sequential(self.backbone, encoders.Projector(self.backbone.feature_dim, hidden, out))
        f = f.to(device, self.dtype).to(memory_format=torch.channels_last).train()
        self.f: nn.Module = synchronise(f, self.ranks.group)
        # Fused on the CPU too, because only fused optimizers take the flag that skips an update (`found_inf`).
        adam = partial(build_optimizer, betas=settings.betas, fused=True)
        decay = settings.weight_decay_navigator
        self.ascend = adam(
            "adamw" if decay else "adam", self.T_z, lr=settings.lr_navigator, weight_decay=decay, maximize=True
        )
        self.descend = adam("adam", self.f, lr=settings.lr_encoder)
        self.halt = Halt(device)

        compiled = compiler(settings.compile)
        if settings.activation_checkpointing:
            for segment in (one for one in G.segments() if "forward" not in vars(one)):  # of an earlier game
                segment.forward = partial(checkpoint, segment.forward, use_reentrant=False, preserve_rng_state=False)
        self.G = compiled(G) if G.compiles else G
        self.embed = compiled(self.f)
        self.embed_and_average = averaging_gradients(self.embed, self.ranks)

    @property
    def state(self) -> dict[str, Any]:
        """The state to checkpoint."""
        return {"navigator": self.T_z, "encoder": self.f, "ascend": self.ascend, "descend": self.descend}

    def navigator(self) -> Navigator:
        """T_z as it is now, to move single latents with."""
        return for_sampling(self.T_z, prior=self.prior, seed=self.settings.seed)

    def paint(self, z: Tensor, z_pos: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """x = G(z) without a graph, and x' = G(z') with a graph to z'; both with condition y."""
        if uses_cuda_graphs(self.settings.compile):
            begin: Any = torch.compiler.cudagraph_mark_step_begin  # untyped in torch
            begin()
        with torch.no_grad():
            x = self.G(z, y)
            if self.settings.compile != "off":
                x = x.clone()  # the next replay of a CUDA graph would overwrite it
        return x, self.G(z_pos, y)

    def loss(self, embed: Callable[[Tensor], Tensor], v: Tensor, v_pos: Tensor, y: Tensor | None) -> Tensor:
        """L of this rank's views (K, C, H, W), in nats; one pass of f over both, so batch statistics are joint."""
        with autocast(self.device, self.settings.precision):
            h_both = embed(torch.cat((v, v_pos)))
        h_both = h_both.to(self.dtype)
        tau, group = self.settings.temperature, self.ranks.group
        if self.settings.objective == "sup_con":
            assert y is not None
            return sup_con(h_both, torch.cat((y, y)), temperature=tau, group=group)
        h, h_pos = h_both.chunk(2)
        return info_nce(h, h_pos, temperature=tau, anchors=self.settings.anchors, group=group)

    @torch.no_grad()
    def features(self, v: Tensor) -> Tensor:
        """f's features (K, D) of views, before the projector; batch norms use their running statistics, and keep them.

        Args:
            v: (K, C, H, W), on the device.
        """
        self.f.eval()
        try:
            with autocast(self.device, self.settings.precision):
                features: Tensor = self.backbone(v.to(self.dtype))
            return features.to(self.dtype)
        finally:
            self.f.train()

    def play(
        self,
        v: Tensor,
        v_pos: Tensor,
        y: Tensor | None = None,
        *,
        penalty: Tensor | None = None,
        navigator: bool = True,
    ) -> Mapping[str, Tensor]:
        """One update of both networks; returns L over all ranks at the update of f and at that of T_z.

        Args:
            v, v_pos: views (K, C, H, W), v_pos with a graph to T_z unless only f is updated.
            y: classes (K,).
            penalty: what T_z minimises beside maximising L, ().
            navigator: whether T_z is updated.
        """
        if not navigator:
            return {"loss_encoder": self._descend(v, v_pos, y)}
        if self.settings.update == "simultaneous":
            return self._simultaneous(v, v_pos, y, penalty)
        return self._alternating(v, v_pos, y, penalty)

    def _simultaneous(self, v: Tensor, v_pos: Tensor, y: Tensor | None, penalty: Tensor | None) -> Mapping[str, Tensor]:
        loss = self.loss(self.embed_and_average, v, v_pos, y)
        self.descend.zero_grad()
        self.ascend.zero_grad()
        torch.autograd.backward(self._objective(loss, penalty))
        loss = self._checked(loss)
        self.halt.step(self.descend)
        self._ascend()
        return {"loss_encoder": loss, "loss_navigator": loss}

    def _alternating(self, v: Tensor, v_pos: Tensor, y: Tensor | None, penalty: Tensor | None) -> Mapping[str, Tensor]:
        loss_f = self._descend(v, v_pos.detach(), y)
        loss_T = self.loss(self.embed, v, v_pos, y)
        self.ascend.zero_grad()
        torch.autograd.backward(self._objective(loss_T, penalty), inputs=self.T_z.learned)
        loss_T = self._checked(loss_T)
        self._ascend()
        return {"loss_encoder": loss_f, "loss_navigator": loss_T}

    def _descend(self, v: Tensor, v_pos: Tensor, y: Tensor | None) -> Tensor:
        """One update of f alone."""
        loss = self.loss(self.embed_and_average, v, v_pos, y)
        self.descend.zero_grad()
        torch.autograd.backward(self.settings.loss_scale * loss)
        loss = self._checked(loss)
        self.halt.step(self.descend)
        return loss

    def _objective(self, loss: Tensor, penalty: Tensor | None) -> Tensor:
        """What T_z maximises; its gradient with respect to f is that of the loss."""
        scaled = self.settings.loss_scale * loss
        return scaled if penalty is None else scaled - penalty

    def _ascend(self) -> None:
        self.ranks.average_gradients(self.T_z.learned)
        self.halt.step(self.ascend)

    def _checked(self, loss: Tensor) -> Tensor:
        """The loss over all ranks; if it is not finite, this and all later updates are skipped."""
        loss = self.ranks.mean(loss)
        self.halt.where(~loss.isfinite())
        return loss
