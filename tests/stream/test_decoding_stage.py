"""Records to pieces, without Spark: every record read ends in profiles, in a reason, or in both."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.averages import average_bytes
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import LONGEST_ID
from ipdsf_spark.stream import decode
from ipdsf_spark.stream.decode import COLUMNS, NO_SITE, Decoder, believable_ms
from ipdsf_spark.stream.piece import Piece

SENT_MS = 1_624_269_600_000  # 2021-06-21 10:00
DECODER = Decoder({"oslo": Site("oslo", 59.94, 10.72)}, 300, 1_000_000)


def pieces(*raws: bytes, site: str = "oslo", decoder: Decoder = DECODER) -> list[tuple[str, Piece, int, int]]:
    rows = [(site, raw, "a.dat", SENT_MS, SENT_MS, None, "files", 3, offset, 0, 0) for offset, raw in enumerate(raws)]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in COLUMNS]
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=list(COLUMNS))
    (out,) = decoder(iter([batch]))
    found = [(row["site"], Piece.from_bytes(row["piece"])) for row in out.to_pylist()]
    return [(name, piece, piece.num_profiles, len(piece.rejected)) for name, piece in found]


def test_the_first_row_of_a_batch_holds_the_counts_of_all_of_it(cl51_file: bytes) -> None:
    raws = [cl51_file, b"\x00" * 99, cl51_file]
    rows = [("oslo", raw, "a.dat", SENT_MS, SENT_MS, None, "files", 3, offset, 0, 0) for offset, raw in enumerate(raws)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=list(COLUMNS))

    first, second = (out.column("counts").to_pylist() for out in DECODER(iter([batch, batch.slice(0, 0)])))

    assert first[1:] == [None, None]
    assert second == []
    num_profiles = first[0].pop("profiles")
    assert first[0] == {
        "task": 0, "number": 0, "read": 3, "bytes": 2 * len(cl51_file) + 99,
        "decoded": 2, "quarantined": 1, "both": 0, "waiting": 0,
    }  # fmt: skip
    assert num_profiles == 2 * pieces(cl51_file)[0][2]


@pytest.mark.parametrize(
    ("damage", "is_read", "num_rejected"), [("none", 1, 0), ("flipped", 1, 1), ("garbage", 0, 1), ("empty", 0, 1)]
)
def test_a_file_is_read_rejected_or_both(cl51_file: bytes, damage: str, is_read: int, num_rejected: int) -> None:
    flipped = bytearray(cl51_file)
    flipped[len(cl51_file) // 2 + 1000] ^= 1  # in the profile of a message
    raw = {"none": cl51_file, "flipped": bytes(flipped), "garbage": b"\x00" * 99, "empty": b""}[damage]

    ((site, piece, num_profiles, rejected),) = pieces(raw)

    assert site == "oslo"
    assert (num_profiles > 0, rejected) == (bool(is_read), num_rejected)
    assert len(piece.rejected) == num_rejected


def test_the_site_says_on_which_side_of_its_messages_a_logger_writes_its_stamps(cl51_file: bytes) -> None:
    message = cl51_file[cl51_file.index(b"\x01CL") : cl51_file.index(b"\x04") + 1] + b"\r\n"
    cut = b"2021-06-21 09:59:50\r\n" + message + b"2021-06-21 10:00:05\r\n" + message[:1000]
    behind = Decoder({"oslo": Site("oslo", 59.94, 10.72, stamps="behind")}, 300, 1_000_000)

    seconds = []
    for decoder in (DECODER, behind):
        ((_, piece, *_),) = pieces(cut, decoder=decoder)
        (average,) = average_bytes.unpack(piece.averages)
        seconds.append([(int(moment) - 1000 * SENT_MS) / 1e6 for moment in average.times])

    assert seconds == [[-10.0], [5.0]]


def test_bytes_travel_only_where_something_is_rejected(cl51_file: bytes) -> None:
    (_, good, *_), (_, bad, *_) = pieces(cl51_file, gzip.compress(b"nothing an instrument would say"))

    assert good.raw == b""
    assert bad.raw == gzip.compress(b"nothing an instrument would say")  # as it came, packed


@pytest.mark.parametrize("half", ["head", "tail"])
def test_half_a_message_waits_for_the_other_half_and_is_not_rejected(cl51_file: bytes, half: str) -> None:
    end = cl51_file.index(b"\x04\r\n") + 3  # of the first message
    raw = cl51_file[end - 2_000 : end] if half == "head" else cl51_file[: end - 2_000]

    ((_, piece, num_profiles, num_rejected),) = pieces(raw)

    assert (num_profiles, num_rejected) == (0, 0)
    assert piece.head if half == "head" else piece.tail


def test_a_value_that_the_quarantine_cannot_take_is_left_where_it_is() -> None:
    small = Decoder(DECODER.sites, 300, max_bytes=decode.ROOM + 10)

    ((_, piece, *_),) = pieces(bytes(11), decoder=small)

    assert piece.rejected
    assert piece.raw == b""


@pytest.mark.parametrize("site", ["bergen", "", "\ufffd\ufffd-oslo", "x" * 65, "../oslo"])
def test_a_record_of_no_site_joins_the_group_that_keeps_no_state(cl51_file: bytes, site: str) -> None:
    ((group, piece, num_profiles, num_rejected),) = pieces(cl51_file, site=site)

    assert (group, num_profiles, num_rejected) == (NO_SITE, 0, 1)
    assert "site" in piece.rejected[0].reason
    assert piece.key == site


@pytest.mark.parametrize(
    ("topic", "key", "is_read"),
    [
        ("files", "oslo", True),
        ("files.oslo", "oslo", True),
        ("files.munich", "oslo", False),
        ("files.oslo.x", "oslo", False),
    ],
)
def test_in_the_topic_of_a_site_only_its_own_key_is_read(cl51_file: bytes, topic: str, key: str, is_read: bool) -> None:
    decoder = Decoder(DECODER.sites, 300, 1_000_000, "files")

    group, raw, num_profiles, num_rejected = decoder.row_of(
        key, cl51_file, "a.dat", SENT_MS, SENT_MS, None, topic, 0, 0
    )

    piece = Piece.from_bytes(raw)
    assert (group, num_profiles > 0, num_rejected) == ((key, True, 0) if is_read else (NO_SITE, False, 1))
    assert is_read or "in the topic of site" in piece.rejected[0].reason
    assert is_read or piece.raw == cl51_file


def test_a_key_is_no_place_for_data_and_a_record_has_its_limit(
    monkeypatch: pytest.MonkeyPatch, cl51_file: bytes
) -> None:
    anybody = Decoder({"default": Site("default", float("nan"), float("nan"))}, 300, 1_000_000)
    ((group, piece, *_),) = pieces(cl51_file, site="x" * 100_000, decoder=anybody)
    assert (group, len(piece.key)) == (NO_SITE, LONGEST_ID)
    assert "a site id of 100000" in piece.rejected[0].reason

    monkeypatch.setattr(decode, "MOST_BYTES", 1_000)
    ((group, piece, num_profiles, num_rejected),) = pieces(cl51_file)

    assert (group, num_profiles, num_rejected) == (NO_SITE, 0, 1)
    assert "at most 1000 are read" in piece.rejected[0].reason


def test_an_exception_of_a_reader_rejects_its_record_and_no_other(
    cl51_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_on_zeros(raw: bytes, **kwargs: object) -> object:
        if raw.startswith(b"\x00"):
            raise ZeroDivisionError("gate length 00")
        return original(raw, **kwargs)

    original = decode.decode
    monkeypatch.setattr(decode, "decode", fails_on_zeros)

    first, second, third = pieces(cl51_file, b"\x00" * 9, cl51_file)

    assert first[1].averages == third[1].averages != b""
    assert second[1].rejected[0].reason == "the reader failed: ZeroDivisionError: gate length 00"


@pytest.mark.parametrize(
    ("sent_ms", "published_ms", "believed"),
    [
        (SENT_MS, SENT_MS + 50, SENT_MS),
        (None, SENT_MS, SENT_MS),
        (SENT_MS - 400 * 86_400_000, SENT_MS, SENT_MS - 400 * 86_400_000),  # a backlog, or a replay
        (SENT_MS + 2 * 86_400_000, SENT_MS, SENT_MS),  # a clock two days ahead
        (2**62, SENT_MS, SENT_MS),
        (-5, SENT_MS, SENT_MS),
        (None, None, 0),
        (2**62, 2**62, 0),
    ],
)
def test_a_clock_far_ahead_of_the_brokers_is_not_believed(
    sent_ms: int | None, published_ms: int | None, believed: int
) -> None:
    assert believable_ms(sent_ms, published_ms) == believed


def test_profiles_of_a_sender_whose_clock_is_a_week_slow_are_believed(cl51_file: bytes) -> None:
    slow = SENT_MS - 7 * 86_400_000

    _, _, num_profiles, num_rejected = DECODER.row_of("oslo", cl51_file, "a", slow, SENT_MS, None, "files", 0, 0)

    assert (num_profiles, num_rejected) == (20, 0)


@given(
    st.lists(st.binary(max_size=300), max_size=5),
    st.text(max_size=70),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
)
def test_any_bytes_any_key_and_any_clock_are_accounted_for(raws: list[bytes], site: str, sent_ms: int | None) -> None:
    for offset, raw in enumerate(raws):
        group, encoded, num_profiles, num_rejected = DECODER.row_of(
            site, raw, "a.dat", sent_ms, SENT_MS, None, "files", 0, offset
        )

        piece = Piece.from_bytes(encoded)
        assert group in (site, NO_SITE)
        assert num_profiles or num_rejected or piece.head or piece.tail
