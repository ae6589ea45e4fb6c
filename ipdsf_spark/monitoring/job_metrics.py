"""The metrics of a streaming job, from its progress reports, its archive and what the topics say of the sites."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ipdsf_spark.kafka.certificate import validity_of
from ipdsf_spark.monitoring.network import Network, SiteView
from ipdsf_spark.monitoring.progress import LiveListener
from ipdsf_spark.monitoring.prometheus import Sample, quantile

QUANTILES: Final = (0.5, 0.99)
SITE_COUNTS: Final = {  # metric -> count of the sites' state
    "ipdsf_profiles_duplicate_total": "duplicate",
    "ipdsf_profiles_foreign_total": "foreign",
    "ipdsf_operator_faults_total": "faults",
}
NUM_ALARMED: Final = 50  # sites with alarms that are named


class TableState(NamedTuple):
    """How a table of the archive goes: name, records missing, seconds since none was, whether it cannot be written.

    The lag is None before the topic was looked at.
    """

    name: str
    lag: int | None
    delay_s: float
    is_failing: bool


def job_samples(
    listener: LiveListener,
    network: Network,
    tables: Sequence[TableState],
    *,
    group: str,
    cluster: str,
    max_sites: int,
    now_s: float,
    certificate: str = "",
) -> Iterator[Sample]:
    """Every metric of the job.

    Args:
        listener: of the live query.
        network: what the topics say.
        tables: of the archive.
        group: under which name the lag is told.
        cluster: what the Kafka is called, for whoever watches several.
        max_sites: sites whose freshness is told one by one, the stalest.
        now_s: seconds since 1970.
        certificate: this client's, PEM; empty if it has none.
    """
    yield from _lags(listener, group, cluster, now_s)
    yield from _counts(listener, network, now_s)
    yield from _sites(network.sites(), max_sites, now_s)
    delays = network.delays()
    for share in QUANTILES:
        yield Sample("ipdsf_end_to_end_seconds", quantile(delays, share), {"quantile": str(share)})
    for reason, count in sorted(network.reasons().items()):
        yield Sample("ipdsf_quarantined_by_reason_total", count, {"reason": reason})
    for table in tables:
        labels = {"table": table.name}
        if table.lag is not None:
            yield Sample("ipdsf_archive_lag_records", table.lag, labels)
        yield Sample("ipdsf_archive_delay_seconds", table.delay_s, labels)
        yield Sample("ipdsf_archive_is_failing", table.is_failing, labels)
    if certificate and (validity := validity_of(certificate)) is not None:
        yield Sample("ipdsf_certificate_expiry_timestamp_seconds", validity.end.timestamp())


def _lags(listener: LiveListener, group: str, cluster: str, now_s: float) -> Iterator[Sample]:
    lags = listener.lags
    if lags.total is None:
        return  # a lag that nobody knows is told by nothing: who waits for a 0 would take it for one
    partitions = sorted(lags.end)
    seconds = {partition: lags.seconds_of(partition, now_s) for partition in partitions}
    told = {"cluster_name": cluster, "group": group}
    topics: Counter[str] = Counter()
    for topic, number in partitions:
        place = {"topic": topic, "partition": str(number)}
        lag = lags.of((topic, number))
        topics[topic] += lag
        yield Sample("kafka_consumergroup_group_lag", lag, told | place)
        yield Sample("kafka_consumergroup_group_lag_seconds", seconds[topic, number], told | place)
        yield Sample("kafka_consumergroup_group_offset", lags.read.get((topic, number), 0), told | place)
        yield Sample("kafka_partition_latest_offset", lags.end[topic, number], {"cluster_name": cluster} | place)
    for topic, lag in topics.items():
        yield Sample("kafka_consumergroup_group_topic_sum_lag", lag, told | {"topic": topic})
    yield Sample("kafka_consumergroup_group_max_lag", max(map(lags.of, partitions)), told)
    yield Sample("kafka_consumergroup_group_max_lag_seconds", max(seconds.values()), told)
    yield Sample("kafka_consumergroup_group_sum_lag", lags.total, told)


def _counts(listener: LiveListener, network: Network, now_s: float) -> Iterator[Sample]:
    totals = listener.totals
    yield Sample("ipdsf_files_read_total", totals.read)
    yield Sample("ipdsf_files_decoded_total", totals.decoded)
    yield Sample("ipdsf_files_quarantined_total", totals.quarantined)
    yield Sample("ipdsf_profiles_total", totals.profiles)
    yield Sample("ipdsf_profiles_late_total", totals.late)
    yield Sample("ipdsf_products_total", totals.products)
    yield Sample("ipdsf_batches_total", totals.batches)
    sites = [view.status for view in network.sites().values()]
    yield Sample("ipdsf_is_balanced", totals.is_balanced and all(site.get("is_balanced", True) for site in sites))
    grown = network.counted()
    for name, key in SITE_COUNTS.items():
        yield Sample(name, grown.get(key, 0))
    if listener.batches:
        batch = listener.batches[-1]
        yield Sample("ipdsf_last_batch_timestamp_seconds", batch.started_s)
        for phase, duration_ms in sorted(batch.duration_ms.items()):
            yield Sample("ipdsf_batch_seconds", duration_ms / 1000, {"phase": phase})
    if math.isfinite(silent_s := listener.silent_s(now_s)):
        yield Sample("ipdsf_query_silent_seconds", silent_s)
    yield Sample("ipdsf_topics_are_seen", not network.problem)
    yield Sample("ipdsf_clock_ahead_seconds", round(network.clock_ahead_s, 1))
    yield Sample("ipdsf_state_rows", listener.state_rows)
    yield Sample("ipdsf_state_bytes", listener.state_bytes)


def _sites(sites: dict[str, SiteView], max_sites: int, now_s: float) -> Iterator[Sample]:
    silent = {site for site, view in sites.items() if view.status.get("is_silent")}
    yield Sample("ipdsf_sites", len(sites) - len(silent), {"state": "live"})
    yield Sample("ipdsf_sites", len(silent), {"state": "silent"})
    ages = {
        site: max(0.0, now_s - view.newest_sent_ms / 1000) for site, view in sites.items() if view.newest_sent_ms > 0
    }
    for site in sorted(ages, key=lambda site: -ages[site])[:max_sites]:
        yield Sample("ipdsf_site_freshness_seconds", ages[site], {"site": site})
    live = [age for site, age in ages.items() if site not in silent]
    for share in QUANTILES:
        yield Sample("ipdsf_site_freshness_quantile_seconds", quantile(live, share), {"quantile": str(share)})
    alarmed = sorted(site for site, view in sites.items() if view.status.get("alarms"))
    for site in alarmed[:NUM_ALARMED]:
        yield Sample("ipdsf_site_alarms", len(sites[site].status["alarms"]), {"site": site})
    yield from _calibrations(sites, max_sites)


def _calibrations(sites: dict[str, SiteView], max_sites: int) -> Iterator[Sample]:
    """Of the sites with an alarm and those whose factor is farthest from its mean."""

    def need(site: str) -> tuple[bool, float]:
        view = sites[site]
        return not view.calibration.get("alarm"), -abs(math.log(view.calibration_ratio or 1.0))

    for site in sorted((name for name, view in sites.items() if view.calibration), key=need)[:max_sites]:
        ratio = sites[site].calibration_ratio
        if ratio is not None:
            yield Sample("ipdsf_calibration_ratio", ratio, {"site": site})
        yield Sample("ipdsf_calibration_alarm", bool(sites[site].calibration.get("alarm")), {"site": site})
