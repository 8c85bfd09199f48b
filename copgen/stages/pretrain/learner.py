"""The method and how views pass through it: precision, compilation, ranks, and cached gradients.

Legend: K samples of this rank, V views of each; v (K, C, S, S) views.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from copgen import encoders, views
from copgen.data.loaders.loader import size_of_views
from copgen.data.source import Source
from copgen.distributed.ranks import Ranks
from copgen.encoders.synchronised import synchronise
from copgen.methods.branch import Outputs
from copgen.methods.method import Method, pass_views
from copgen.methods.registry import build
from copgen.runtime.errors import UsageError
from copgen.runtime.seeds import seeded
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.training.cached_gradients import CachedPass, chunks_of, passed_in_chunks
from copgen.training.data_parallel import averaging_gradients
from copgen.training.precision import autocast, compiler, dtype_of


class Learner:
    """The method of a run, on its device.

    Attributes:
        method: with a new encoder, initialised from the seed.
        config: of the encoder's file.
    """

    def __init__(
        self,
        settings: PretrainSettings,
        source: Source,
        T_x: views.Policy,
        updates: int,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        self.settings, self.device, self.ranks = settings, device, ranks
        self.dtype = dtype_of(settings.precision)
        self.config = encoders.EncoderConfig(
            arch=settings.encoder,
            in_channels=source.channels,
            image_size=max(size_of_views(source, T_x)),
            views=settings.views,
            stem=settings.stem,
        )
        with seeded(settings.seed, "pretrain/f"):
            method = build_method(settings, self.config, updates, ranks)
        method.check(labelled=source.labels is not None)
        check_chunks(settings, method, world=ranks.world)
        method = method.to(device, self.dtype).to(memory_format=torch.channels_last).train()
        synchronise(method, ranks.group)
        self.method = method
        compiled: nn.Module = compiler(settings.compile)(method.f)
        self._f = averaging_gradients(compiled, ranks)
        self._chunk = None if settings.chunk is None else max(1, settings.chunk // ranks.world)
        self._cached = None if self._chunk is None else CachedPass(self._f, self._through, chunk=self._chunk)

    def losses(self, seen: Sequence[Tensor], labels: Tensor | None) -> dict[str, Tensor]:
        """The losses of V views (K, C, S, S), this rank's share of the batch."""
        seen = [v.to(self.dtype).contiguous(memory_format=torch.channels_last) for v in seen]
        trained = seen[: self.method.trained_views]
        outputs = self._through(trained) if self._cached is None else self._cached.outputs(trained)
        with torch.no_grad(), autocast(self.device, self.settings.precision):
            # In the chunks of f, so that its batch norms and the target's have statistics of the same samples.
            frozen = passed_in_chunks(self.method.frozen, chunks_of(seen, self._chunk or len(seen[0])))
        return self.method.loss(self._exact(outputs), self._exact(frozen), labels)

    def backward(self, loss: Tensor) -> None:
        """The gradients of f's parameters, of the scaled loss, averaged over the ranks."""
        scaled = (self.settings.loss_scale or 1.0) * loss
        if self._cached is None:
            torch.autograd.backward(scaled)
        else:
            self._cached.backward(scaled)

    def _through(self, seen: Sequence[Tensor]) -> tuple[Outputs, ...]:
        with autocast(self.device, self.settings.precision):
            return pass_views(self._f, seen, together=self.method.together)

    def _exact(self, outputs: Sequence[Outputs]) -> tuple[Outputs, ...]:
        """Outputs in the precision of the losses."""
        return tuple({name: rows.to(self.dtype) for name, rows in output.items()} for output in outputs)


def check_chunks(settings: PretrainSettings, method: Method, *, world: int) -> None:
    """Refuse chunks of one row, which the batch norms of a head cannot normalise.

    Raises:
        UsageError: there is one.
    """
    chunk = settings.chunk
    if chunk is None or world > 1 or method.together or 1 not in (chunk, settings.batch % chunk):
        return
    if any(isinstance(part, nn.BatchNorm1d) for part in method.f.modules()):
        raise UsageError(
            f"Chunks of {chunk} of a batch of {settings.batch} leave one sample, which batch norms cannot normalise.",
            fix="Use a --chunk that divides the batch.",
        )


def build_method(settings: PretrainSettings, config: encoders.EncoderConfig, updates: int, ranks: Ranks) -> Method:
    """The method with a new encoder, from torch's random numbers."""
    return build(
        settings.of_method,
        config.build(),
        seed=settings.seed,
        updates=updates,
        views=1 + settings.positives,
        ranks=ranks,
    )
