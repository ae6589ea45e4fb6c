"""Pieces of one site to records, without Spark: state carried as bytes, late files, messages that span files."""

from __future__ import annotations

import json

from ipdsf_spark.lidar.layers.mixing_height import LayerSettings
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.decode import Decoder, Piece
from ipdsf_spark.stream.track import Tracker

SETTINGS = LayerSettings()
TRACKER = Tracker({"oslo": Site("oslo", 59.94, 10.72)}, SETTINGS, "layers", "bad")


def piece_of(raw: bytes, number: int = 0) -> Piece:
    return Decoder(SETTINGS).piece_of(raw, f"{number}.dat", 1_700_000_000_000 + number, f"files-0-{number}")[0]


def products(records: list[tuple]) -> dict[bytes, dict]:
    found = {key: json.loads(value) for topic, key, value, *_ in records if topic == "layers"}
    for product in found.values():
        del product["sent_ms"]  # says when, not what
    return found


def counts(records: list[tuple]) -> tuple[int, ...]:
    return records[-1][4:]


def test_files_one_by_one_give_what_they_give_together(cl51_files: list[bytes]) -> None:
    pieces = [piece_of(raw, number) for number, raw in enumerate(cl51_files)]
    state, tail, one_by_one = b"", b"", {}
    for piece in pieces:
        records, state, tail = TRACKER.records_of("oslo", [piece], state, tail)
        one_by_one |= products(records)

    together, _, _ = TRACKER.records_of("oslo", pieces, b"", b"")

    for key, product in products(together).items():
        assert one_by_one[key] == product


def test_a_file_that_comes_twice_changes_nothing(cl51_files: list[bytes]) -> None:
    pieces = [piece_of(raw, number) for number, raw in enumerate(cl51_files[:2])]
    records, state, tail = TRACKER.records_of("oslo", pieces, b"", b"")

    again, after, _ = TRACKER.records_of("oslo", [pieces[1]], state, tail)

    assert after == state
    repeated, first = products(again), products(records)
    assert {key: p["mixing_height_m"] for key, p in repeated.items()} == {
        key: first[key]["mixing_height_m"] for key in repeated
    }


def test_a_late_file_is_counted_and_quarantined_whole(cl51_files: list[bytes]) -> None:
    early, *rest = [piece_of(raw, number) for number, raw in enumerate(cl51_files)]
    _, state, tail = TRACKER.records_of("oslo", rest, b"", b"")

    records, after, _ = TRACKER.records_of("oslo", [early], state, tail)

    assert counts(records)[0] > 0
    (quarantined,) = [record for record in records if record[0] == "bad"]
    assert quarantined[2] == cl51_files[0]
    assert "late" in json.loads(quarantined[3])["reason"]
    assert after == state


def test_a_message_that_begins_in_one_file_and_ends_in_the_next_is_read(cl51_file: bytes) -> None:
    cut = len(cl51_file) - 4000  # inside the last message
    first, second = piece_of(cl51_file[:cut], 0), piece_of(cl51_file[cut:], 1)

    records, _, _ = TRACKER.records_of("oslo", [first, second], b"", b"")

    assert counts(records)[2] == 1
    whole, _, _ = TRACKER.records_of("oslo", [piece_of(cl51_file)], b"", b"")
    assert {key: p["num_profiles"] for key, p in products(records).items()} == {
        key: p["num_profiles"] for key, p in products(whole).items()
    }


def test_quarantine_records_are_keyed_by_their_origin_so_that_a_repeated_batch_replaces(cl51_file: bytes) -> None:
    piece = piece_of(b"garbage", 7)

    first, _, _ = TRACKER.records_of("oslo", [piece], b"", b"")
    second, _, _ = TRACKER.records_of("oslo", [piece], b"", b"")

    assert first[0][:3] == second[0][:3] == ("bad", b"files-0-7|0", b"garbage")
