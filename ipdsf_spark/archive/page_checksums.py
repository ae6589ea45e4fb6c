"""Checksums of Parquet's pages, for all that write and read tables: zstd has none as Arrow writes it.

A bit that a disk turned would be read as another value. Arrow writes and looks at them from version 16 on; with an
older one tables are written without, and those of a newer one are read unchecked.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

_IS_KNOWN: Final = int(pa.__version__.partition(".")[0]) >= 16
WRITTEN: Final[dict[str, bool]] = {"write_page_checksum": True} if _IS_KNOWN else {}
CHECKED: Final[dict[str, bool]] = {"page_checksum_verification": True} if _IS_KNOWN else {}
