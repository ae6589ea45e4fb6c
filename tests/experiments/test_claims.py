"""A claim of the presentation is judged by figures, and each verdict can come out."""

from __future__ import annotations

import math

import pytest

from ipdsf_spark.experiments import hosts, latency, sites, throughput, training
from ipdsf_spark.experiments.latency import LatencyRow, LatencySettings
from ipdsf_spark.experiments.presented import QUALITIES, TIMES
from ipdsf_spark.experiments.result import Claim, Table
from ipdsf_spark.experiments.throughput import ThroughputRow, ThroughputSettings

SETTINGS = LatencySettings()


def timed(*total_s: float) -> tuple[Table, ...]:
    rows = [
        LatencyRow("consumers", 2**number, 18_000, 18_000, total, total - 90.0, 1.0, 2.0, 3.0, 4.0)
        for number, total in enumerate(total_s)
    ]
    return (Table.of("latency", "", rows),)


@pytest.mark.parametrize(
    ("total_s", "holds"),
    [
        ((400.0, 205.0, 110.0), True),
        ((400.0, 300.0, 250.0), False),
        ((90.5, 90.4, 90.6), False),  # the sending is all that takes time
        ((math.nan, 150.0, 95.0), None),
        ((400.0, 205.0, math.nan), False),
        ((400.0,), None),
    ],
)
def test_time_is_nearly_linear_in_consumers_only_above_the_time_of_sending(
    total_s: tuple[float, ...], holds: bool | None
) -> None:
    (claim,) = latency.claims(SETTINGS, timed(*total_s))

    assert claim.holds is holds


def run(consumers: int, partitions: int, files_per_s: float, idle: int = 0) -> ThroughputRow:
    return ThroughputRow(
        "transfer", "round_robin", partitions, consumers, idle, 1000, 1.0, files_per_s, files_per_s / 40, 1.0
    )


def judged(*rows: ThroughputRow) -> list[Claim]:
    return list(throughput.claims(ThroughputSettings(), (Table.of("throughput", "", rows),)))


def test_throughput_that_is_highest_with_few_consumers_does_not_rise_up_to_the_partitions() -> None:
    grows, *_ = judged(run(1, 50, 500.0), run(4, 50, 900.0), run(32, 50, 700.0))

    assert grows.holds is False
    assert grows.found == "50 partitions: most at 4 consumers (900 files/s), 700 at 32"


def test_consumers_beyond_the_partitions_are_idle_by_the_brokers_assignment() -> None:
    (idle,) = judged(run(4, 4, 500.0), run(6, 4, 500.0, idle=2))
    (busy,) = judged(run(4, 4, 500.0), run(6, 4, 500.0, idle=0))

    assert (idle.holds, busy.holds) == (True, False)


def test_more_partitions_must_bring_more_than_one_run_differs_from_the_next() -> None:
    *_, same = judged(run(4, 50, 500.0), run(4, 150, 510.0))
    *_, more = judged(run(4, 50, 500.0), run(4, 150, 900.0))

    assert (same.holds, more.holds) == (False, True)


def spread(
    rows: list[hosts.HostsRow], deaths: list[hosts.DeathRow], written_mb: tuple[float, float] = (0.0, 60.0)
) -> list[Claim]:
    one_mb, two_mb = written_mb
    fills = [
        hosts.FillRow("one broker", 50, 1000, 500.0, one_mb),
        hosts.FillRow("two brokers", 50, 1000, 300.0, two_mb),
    ]
    tables = (
        Table.of("hosts", "", rows, kind=hosts.HostsRow),
        Table.of("writing", "", fills),
        Table.of("death", "", deaths, kind=hosts.DeathRow),
    )
    return list(hosts.claims(hosts.HostsSettings(), tables))


def test_a_second_broker_relieves_the_link_only_for_who_reads_the_own_copy() -> None:
    rows = [
        hosts.HostsRow(hosts.ONE, 50, 4, 1000, 2.0, 500.0, 600.0, 250.0, 20.0, 0.95),
        hosts.HostsRow(hosts.LEADERS, 50, 4, 1000, 1.8, 550.0, 275.0, 275.0, 20.0, 0.5),
        hosts.HostsRow(hosts.NEAREST, 50, 4, 1000, 0.9, 1100.0, 550.0, 550.0, 0.1, 0.01),
    ]
    found = spread(rows, [hosts.DeathRow(1000, 250, 1000, 0, 12, 3.5), hosts.DeathRow(1000, 250, 999, 1, 0, 3.5)])

    falls, bottleneck, leaders, nearest, bandwidth, safe, lossy = found
    assert (falls.holds, bottleneck.holds) == (None, True)
    assert (leaders.holds, nearest.holds) == (False, True)
    assert bandwidth.holds is False
    assert "two brokers, own copy: 60 MB to write and 0 to read" in bandwidth.found
    assert (safe.holds, lossy.holds) == (True, False)


