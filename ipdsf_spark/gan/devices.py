"""The GPU that was asked for, or a named error where there is none."""

from __future__ import annotations

import torch

from ipdsf_spark.errors import InputError


def require_device(wanted: str) -> None:
    """Refuse a GPU where there is none, before torch does in words of its own.

    Args:
        wanted: "cpu", "cuda" (also with a number), or "" for what there is.

    Raises:
        InputError: torch finds no GPU.
    """
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {wanted}: torch finds no GPU here (driver missing, or torch without CUDA); say cpu")
