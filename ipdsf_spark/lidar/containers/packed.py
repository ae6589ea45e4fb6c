"""Files inside files: compression and archives, opened to the plain files they hold, within stated bounds.

    unpacked(raw) -> Unpacked       the files inside, and reasons for what could not be had

gzip (RFC 1952), zlib (RFC 1950), bzip2, xz and lzma with any number of members one after the other, of several kinds
or with plain text behind them, Zstandard (RFC 8878) where a library for it is installed, zip and tar, one inside the
other up to `DEEPEST`; text in UTF-16 or UTF-32 becomes UTF-8, also where only a part of a log is in UTF-16: Windows
appends it to a file that another program began in ASCII.
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

MAX_BYTES: Final = 256 * 2**20
MAX_FILES: Final = 20_000
DEEPEST: Final = 4  # tar of gzip of text in UTF-16, and one more
_STEP: Final = 1 << 20
_TAR_MAGIC_AT: Final = 257
_TAR_BLOCK: Final = 512
_ZIP_ENTRY: Final = struct.Struct("<4s5H3I2H")  # what stands before each file of a zip archive
_FEWEST_APPENDED: Final = 200  # bytes of text behind a compressed file that are no rubbish
# Letters with a zero byte behind or before each: UTF-16 of either byte order, in the midst of other text.
_FEWEST_ZEROS: Final = 32  # of a stretch in UTF-16
_WIDE: Final = re.compile(rb"(?:[\x01-\x04\t\n\r\x20-\x7e]\0){32,}|(?:\0[\x01-\x04\t\n\r\x20-\x7e]){32,}")
_MARKS: Final = re.compile(rb"\xff\xfe(?=[^\0]\0)|\xfe\xff(?=\0[^\0])")
_FIRST_ZERO: Final = 64  # a file that holds a zero byte before it is binary, or in UTF-16 from its beginning

# Known by their first bytes, and not opened here.
NAMED_ONLY: Final[tuple[tuple[bytes, str], ...]] = (
    (b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (b"Rar!\x1a\x07", "RAR archive"),
    (b"\x04\x22\x4d\x18", "LZ4-compressed file"),
    (b"\x1f\x9d", "file packed with Unix compress (.Z)"),
    (b"\x1f\xa0", "file packed with Unix compress (.Z)"),
    (b"LZIP", "lzip-compressed file"),
    (b"\x89LZO", "LZO-compressed file"),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy-compressed file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft Office document"),
    (b"%PDF", "PDF document"),
    (b"\x89PNG", "PNG picture"),
    (b"\xff\xd8\xff", "JPEG picture"),
    (b"GIF8", "GIF picture"),
    (b"SQLite format 3", "SQLite database"),
)


class Packing(Exception):
    """Why a packed file cannot be opened, or not to its end."""


@dataclass(frozen=True)
class Inside:
    """A plain file found inside.

    Attributes:
        name: inside its archive; empty if it is the only one.
        raw: its bytes.
        fault: why it is not whole; empty if it is.
    """

    name: str
    raw: bytes
    fault: str = ""


@dataclass(frozen=True)
class Unpacked:
    """What a packed file holds.

    Attributes:
        files: the plain files, in the order of the archive.
        faults: name and reason of what could not be opened.
        is_packed: whether anything had to be opened.
    """

    files: tuple[Inside, ...]
    faults: tuple[tuple[str, str], ...] = ()
    is_packed: bool = False


@dataclass
class _Budget:
    """What may still be unpacked, over all levels."""

    num_bytes: int
    num_files: int
    files: list[Inside] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)


def unpacked(raw: bytes, *, is_file: Callable[[bytes], bool], max_bytes: int | None = None) -> Unpacked:
    """The plain files behind `raw`; itself, if it is not packed.

    Args:
        raw: any bytes.
        is_file: whether bytes begin a file that ends where its last byte is, so that the members of a compressed file
            are files of their own; members of anything else are one text.
        max_bytes: all that may be unpacked; `MAX_BYTES` if not given.
    """
    if kind_of(raw) is None:
        return Unpacked((Inside("", raw),))
    limit = MAX_BYTES if max_bytes is None else max_bytes
    budget = _Budget(limit, MAX_FILES)
    _open("", raw, 0, budget, is_file)
    return Unpacked(tuple(budget.files), tuple(budget.faults), is_packed=True)


def kind_of(raw: bytes) -> str | None:
    """What `raw` is packed with, or None if it is plain."""
    if raw.startswith(_MAGICS):
        return next(kind for magic, kind in _BY_MAGIC if raw.startswith(magic))
    if raw[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return "zip archive"
    if raw[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return "tar archive"
    return "text in UTF-16 or UTF-32" if _encoding_of(raw) or _is_wide_in_part(raw) else None


def _open(name: str, raw: bytes, depth: int, budget: _Budget, is_file: Callable[[bytes], bool]) -> None:
    kind = kind_of(raw)
    if kind is None:
        if budget.num_files <= 0:
            raise_once = (name, f"archive holds over {MAX_FILES} files")
            if raise_once not in budget.faults:
                budget.faults.append(raise_once)
            return
        budget.num_files -= 1
        budget.files.append(Inside(name, raw))
        return
    if depth >= DEEPEST:
        budget.faults.append((name, f"{kind} inside {depth} others; {DEEPEST} are opened"))
        return
    if kind in _NAMED:
        budget.faults.append(
            (name, f"{kind}: recognised, but not opened here; send the file unpacked or packed with gzip")
        )
        return
    if kind == "zip archive":
        _open_members(_zip_members(raw, budget), name, kind, depth, budget, is_file)
    elif kind == "tar archive":
        _open_members(_tar_members(raw, budget), name, kind, depth, budget, is_file)
    elif kind in _STREAMS:
        _open_stream(name, raw, kind, depth, budget, is_file)
    else:
        _open(name, _in_utf8(raw), depth + 1, budget, is_file)


def _open_members(
    members: Iterator[tuple[str, bytes]],
    name: str,
    kind: str,
    depth: int,
    budget: _Budget,
    is_file: Callable[[bytes], bool],
) -> None:
    num_found = 0
    try:
        for member, content in members:
            num_found += 1
            _open(f"{name}/{member}" if name else member, content, depth + 1, budget, is_file)
            if budget.num_files <= 0:
                budget.faults.append((name, f"{kind} holds over {MAX_FILES} files"))
                return
    except Packing as fault:
        budget.faults.append((name, str(fault)))
        return
    if not num_found:
        budget.faults.append((name, f"{kind} without a single file"))


def _is_of_the_system(name: str) -> bool:
    """Whether a file of an archive is what macOS or Windows keep beside files, and nobody's data."""
    last = name.rpartition("/")[2]
    return name.startswith("__MACOSX/") or last.startswith("._") or last in _OF_SYSTEMS


