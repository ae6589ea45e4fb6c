"""What a training's settings mean on its device: who makes the pairs, how memory is laid out, how an update is run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.captured import CapturedUpdate
from ipdsf_spark.gan.networks import Networks
from ipdsf_spark.gan.update import UpdateReport, adversarial_update, l1_update
from ipdsf_spark.training.collective import Collective
from ipdsf_spark.training.device_pairs import DevicePairs, HostPairs, PairMaker
from ipdsf_spark.training.settings import TrainSettings
from ipdsf_spark.training.source import Source

Update = Callable[[Tensor, Tensor], UpdateReport]


def pair_maker(source: Source, settings: TrainSettings, device: torch.device, *, rank: int = 0) -> PairMaker:
    """The host, or the device where it is asked for or is a GPU."""
    is_on_device = settings.pairs_made_by == "device" or (settings.pairs_made_by == "auto" and device.type == "cuda")
    if is_on_device:
        return DevicePairs(source.enhancement, settings.pairs, device, rank=rank)
    return HostPairs(source.enhancement, settings.pairs)


def memory_layout(settings: TrainSettings, device: torch.device) -> torch.memory_format:
    """Of convolutions and cubes on a device."""
    is_last = device.type == "cpu" if settings.channels_last == "auto" else bool(settings.channels_last)
    return torch.channels_last_3d if is_last else torch.contiguous_format


def update_of(nets: Networks, settings: TrainSettings, collective: Collective) -> Update:
    """What makes one update of (condition, target).

    Raises:
        InputError: a captured update is asked for where there is none.
    """
    if settings.captures:
        if nets.device.type != "cuda" or collective.size > 1 or not settings.update.is_adversarial:
            raise InputError("training.captures needs one worker on a GPU, and an adversary")
        return CapturedUpdate(nets, settings.update)
    update = adversarial_update if settings.update.is_adversarial else l1_update
    return lambda condition, target: update(nets, condition, target, settings.update, collective.exchange)