def host(brokers: str, consumers: int, files_per_s: float, link_mb: float) -> hosts.HostsRow:
    half = files_per_s / 2
    return hosts.HostsRow(brokers, 50, consumers, 1000, 1000 / files_per_s, files_per_s, half, half, link_mb, 0.95)


@pytest.mark.parametrize(("most", "falls"), [(440.0, True), (460.0, False), (600.0, False)])
def test_throughput_falls_with_consumers_where_it_loses_a_tenth(most: float, falls: bool) -> None:
    rows = [host(hosts.ONE, 2, 500.0, 20.0), host(hosts.ONE, 4, most, 20.0),
            host(hosts.LEADERS, 4, 500.0, 20.0), host(hosts.NEAREST, 4, 500.0, 20.0)]  # fmt: skip

    assert spread(rows, [])[0].holds is falls


@pytest.mark.parametrize(("read_mb", "holds"), [(5.0, True), (7.0, False)])
def test_two_brokers_use_much_less_bandwidth_below_two_thirds_of_what_one_uses(read_mb: float, holds: bool) -> None:
    """One: 50 MB to write and 40 to read; two: 54 MB to write, and each reads its own copy."""
    rows = [host(hosts.ONE, 2, 400.0, 70.0), host(hosts.ONE, 4, 500.0, 40.0), host(hosts.LEADERS, 4, 500.0, 40.0),
            host(hosts.NEAREST, 4, 500.0, read_mb)]  # fmt: skip

    found = spread(rows, [], written_mb=(50.0, 54.0))

    assert found[4].holds is holds
    assert "one broker: 50 MB to write and 40 to read" in found[4].found  # of the fastest run


def test_hosts_that_could_not_be_made_prove_nothing() -> None:
    assert spread([], []) == []


@pytest.mark.parametrize(("keeps_up", "p99_s", "holds"), [(True, 1.5, True), (False, 1.5, False), (True, 30.0, False)])
def test_thousands_of_sites_are_carried_when_none_waits_and_files_are_fast(
    keeps_up: bool, p99_s: float, holds: bool
) -> None:
    rows = [sites.SitesRow(3_000, 50.0, 1500, 1500, 0.5, 1.0, p99_s, 0, keeps_up, 5.0)]

    (claim,) = sites.claims(sites.SitesSettings(sites=(3_000,)), (Table.of("sites", "", rows),))

    assert claim.holds is holds


@pytest.mark.parametrize(("number", "holds"), [(999, None), (1_000, True)])
def test_thousands_are_a_thousand_and_more_and_of_fewer_nothing_can_be_said(number: int, holds: bool | None) -> None:
    rows = [sites.SitesRow(number, 50.0, 1500, 1500, 0.5, 1.0, 1.5, 0, True, 5.0)]

    (claim,) = sites.claims(sites.SitesSettings(sites=(number,)), (Table.of("sites", "", rows),))

    assert claim.holds is holds


def trainings(best_db: float) -> tuple[Claim, ...]:
    rows = [
        training.TrainingRow(training.WITHOUT, 1, 800, 40.0, 20.0, 1.0, 1.0, 1.0, 300.0, 0.0, 5.0),
        training.TrainingRow(training.named(2), 2, 800, 21.0, 39.0, 1.95, 0.975, 1.0, 150.0, 5.0, 5.0),
    ]
    quality = [
        training.QualityRow("phantom-3", training.WITHOUT, 20.0, 0.7, 9.0, best_db),  # another training's
        training.QualityRow("phantom-3", training.named(2), 30.0, 0.9, 0.05, best_db),
    ]
    tables = (
        Table.of("training", "", rows),
        Table.of("reach", "", [], kind=training.ReachRow),
        Table.of("quality", "", quality),
        Table.of("presented-times", "", TIMES),
        Table.of("presented-quality", "", QUALITIES),
    )

    return training.claims(training.TrainingSettings(), tables)


def test_a_factor_of_four_and_comparable_quality_do_not_hold_by_the_presentations_own_figures() -> None:
    factor, linear, comparable = trainings(best_db=28.0)

    assert (factor.holds, linear.holds, comparable.holds) == (False, False, False)
    assert "accuracy 27 to 19 h is 1.42 times" in factor.found
    assert "here 1.95 times with 2 workers" in factor.found
    assert "here 98 % with 2 workers" in linear.found
    assert "2.8 dB are lost in the mean, up to 4.2; here 0.05 dB lost" in comparable.found


def test_models_below_the_best_baseline_are_not_compared() -> None:
    *_, comparable = trainings(best_db=31.0)

    assert "do not beat the best baseline yet, so no comparison" in comparable.found
