"""Delta tables without an engine: the transaction log, appending, compaction and retention, by the open protocol.

Written are tables of reader version 1 and writer version 2, which every implementation of Delta reads and writes. A
commit of a few records costs milliseconds here and seconds of all cores in Spark, which a live stream has no use for;
Spark, DuckDB and pandas read the same tables.

Source: Delta Transaction Log Protocol, https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""
