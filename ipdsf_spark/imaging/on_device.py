"""`Generation` where everything between the degraded volume and the generated slices happens on the device.

A GPU predicts a cube in less time than the host needs to cut it out, enhance it and add it to a slab. So a layer of
whole slices travels there as HU, is cut, enhanced, predicted, blended and restored, and the finished slices come back.
The same plan, weights and curves as on the host, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ipdsf_spark.ct.cubes import CubeKey, CubePlan, mirrored
from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.ct.stitching import weights
from ipdsf_spark.errors import InputError

Predict = Callable[[Tensor], Tensor]


def generated_slabs(
    hu: NDArray[Any],
    plan: CubePlan,
    enhancement: Enhancement,
    predict: Predict,
    device: torch.device,
    *,
    batch: int,
    is_restored: bool,
    on_cubes: Callable[[int], None] = lambda cubes: None,
) -> Iterator[NDArray[np.float32]]:
    """Finished slabs, inferior to superior, as `ct.stitching.stitched` gives them.

    Args:
        hu: the degraded volume [z, y, x], int16 or float32 HU.
        plan: how it is cut.
        enhancement: of the model.
        predict: levels (b, 1, S, S, S) of degraded cubes to those of clean ones.
        device: where `predict` works.
        batch: cubes at once.
        is_restored: HU instead of levels.
        on_cubes: told how many cubes were made.

    Raises:
        InputError: a value is no number.
    """
    curve = _Curve(enhancement, device)
    rows, columns = (_reach(plan, axis, device) for axis in (1, 2))
    inside = [slice(before, before + length) for (before, _), length in zip(plan.padding, plan.shape, strict=True)]
    slab = torch.zeros((plan.size, len(rows), len(columns)), device=device)
    for number, layer in enumerate(plan.layers):
        slices = hu[mirrored(np.arange(layer, layer + plan.size), plan.shape[0])]
        levels = curve.enhanced(torch.from_numpy(slices).to(device))
        if not bool(torch.isfinite(levels).all()):
            raise InputError("a volume with values that are no number (NaN or infinite) cannot be generated from")
        levels = levels.index_select(1, rows).index_select(2, columns)
        _add_layer(slab, levels, plan, layer, predict, batch, on_cubes)
        is_last = number == len(plan.layers) - 1
        first, last = max(0, -layer), plan.shape[0] - layer if is_last else plan.stride
        finished = slab[first:last, inside[1], inside[2]]
        yield (curve.restored(finished) if is_restored else finished).to("cpu", copy=True).numpy()
        if not is_last:
            kept = slab[plan.stride :].clone()
            slab.zero_()
            slab[: plan.overlap] = kept


def _add_layer(
    slab: Tensor,
    levels: Tensor,
    plan: CubePlan,
    layer: int,
    predict: Predict,
    batch: int,
    on_cubes: Callable[[int], None],
) -> None:
    """Predict all cubes of a layer and add them, weighted, to the slab."""
    size, stride = plan.size, plan.stride
    windows = levels.unfold(1, size, stride).unfold(2, size, stride)  # (S, rows, columns, S, S)
    places = [(row, column) for row in range(windows.shape[1]) for column in range(windows.shape[2])]
    along_z, along_y, along_x = _weights(plan, layer, slab.device)
    for start in range(0, len(places), batch):
        part = places[start : start + batch]
        cubes = torch.stack([windows[:, row, column] for row, column in part])
        made = predict(cubes[:, None])[:, 0]
        made = made * along_z[:, None, None]
        for cube, (row, column) in zip(made, part, strict=True):
            y, x = row * stride, column * stride
            slab[:, y : y + size, x : x + size] += cube * (along_y[row][:, None] * along_x[column])
        on_cubes(len(part))


def _weights(plan: CubePlan, layer: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Along z (S,), and along y and x for every row and column of cubes (n, S)."""

    def stacked(arrays: list[NDArray[np.float32]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(device)

    _, ys, xs = plan.starts
    along_z = stacked([weights(plan, CubeKey("", layer, ys[0], xs[0]))[0]])[0]
    along_y = stacked([weights(plan, CubeKey("", layer, y, xs[0]))[1] for y in ys])
    along_x = stacked([weights(plan, CubeKey("", layer, ys[0], x))[2] for x in xs])
    return along_z, along_y, along_x


def _reach(plan: CubePlan, axis: int, device: torch.device) -> Tensor:
    """Which voxel stands at each place between the first cube's beginning and the last one's end."""
    starts = plan.starts[axis]
    index = mirrored(np.arange(starts[0], starts[-1] + plan.size), plan.shape[axis])
    return torch.from_numpy(index).to(device)


class _Curve:
    """The curve of an enhancement on a device, both ways."""

    def __init__(self, enhancement: Enhancement, device: torch.device) -> None:
        self._low, self._high = enhancement.window_hu
        self._levels = torch.tensor(enhancement.levels, dtype=torch.float32, device=device)

    def enhanced(self, hu: Tensor) -> Tensor:
        if hu.dtype == torch.int16:
            return self._levels[hu.int().clamp(self._low, self._high) - self._low]
        place = hu.float().clamp(self._low, self._high) - self._low
        below = place.nan_to_num().long().clamp_max(len(self._levels) - 2)
        return torch.lerp(self._levels[below], self._levels[below + 1], place - below)

    def restored(self, level: Tensor) -> Tensor:
        level = level.clamp(-1.0, 1.0).contiguous()
        above = torch.searchsorted(self._levels, level).clamp(1, len(self._levels) - 1)
        low, high = self._levels[above - 1], self._levels[above]
        return (level - low) / (high - low) + (above - 1 + self._low)