def _zip_members(raw: bytes, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except Exception as error:  # damaged archives raise whatever their bytes lead to
        if raw.rfind(b"PK\x05\x06") < 0:  # the list of its files stands at its end
            yield from _zip_members_before_the_cut(raw, budget)
            return
        raise Packing(f"damaged zip archive: {_told(error)}") from error
    for entry in entries:
        if _is_of_the_system(entry.filename):
            continue
        if entry.flag_bits & 1:
            budget.faults.append((entry.filename, "zip archive with a password"))
            continue
        content, fault = b"", ""
        try:
            with archive.open(entry) as stream:
                content = stream.read(budget.num_bytes + 1)
        except Exception as error:
            fault = f"damaged file in a zip archive: {_told(error)}"
        if fault:
            budget.faults.append((entry.filename, fault))
            continue
        _spend(budget, content, "zip archive")
        yield entry.filename, content


def _zip_members_before_the_cut(raw: bytes, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    """Files of an archive without the list of them, by what stands before each."""
    at, name = 0, ""
    while len(raw) - at >= _ZIP_ENTRY.size:
        signature, _, flags, method, _, _, _, size, _, name_size, extra_size = _ZIP_ENTRY.unpack_from(raw, at)
        if signature != b"PK\x03\x04":
            break
        at += _ZIP_ENTRY.size
        name = raw[at : at + name_size].decode("utf-8", "replace")
        at += name_size + extra_size
        if method == zipfile.ZIP_DEFLATED:
            stream = zlib.decompressobj(-15)
            try:
                content = stream.decompress(raw[at:], budget.num_bytes + 1)
            except zlib.error:
                break
            is_whole, at = stream.eof or bool(stream.unconsumed_tail), len(raw) - len(stream.unused_data)
        else:
            content = raw[at : at + size] if method == zipfile.ZIP_STORED else b""
            is_whole, at = 0 < size == len(content), at + size
        if not is_whole or flags & 1:
            break
        if flags & 8 and raw[at : at + 4] == b"PK\x07\x08":
            at += 16  # the size, where it was not known before
        _spend(budget, content, "zip archive")
        if not (name.endswith("/") or _is_of_the_system(name)):
            yield name, content
        name = ""
    raise Packing(f"{name}: zip archive is cut short" if name else "zip archive is cut short")


def _tar_members(raw: bytes, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    start = 0
    while start < len(raw):
        try:
            with tarfile.open(fileobj=io.BytesIO(raw[start:]), mode="r:") as archive:
                for entry in archive:
                    if not entry.isfile() or _is_of_the_system(entry.name):
                        continue  # folders and links hold nothing
                    stream = archive.extractfile(entry)
                    content = stream.read(budget.num_bytes + 1) if stream is not None else b""
                    if len(content) < min(entry.size, budget.num_bytes):
                        raise Packing("tar archive is cut short")
                    _spend(budget, content, "tar archive")
                    yield entry.name, content
                end = start + archive.offset
        except Packing:
            raise
        except Exception as error:
            raise Packing(f"damaged tar archive: {_told(error)}") from error
        start = _next_tar(raw, end)


def _next_tar(raw: bytes, end: int) -> int:
    """Where the archive begins that was put behind one of which no further header was found at `end`; or the end.

    Raises:
        Packing: no end mark stands there, so that the library passed over what follows without a word.
    """
    if end >= len(raw):
        raise Packing("tar archive without an end mark: files may be missing")
    if any(raw[end : end + _TAR_BLOCK]):
        if len(raw) - end < _TAR_BLOCK:
            raise Packing("tar archive is cut short")
        raise Packing(f"tar archive with a damaged header at byte {end}: what stands behind it is not read")
    while end < len(raw) and not any(raw[end : end + _TAR_BLOCK]):
        end += _TAR_BLOCK
    if end < len(raw) and kind_of(raw[end : end + _TAR_BLOCK]) != "tar archive":
        raise Packing(f"tar archive with {len(raw) - end} bytes behind its end that are none of it")
    return end


def _spend(budget: _Budget, content: bytes, kind: str) -> None:
    if len(content) > budget.num_bytes:
        raise Packing(f"{kind} unpacks to over {MAX_BYTES // 2**20} MiB")
    budget.num_bytes -= len(content)


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int = ...) -> bytes:
        """Up to `max_length` bytes more."""
        ...

    @property
    def eof(self) -> bool:
        """Whether the member has come to its end."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What stands behind the member."""
        ...


def _gzip() -> Any:
    return zlib.decompressobj(wbits=31)


def _zstd() -> Any:
    """A decompressor of the standard library (3.14), of its backport, or of `zstandard`.

    Raises:
        Packing: none of them is installed.
    """
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return __import__(module, fromlist=["ZstdDecompressor"]).ZstdDecompressor()
        except ImportError:
            continue
    raise Packing("zstd-compressed file: recognised, but no library to open it is installed; pack it with gzip")


_OF_SYSTEMS: Final = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))
_STREAMS: Final[dict[str, Callable[[], Any]]] = {
    "gzip file": _gzip,
    "zlib stream": zlib.decompressobj,
    "bzip2 file": bz2.BZ2Decompressor,
    "xz file": lzma.LZMADecompressor,
    "zstd-compressed file": _zstd,
}
_STREAMS_BY_MAGIC: Final = (
    (b"\x1f\x8b", "gzip file"),
    (b"\x78\x01", "zlib stream"),
    (b"\x78\x9c", "zlib stream"),
    (b"\x78\xda", "zlib stream"),
    (b"BZh", "bzip2 file"),
    (b"\xfd7zXZ\x00", "xz file"),
    (b"\x5d\x00\x00", "xz file"),  # lzma, the older form
    (b"\x28\xb5\x2f\xfd", "zstd-compressed file"),
    (b"\x50\x2a\x4d\x18", "zstd-compressed file"),  # of pzstd, whose frames stand behind one that is skipped
)
_NAMED: Final = frozenset(kind for _, kind in NAMED_ONLY)
_BY_MAGIC: Final = (*_STREAMS_BY_MAGIC, *NAMED_ONLY)
_MAGICS: Final = tuple(magic for magic, _ in _BY_MAGIC)


