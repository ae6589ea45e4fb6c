"""Files to pieces, without Spark: every record read ends in profiles, in quarantine, or in both."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.layers.mixing_height import LayerSettings
from ipdsf_spark.stream.decode import COLUMNS, Decoder

DECODER = Decoder(LayerSettings())
COUNTS = ["num_files", "num_decoded", "num_quarantined", "num_both"]


def decoded(*raws: bytes) -> pd.DataFrame:
    files = pd.DataFrame(
        {
            "site": "oslo",
            "raw": list(raws),
            "file": "a.dat",
            "sent_ms": 1_700_000_000_000,
            "topic": "files",
            "partition": 3,
            "offset": range(len(raws)),
        }
    )
    return pd.concat(DECODER(iter([files])), ignore_index=True)


@pytest.mark.parametrize("damage", ["none", "cut", "flipped", "garbage"])
def test_a_file_is_decoded_quarantined_or_both(cl51_file: bytes, damage: str) -> None:
    flipped = bytearray(cl51_file)
    inside = len(cl51_file) // 2 + 1000  # in the profile of a message
    flipped[inside] ^= 1
    raw = {
        "none": cl51_file,
        "cut": cl51_file[:inside],
        "flipped": bytes(flipped),
        "garbage": b"\x00" * 99,
    }

    row = decoded(raw[damage]).iloc[0]

    expected = {"none": (1, 1, 0, 0), "cut": (1, 1, 1, 1), "flipped": (1, 1, 1, 1), "garbage": (1, 0, 1, 0)}
    assert tuple(row[COUNTS]) == expected[damage]


def test_a_rejected_stretch_keeps_its_origin_and_reason(cl51_file: bytes) -> None:
    piece = pickle.loads(decoded(cl51_file, b"no message at all").iloc[1]["piece"])

    assert piece.position == "files-3-1"
    ((start, length, reason),) = piece.rejected
    assert piece.raw[start : start + length] == b"no message at all"
    assert "no message header" in reason


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_any_bytes_are_accounted_for(raws: list[bytes]) -> None:
    rows = decoded(*raws)

    assert list(rows.columns) == list(COLUMNS)
    assert int(rows["num_files"].sum()) == len(raws)
    totals = rows[COUNTS].sum().astype(np.int64)
    assert totals["num_files"] == totals["num_decoded"] + totals["num_quarantined"] - totals["num_both"]
