"""Where bfloat16 is faster than float32.

GPUs since Ampere, and CPUs with AMX or AVX512-BF16, multiply bfloat16 matrices at least twice as fast. Elsewhere it is
emulated, and slower.
"""

from __future__ import annotations

import torch


def is_bf16_fast(device: torch.device) -> bool:
    """Whether the hardware behind `device` multiplies in bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
