"""Where bfloat16 is faster than float32, and where a network may learn in it.

GPUs since Ampere, and CPUs with AMX or AVX512-BF16, multiply bfloat16 matrices at least twice as fast. Elsewhere it is
emulated, and slower.
"""

from __future__ import annotations

from typing import Any

import torch


def is_bf16_fast(device: torch.device) -> bool:
    """Whether the hardware behind `device` multiplies in bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(_capabilities().get("amx_bf16") or _capabilities().get("avx512_bf16"))


def is_bf16_learnt_in(device: torch.device) -> bool:
    """Whether a network learns in bfloat16 there, unless somebody says otherwise: where it is fast, and right.

    On a CPU with AVX512-BF16 and without AMX, torch 2.13 gave gradients of weights that were no number, or thousands of
    times too large, in a quarter of the backward passes through 3³ convolutions of 2³ voxels (autoencoder of 16³ cubes,
    November 2026); values were right. So there it is float32.
    """
    return is_bf16_fast(device) and (device.type == "cuda" or bool(_capabilities().get("amx_bf16")))


def _capabilities() -> dict[str, Any]:
    """Of this machine's processor, by torch's names."""
    return dict(torch.cpu.get_capabilities()) if hasattr(torch.cpu, "get_capabilities") else {}
