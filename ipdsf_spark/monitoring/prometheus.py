"""Metrics in Prometheus' text format (version 0.0.4), every name with its meaning in one table.

Names and labels of the lag are those of kafka-lag-exporter, less those of members, of which a Spark query has none.
The `namespace` that its dashboard also asks for is Prometheus' to add (deploy/monitoring/prometheus.yml). Numbers that
only grow end in `_total`; times are seconds, sizes bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Name -> kind and meaning. What is not in here cannot be said; dashboards and alerts are checked against it.
METRICS: Final[dict[str, tuple[str, str]]] = {
    "kafka_consumergroup_group_lag": ("gauge", "Files in a partition that the stream has not read."),
    "kafka_consumergroup_group_lag_seconds": ("gauge", "Age of the oldest of them, estimated from the ends seen."),
    "kafka_consumergroup_group_max_lag": ("gauge", "The largest lag of a partition."),
    "kafka_consumergroup_group_max_lag_seconds": ("gauge", "The largest lag of a partition in seconds."),
    "kafka_consumergroup_group_sum_lag": (
        "gauge",
        "Files in all partitions that the stream has not read; absent before its first batch.",
    ),
    "kafka_consumergroup_group_topic_sum_lag": ("gauge", "Files of a topic that the stream has not read."),
    "kafka_consumergroup_group_offset": ("gauge", "Next offset that the stream will read."),
    "kafka_partition_latest_offset": ("gauge", "Next offset that Kafka will give, when the last batch was planned."),
    "ipdsf_files_read_total": ("counter", "Files read since the job started."),
    "ipdsf_files_decoded_total": ("counter", "Of them, files that gave profiles."),
    "ipdsf_files_quarantined_total": ("counter", "Of them, files with something that gave no profile."),
    "ipdsf_profiles_total": ("counter", "Profiles read since the job started."),
    "ipdsf_profiles_late_total": ("counter", "Profiles of intervals that were closed already."),
    "ipdsf_products_total": ("counter", "Products written, revisions included."),
    "ipdsf_is_balanced": (
        "gauge",
        "1 where all that was read is accounted for, by the job and by every site.",
    ),
    "ipdsf_batches_total": ("counter", "Micro-batches since the job started."),
    "ipdsf_batch_seconds": ("gauge", "Duration of the last micro-batch, by phase."),
    "ipdsf_last_batch_timestamp_seconds": ("gauge", "When the last micro-batch with files began."),
    "ipdsf_query_silent_seconds": (
        "gauge",
        "Since the query last told of itself: a batch, or that there is nothing to do; absent before.",
    ),
    "ipdsf_topics_are_seen": ("gauge", "1 where the job sees its topics; 0 where Kafka is away or lets it in no more."),
    "ipdsf_clock_ahead_seconds": ("gauge", "The job's clock less the brokers'; negative: behind."),
    "ipdsf_state_rows": ("gauge", "Sites that the stream remembers."),
    "ipdsf_state_bytes": ("gauge", "Memory of the stores of their state."),
    "ipdsf_quarantined_by_reason_total": ("counter", "Quarantine records since the job started, by kind of reason."),
    "ipdsf_end_to_end_seconds": ("gauge", "From sending a file to its products in Kafka, quantiles of recent files."),
    "ipdsf_sites": ("gauge", "Sites that ever gave a profile, by state: live or silent."),
    "ipdsf_site_freshness_seconds": ("gauge", "Since a site's newest file was sent; the stalest sites only."),
    "ipdsf_site_freshness_quantile_seconds": ("gauge", "The same of all sites that are not silent, as quantiles."),
    "ipdsf_site_alarms": ("gauge", "Status bits set by a site's instrument; sites without any are left out."),
    "ipdsf_calibration_ratio": (
        "gauge",
        "A site's calibration factor over its mean of 90 days, 1 = no drift; the farthest sites only.",
    ),
    "ipdsf_calibration_alarm": ("gauge", "1 where a site's calibration drifts or has made a step; same sites."),
    "ipdsf_profiles_duplicate_total": (
        "counter",
        "Profiles of all sites that had been read before, since the job started.",
    ),
    "ipdsf_profiles_foreign_total": ("counter", "Profiles of a second instrument under a site's id, likewise."),
    "ipdsf_operator_faults_total": ("counter", "Exceptions of operators at all sites, likewise."),
    "ipdsf_archive_lag_records": (
        "gauge",
        "Records in the topic that the archive's table did not hold when it was last looked at; absent before.",
    ),
    "ipdsf_archive_delay_seconds": ("gauge", "Since the table last held everything in its topic."),
    "ipdsf_archive_is_failing": ("gauge", "1 where the table cannot be written now."),
    "ipdsf_edge_files": ("gauge", "Records of the journal, by state."),
    "ipdsf_edge_pending_bytes": ("gauge", "What is still to be sent."),
    "ipdsf_edge_oldest_pending_seconds": ("gauge", "For how long the oldest unsent file has waited; 0 if none does."),
    "ipdsf_edge_last_delivery_timestamp_seconds": ("gauge", "When Kafka last acknowledged a file; 0 before the first."),
    "ipdsf_edge_copies_bytes": ("gauge", "Disk used by local copies."),
    "ipdsf_edge_disk_free_bytes": ("gauge", "Room on their disk."),
    "ipdsf_certificate_expiry_timestamp_seconds": ("gauge", "When this client's certificate ends."),
}


class Sample(NamedTuple):
    """One number.

    Attributes:
        name: a key of `METRICS`.
        value: it; NaN is said as such.
        labels: names and values.
    """

    name: str
    value: float
    labels: Mapping[str, str] = MappingProxyType({})


def render(samples: Iterable[Sample]) -> bytes:
    """The samples as one page, metric by metric.

    Raises:
        KeyError: a name is not in `METRICS`.
    """
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    lines = []
    for name, held in by_name.items():
        kind, meaning = METRICS[name]
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{_labels(sample.labels)} {_number(sample.value)}" for sample in held]
    return ("\n".join(lines) + "\n").encode(errors="replace")  # half a letter of UTF-16 is none


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
