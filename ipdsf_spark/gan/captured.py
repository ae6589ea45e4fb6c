"""An adversarial update as one CUDA graph.

For batches so small that starting some hundred kernels takes longer than running them. Captured are both networks'
passes, there and back; the optimisers' steps, some few fused kernels, follow each replay.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ipdsf_spark.gan.networks import Networks
from ipdsf_spark.gan.update import Gradients, UpdateReport, UpdateSettings, both_gradients

WARM_UPS = 3  # so that libraries have chosen their algorithms and taken their memory


class CapturedUpdate:
    """Makes updates of one worker; captured at the first, and again for batches of another shape.

    Args:
        nets: on a CUDA device.
        settings: of every update.
    """

    def __init__(self, nets: Networks, settings: UpdateSettings) -> None:
        self._nets, self._settings = nets, settings
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, condition: Tensor, target: Tensor) -> UpdateReport:
        """Update both networks and the average, in place; the same arithmetic as `update.adversarial_update`."""
        nets, rate = self._nets, self._nets.learning_rate
        nets.apply_deferred()
        if self._graph is None or self._condition.shape != condition.shape:
            self._capture(condition, target)
        assert self._graph is not None
        self._condition.copy_(condition)
        self._target.copy_(target)
        self._graph.replay()
        made = self._made
        nets.step_generator_later(made.generator, rate, self._settings.ema_decay, lambda: None)
        nets.step_discriminator_later(made.discriminator, rate, lambda: None)
        g, l1, adversarial, d, accuracy, psnr = made.numbers.tolist()
        return UpdateReport(g, l1, adversarial, d, accuracy, psnr, 0.0)

    def _capture(self, condition: Tensor, target: Tensor) -> None:
        self._condition, self._target = condition.clone(), target.clone()
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                self._computed()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._made = self._computed()
        self._graph = graph

    def _computed(self) -> Gradients:
        return both_gradients(self._nets, self._condition, self._target, self._settings)