def _open_stream(
    name: str, raw: bytes, kind: str, depth: int, budget: _Budget, is_file: Callable[[bytes], bool]
) -> None:
    """Members of a compressed file, one behind the other, as `gzip >> file` and logrotate write them."""
    members: list[bytes] = []
    fault = ""
    rest = raw
    while rest:
        content, rest, fault = _member(rest, kind, budget.num_bytes)
        budget.num_bytes -= len(content)
        if content or not members:
            members.append(content)
        if fault:
            break
        rest = rest.lstrip(b"\0")  # tapes and some tools pad with zeros
        following = next((of for magic, of in _STREAMS_BY_MAGIC if rest.startswith(magic)), "")
        if rest and not following:
            if len(rest) >= _FEWEST_APPENDED and _is_text(rest[:2048]) and not is_file(members[0]):
                members.append(rest[: budget.num_bytes])  # a log that its logger goes on with unpacked
                break
            fault = f"{kind} with {len(rest)} bytes behind its end that are none of it"
            break
        kind = following or kind
    parts = members if len(members) > 1 and is_file(members[0]) else [b"".join(members)]
    is_whole = not fault
    for number, part in enumerate(parts):
        inner = f"{name}#{number + 1}" if len(parts) > 1 else name
        # What was got of a damaged text is text; half a file of another kind is not that file.
        if part and (is_whole or number + 1 < len(parts) or (kind_of(part) is None and not is_file(part))):
            _open(inner, part, depth + 1, budget, is_file)
    if fault:
        budget.faults.append((name, fault))
    elif not any(parts):
        budget.files.append(Inside(name, b""))


