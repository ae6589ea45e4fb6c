"""The averaged generator on cubes that are never trained on: the criterion for an early stop.

They are cut from the training volumes and overlap cubes that are trained on at their borders, so their PSNR is a little
too good. It serves to see when it stops rising; the quality of a model is measured on other patients, after stitching.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.gan.losses import LEVEL_RANGE
from ipdsf_spark.gan.networks import Networks
from ipdsf_spark.training.collective import Collective
from ipdsf_spark.training.pairs import pairs_of
from ipdsf_spark.training.settings import TrainSettings


def validated(
    nets: Networks,
    cubes: CubeSet,
    numbers: NDArray[np.int64],
    settings: TrainSettings,
    collective: Collective,
    kept: dict[int, tuple[Tensor, NDArray[np.float32]]] | None = None,
) -> float:
    """PSNR (dB) in enhanced space of all validation cubes together; each worker takes its part.

    Every time the same noise and the same flips, whatever the epoch; so the pairs may be kept for the next time, which
    a GPU would spend most of waiting for them.
    """
    mine = numbers[collective.rank :: collective.size]
    squares, count = 0.0, 0
    for start in range(0, len(mine), settings.batch):
        part = mine[start : start + settings.batch]
        if kept is not None and start in kept:
            batch, target = kept[start]
        else:
            condition, target = pairs_of(
                cubes.take(part), [cubes.keys[i] for i in part], cubes.enhancement, settings.pairs, epoch=-1
            )
            batch = torch.from_numpy(condition)[:, None].to(nets.device, nets.dtype)
            if kept is not None:
                kept[start] = batch, target
        with (
            torch.inference_mode(),
            torch.autocast(nets.device.type, dtype=torch.bfloat16, enabled=settings.update.is_mixed),
        ):
            predicted = nets.average(batch)
        difference = predicted.float().clamp(-1, 1)[:, 0].cpu().numpy() - target
        squares += float(np.square(difference, dtype=np.float64).sum())
        count += difference.size
    all_squares, all_count = collective.total("validation", [squares, float(count)])
    return 10 * math.log10(LEVEL_RANGE**2 * all_count / max(all_squares, 1e-12))
