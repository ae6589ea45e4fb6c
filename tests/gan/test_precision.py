"""Where a network learns in bfloat16 without being told to."""

from __future__ import annotations

import pytest
import torch

from ipdsf_spark.gan.precision import is_bf16_fast, is_bf16_learnt_in


@pytest.mark.parametrize(
    ("capabilities", "is_fast", "is_learnt_in"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, True, True),
        ({"amx_bf16": False, "avx512_bf16": True}, True, False),  # its gradients were no numbers
        ({"avx2": True}, False, False),
        ({}, False, False),
    ],
)
def test_a_cpu_learns_in_bfloat16_only_where_its_gradients_are_right(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], is_fast: bool, is_learnt_in: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    assert is_bf16_fast(torch.device("cpu")) is is_fast
    assert is_bf16_learnt_in(torch.device("cpu")) is is_learnt_in