def _member(raw: bytes, kind: str, max_bytes: int) -> tuple[bytes, bytes, str]:
    """Content of the first member, what stands behind it, and why it is not whole."""
    parts: list[bytes] = []
    size = 0
    try:
        stream: _Decompressor = _STREAMS[kind]()
        data = raw
        while True:
            piece = stream.decompress(data, _STEP)
            parts.append(piece)
            size += len(piece)
            if size > max_bytes:
                return b"", b"", f"{kind} unpacks to over {MAX_BYTES // 2**20} MiB"
            if stream.eof:
                return b"".join(parts), stream.unused_data, ""
            data = getattr(stream, "unconsumed_tail", b"")
            if not piece and not data:
                return b"".join(parts), b"", f"{kind} is cut short"
    except Packing as fault:
        return b"", b"", str(fault)
    except Exception as error:
        return b"".join(parts), b"", f"damaged {kind}: {_told(error)}"


def _encoding_of(raw: bytes) -> str | None:
    """UTF-16 or UTF-32, told by their mark or by every second byte of a text being zero."""
    if raw[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "utf-32"
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if len(raw) < 16 or (raw[0] and raw[1]):
        return None
    start = raw[:2048]
    even, odd = start[0::2], start[1::2]
    for zeros, text, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) == len(zeros) and not text.count(0) and _is_text(text):
            return encoding
    return None


def _is_wide_in_part(raw: bytes) -> bool:
    """Whether text that does not begin in UTF-16 goes on in it."""
    zero = raw.find(b"\0")
    if zero < _FIRST_ZERO or raw.count(b"\0", zero) < _FEWEST_ZEROS:  # counted sooner than searched for
        return False
    return _WIDE.search(raw, zero - 1) is not None


def _in_utf8(raw: bytes) -> bytes:
    """Text in UTF-16 or UTF-32, or in UTF-16 here and there, in UTF-8."""
    encoding = _encoding_of(raw)
    if encoding is not None and (encoding == "utf-32" or raw.find(b"\0", -_FIRST_ZERO) >= 0):
        return raw.decode(encoding, "replace").encode("utf-8")
    return _WIDE.sub(lambda match: match.group().replace(b"\0", b""), _MARKS.sub(b"", raw))


def _is_text(text: bytes) -> bool:
    return sum(byte in b"\t\r\n\x01\x02\x03\x04" or 32 <= byte < 127 for byte in text) >= 0.95 * len(text)
