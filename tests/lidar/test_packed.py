"""Files inside files: compression and archives give what the plain file gives, or are named for what they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import profiles

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.containers import packed
from ipdsf_spark.lidar.instruments import lufft_chm, vaisala_cl
from ipdsf_spark.lidar.profiles import Decoded

MADE = replace(profiles(4, 770), instrument="Vaisala CL31", range_resolution_m=10.0)
LOG = vaisala_cl.encode_file(MADE)
MIDNIGHT = LOG.index(b"-2021-09-10")
BEFORE_AND_AFTER = slice(MIDNIGHT), slice(MIDNIGHT, None)
NETCDF = lufft_chm.encode_file(profiles(3))


def zipped(**files: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def tarred(**files: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def wide_from(place: int, encoding: str) -> Callable[[bytes], bytes]:
    """Begun in ASCII, and gone on with in another encoding."""
    return lambda raw: raw[:place] + raw[place:].decode().encode(encoding)


def wide_until(place: int, encoding: str) -> Callable[[bytes], bytes]:
    """Begun in another encoding, and gone on with in ASCII."""
    return lambda raw: raw[:place].decode().encode(encoding) + raw[place:]


def in_members(pack: Callable[[bytes], bytes], raw: bytes) -> bytes:
    """Three members one behind the other, cut anywhere, as `gzip >> file` writes them."""
    return pack(raw[:3000]) + pack(raw[3000:9000]) + pack(raw[9000:])


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip of three members": lambda raw: in_members(gzip.compress, raw),
    "gzip padded with zeros": lambda raw: gzip.compress(raw) + bytes(512),
    "gzip of members with zeros between them": lambda raw: bytes(512).join(
        gzip.compress(part) for part in (raw[:3000], raw[3000:])
    ),
    "gzip, gone on with in plain text": lambda raw: gzip.compress(raw[:9000]) + raw[9000:],
    "gzip, gone on with by bzip2": lambda raw: gzip.compress(raw[:9000]) + bz2.compress(raw[9000:]),
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "bzip2 of three members": lambda raw: in_members(bz2.compress, raw),
    "xz": lzma.compress,
    "xz of three members": lambda raw: in_members(lzma.compress, raw),
    "xz of streams with padding": lambda raw: lzma.compress(raw[:9000]) + bytes(8) + lzma.compress(raw[9000:]),
    "lzma": lambda raw: lzma.compress(raw, format=lzma.FORMAT_ALONE),
    "zip": lambda raw: zipped(day=raw),
    "tar": lambda raw: tarred(day=raw),
    "tar behind a tar": lambda raw: b"".join(tarred(part=raw[at]) for at in BEFORE_AND_AFTER),
    "zip of a Mac": lambda raw: zipped(
        **{"day": raw, "__MACOSX/._day": b"\0\5\x16\7" + bytes(99), ".DS_Store": b"Bud1"}
    ),
    "tar of gzip": lambda raw: gzip.compress(tarred(day=gzip.compress(raw))),
    "UTF-16 with a mark": lambda raw: raw.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda raw: raw.decode().encode("utf-16-le"),
    "UTF-16, big end first": lambda raw: raw.decode().encode("utf-16-be"),
    "ASCII, then UTF-16": wide_from(9001, "utf-16-le"),
    "ASCII, then UTF-16 with a mark": wide_from(LOG.index(b"\r\n-2021-09-10") + 2, "utf-16"),
    "ASCII, then UTF-16, big end first": wide_from(9000, "utf-16-be"),
    "UTF-16, then ASCII": wide_until(9001, "utf-16-le"),
    "UTF-16 with a mark, then ASCII": wide_until(9000, "utf-16"),
    "ASCII, UTF-16 and ASCII": lambda raw: wide_from(4000, "utf-16-le")(raw[:9000]) + raw[9000:],
    "UTF-8 with a mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "carriage returns": lambda raw: raw.replace(b"\r\n", b"\r"),
}


def test_files_of_pzstd_begin_with_a_frame_that_is_skipped() -> None:
    zstd = pytest.importorskip("backports.zstd")
    skipped = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + bytes(4)
    members = [skipped + zstd.compress(part) for part in (LOG[:5000], LOG[5000:])]

    decoded = instruments.decode(b"".join(members))

    assert (decoded.num_profiles, decoded.rejected) == (4, ())


def times_of(decoded: Decoded) -> list[object]:
    return [moment for block in decoded.blocks for moment in block.time.tolist()]


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS)
def test_however_a_log_is_packed_its_profiles_are_the_same(pack: Callable[[bytes], bytes]) -> None:
    decoded = instruments.decode(pack(LOG))

    assert decoded.rejected == ()
    assert decoded.instrument == instruments.recognise(pack(LOG)) == "Vaisala CL31"
    assert times_of(decoded) == MADE.time.tolist()


def test_an_archive_of_many_files_gives_the_profiles_of_all_and_names_each_fault() -> None:
    damaged = LOG.replace(b"HN15", b"HX15", 1)
    raw = zipped(
        **{
            "a.dat": LOG,
            "b.nc": NETCDF,
            "c.dat": damaged,
            "readme.txt": b"nothing to see",
            "d.7z": b"7z\xbc\xaf\x27\x1c",
        }
    )

    decoded = instruments.decode(raw)

    assert decoded.num_profiles == 4 + 3 + 3
    told = {stretch.member: stretch.reason for stretch in decoded.rejected}
    assert set(told) == {"c.dat", "readme.txt", ""}
    assert "measurement parameters" in told["c.dat"]
    assert told[""].startswith("d.7z: 7z archive")
    # The stretch of a packed file is cut from what was packed.
    stretch = next(each for each in decoded.rejected if each.member == "c.dat")
    assert instruments.rejected_bytes(raw, stretch) == damaged[stretch.offset : stretch.offset + stretch.length]


@pytest.mark.parametrize("archived", [zipped, tarred])
@pytest.mark.parametrize("cut", [30, 900, 3_000])
def test_a_message_that_two_files_of_an_archive_share_is_put_together(archived: Callable[..., bytes], cut: int) -> None:
    at = LOG.index(b"\x01", len(LOG) // 3) + cut

    decoded = instruments.decode(archived(a=LOG[:at], b=LOG[at:]))

    assert decoded.rejected == ()
    np.testing.assert_array_equal(np.sort(np.concatenate([block.time for block in decoded.blocks])), MADE.time)


def test_members_that_are_files_of_their_own_are_read_one_by_one() -> None:
    decoded = instruments.decode(gzip.compress(NETCDF) + gzip.compress(NETCDF))

    assert decoded.num_profiles == 6


def test_what_is_left_of_a_log_in_a_damaged_gzip_file_is_read_and_the_damage_named() -> None:
    raw = gzip.compress(LOG)

    decoded = instruments.decode(raw[: len(raw) * 3 // 4])

    assert 0 < decoded.num_profiles < 4
    assert decoded.rejected[-1].reason == "gzip file is cut short"


def test_what_stands_before_the_cut_of_a_zip_archive_is_read_and_the_rest_named() -> None:
    decoded = instruments.decode(zipped(a=LOG, b=NETCDF, c=LOG)[:-1500])

    assert decoded.num_profiles == 4 + 3
    assert [each.reason for each in decoded.rejected] == ["c: zip archive is cut short"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda raw, start: raw[: start + 200], "cut short"),
        (lambda raw, start: raw[:start] + b"\xff" + raw[start + 1 :], "damaged header at byte"),
        (lambda raw, start: raw[:start], "without an end mark"),
    ],
    ids=["cut in a header", "damaged header", "cut between files"],
)
def test_files_of_a_tar_archive_do_not_vanish_behind_a_damaged_header(
    spoil: Callable[[bytes, int], bytes], reason: str
) -> None:
    whole = tarred(a=LOG, b=LOG)

    decoded = instruments.decode(spoil(whole, 512 + len(LOG) + -len(LOG) % 512))

    assert decoded.num_profiles == 4
    (lost,) = decoded.rejected
    assert reason in lost.reason


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x28\xb5\x2f\xfd" + bytes(40), "zstd"),
        (b"Rar!\x1a\x07\x00", "RAR archive"),
        (b"\x1f\x9d\x90" + bytes(9), "Unix compress"),
        (b"\x04\x22\x4d\x18" + bytes(9), "LZ4"),
        (b"%PDF-1.7", "PDF document"),
        (zipped(), "zip archive without a single file"),
        (zipped(day=LOG)[:-30], "zip archive is cut short"),
        (zipped(day=LOG).replace(b"PK\x01\x02", b"PK\x09\x09"), "damaged zip archive"),
        (tarred(day=LOG)[:9000], "tar archive"),
        (gzip.compress(LOG) + b"rubbish", "7 bytes behind its end"),
        (b"History file\r\nCREATEDATE, UNIXTIME\r\n", "BL-View history file"),
        (LOG.replace(b"\x01CL020221", b"\x01C?020221"), "headers are damaged"),
        (b"<!DOCTYPE html><html><body>login</body></html>", "HTML page"),
        (b"HeaderSize=40\r\nVersion=1.1.15\r\nID System=WLS7-111\r\n", "Windcube text file of a Doppler lidar"),
        (b"Filename:\tStare_91_20170612_00.hpl\r\nSystem ID:\t91\r\n", "Halo Photonics text file of a Doppler lidar"),
        (b"ovl\n1e-05\t1e-05\t0.000160387\n", "Lufft overlap function"),
        (b" RM1762107.03\r\n SITE     21/06/2017 07:02:30 21/06/2017 07:03:00 0200\r\n\x01\x02", "Licel raw data"),
    ],
)
def test_a_file_is_named_for_what_it_is(raw: bytes, reason: str) -> None:
    assert reason in " ".join(stretch.reason for stretch in instruments.decode(raw).rejected)


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress, lambda raw: zipped(day=raw), lambda raw: tarred(day=raw)]
)
def test_what_unpacks_to_more_than_the_limit_is_refused(
    pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MAX_BYTES", 100_000)

    decoded = instruments.decode(pack(bytes(5_000_000)))

    assert "unpacks to over" in decoded.rejected[-1].reason
    assert decoded.num_profiles == 0


def test_archives_inside_archives_are_opened_to_a_stated_depth_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = LOG
    for _ in range(packed.DEEPEST + 1):
        raw = gzip.compress(raw)
    assert "inside" in instruments.decode(raw).rejected[0].reason

    monkeypatch.setattr(packed, "MAX_FILES", 2)
    decoded = instruments.decode(zipped(a=LOG, b=LOG, c=LOG))
    assert decoded.num_profiles == 8
    assert "holds over 2 files" in decoded.rejected[-1].reason


@settings(max_examples=150)
@given(
    name=st.sampled_from(sorted(PACKINGS)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=8),
    kept=st.floats(0, 1),
)
def test_damaged_archives_give_profiles_or_reasons(name: str, flips: list[tuple[float, int]], kept: float) -> None:
    raw = bytearray(PACKED[name])
    for place, change in flips:
        raw[int(place * len(raw))] ^= change

    decoded = instruments.decode(bytes(raw[: int(kept * len(raw))]))

    assert decoded.blocks or decoded.rejected
    assert all(stretch.reason for stretch in decoded.rejected)
    assert isinstance(instruments.recognise(bytes(raw)), str)


PACKED = {name: pack(LOG) for name, pack in PACKINGS.items()}


@given(
    raw=st.binary(max_size=60),
    start=st.sampled_from(
        [magic for magic, _ in packed.NAMED_ONLY] + [b"PK\x03\x04", b"BZh", b"\xfd7zXZ\x00", b"\xff\xfe"]
    ),
)
def test_any_bytes_behind_a_known_beginning_give_an_answer(raw: bytes, start: bytes) -> None:
    decoded = instruments.decode(start + raw)

    assert decoded.blocks or decoded.rejected


def test_the_time_of_packed_profiles_is_checked_as_any() -> None:
    now = np.datetime64("2020-01-01", "us")

    assert "after the file was read" in instruments.decode(gzip.compress(LOG), now=now).rejected[0].reason
