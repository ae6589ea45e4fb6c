"""What a result schema says of the function that makes it."""

from __future__ import annotations

from typing import Final

AS_ROWS: Final = "as_rows"  # metadata of the first field: columns are given as lists, rows are taken as tuples
