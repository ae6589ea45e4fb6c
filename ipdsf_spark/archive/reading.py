"""Reading the archive without Kafka and without Spark, also while it is written.

read_products(directory)                    heights: the newest revision of every site and time
read_products(directory, kind="clouds")     another kind, its values as columns
read_averages(directory, site="oslo", since="2026-06-21")
files(directory, "products")                paths of the Parquet files, for whatever reads Parquet
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from ipdsf_spark.archive.delta.log import Snapshot, snapshot
from ipdsf_spark.archive.page_checksums import CHECKED
from ipdsf_spark.archive.tables import AVERAGES, LAYERS_KIND, NEWEST, PARTITION, PRODUCTS
from ipdsf_spark.errors import InputError

ORDER = ["published", "offset"]
NAMED_APART = {"kind", "site", "time", "sent_ms"}

FORMAT: Final = ds.ParquetFileFormat(default_fragment_scan_options=ds.ParquetFragmentScanOptions(**CHECKED))


def files(directory: str | Path, table: str = PRODUCTS) -> list[str]:
    """Paths of the Parquet files that are the table now; `date` stands in the folder's name, as `date=2026-06-21`.

    Args:
        directory: of the archive.
        table: products, averages or newest.

    Raises:
        InputError: there is no such table.
    """
    found = _table(directory, table)
    return [str(found.directory / path) for path in sorted(found.files)]


def scan(
    directory: str | Path,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    filters: ds.Expression | None = None,
    since: str | None = None,
    until: str | None = None,
) -> pa.Table:
    """Rows of a table.

    Args:
        directory: of the archive.
        table: products, averages or newest.
        columns: all by default.
        filters: which rows.
        since: first day, ISO 8601.
        until: last day.

    Raises:
        InputError: there is no such table, or it cannot be read.
    """
    found = _table(directory, table)
    try:
        try:
            return _rows(found, columns, filters, since, until)
        except FileNotFoundError:
            # A version older than the retention of replaced files may lose them while it is read: take the newest.
            return _rows(_table(directory, table), columns, filters, since, until)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{found.directory} cannot be read ({error}): `ipdsf archive inspect --whole` names the damaged file, "
            "`ipdsf archive rebuild` makes the table whole"
        ) from error


def _rows(
    found: Snapshot,
    columns: Sequence[str] | None,
    filters: ds.Expression | None,
    since: str | None,
    until: str | None,
) -> pa.Table:
    meant = found.where(**{PARTITION: (since, until)}) if since or until else found.where()
    partitioning = ds.partitioning(pa.schema([found.schema.field(PARTITION)]), flavor="hive")
    rows = ds.dataset(
        [str(found.directory / file.path) for file in meant],
        schema=found.schema,
        format=FORMAT,
        partitioning=partitioning,
        partition_base_dir=str(found.directory),
    )
    return rows.to_table(columns=None if columns is None else list(columns), filter=filters)


def _table(directory: str | Path, name: str) -> Snapshot:
    folder = Path(directory) / name
    found = snapshot(folder)
    if not found.exists:
        raise InputError(
            f"no archive of {name} at {folder}; `ipdsf stream` writes it every stream.archive_every_s, "
            "`ipdsf archive rebuild` from the topics at once"
        )
    return found


def read_products(
    directory: str | Path,
    *,
    kind: str = LAYERS_KIND,
    site: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> pd.DataFrame:
    """The newest revision of every site and time, sorted; times are UTC without a zone.

    Args:
        directory: of the archive.
        kind: which product.
        site: only this one.
        since: first day, ISO 8601.
        until: last day.

    Raises:
        InputError: there is no archive of products.
    """
    rows = read_revisions(directory, kind=kind, site=site, since=since, until=until)
    newest = newest_of(rows)
    return newest.sort_values(["site", "time"], ignore_index=True)


def read_revisions(
    directory: str | Path,
    *,
    kind: str = LAYERS_KIND,
    site: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> pd.DataFrame:
    """Every revision, in the order in which they were published; arguments as `read_products`.

    Raises:
        InputError: there is no archive of products.
    """
    wanted = ds.field("kind") == kind
    if site is not None:
        wanted &= ds.field("site") == site
    frame = _frame(scan(directory, PRODUCTS, filters=wanted, since=since, until=until))
    if kind != LAYERS_KIND:
        frame = _with_values(frame)
    return frame.sort_values(ORDER, ignore_index=True)


def newest_of(revisions: pd.DataFrame) -> pd.DataFrame:
    """Of each key the row that Kafka took last."""
    latest: pd.DataFrame = revisions.sort_values(ORDER).drop_duplicates("key", keep="last")
    return latest


def read_averages(
    directory: str | Path, *, site: str | None = None, since: str | None = None, until: str | None = None
) -> pd.DataFrame:
    """Averages of complete intervals, the newest of each site and start; arguments as `read_products`.

    Raises:
        InputError: there is no archive of averages.
    """
    wanted = None if site is None else ds.field("site") == site
    frame = _frame(scan(directory, AVERAGES, filters=wanted, since=since, until=until))
    latest: pd.DataFrame = frame.sort_values(ORDER).drop_duplicates(["site", "start"], keep="last")
    return latest.sort_values(["site", "start"], ignore_index=True)


def read_newest(directory: str | Path, *, since: str | None = None, until: str | None = None) -> pd.DataFrame:
    """The newest view as compaction left it: of each key and day one row, all kinds.

    Raises:
        InputError: nothing was compacted yet.
    """
    return _frame(scan(directory, NEWEST, since=since, until=until))


def _frame(rows: pa.Table) -> pd.DataFrame:
    """As a data frame whose times are UTC without a zone, like those of every other room."""
    plain = [
        field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field for field in rows.schema
    ]
    frame: pd.DataFrame = rows.cast(pa.schema(plain)).to_pandas()
    return frame


def _with_values(frame: pd.DataFrame) -> pd.DataFrame:
    """The values of the records as columns, beside the ones that all kinds share."""
    values: list[dict[str, Any]] = [json.loads(text) for text in frame["value"]]
    shared = frame[["key", "site", "kind", "time", "sent_ms", "published", "partition", "offset", PARTITION]]
    own = pd.DataFrame([{k: v for k, v in row.items() if k not in NAMED_APART} for row in values], index=frame.index)
    return shared.join(own[[name for name in own.columns if name not in shared.columns]])
