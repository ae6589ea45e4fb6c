"""What a job says of itself in numbers: names, lags, delays, reasons; dashboards and alerts ask for no other."""

from __future__ import annotations

import itertools
import json
import math
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.config import Config
from ipdsf_spark.edge.metrics import edge_samples
from ipdsf_spark.edge.status import Status
from ipdsf_spark.monitoring import network as followed
from ipdsf_spark.monitoring.job_metrics import TableState, job_samples
from ipdsf_spark.monitoring.lag import Lags
from ipdsf_spark.monitoring.network import HEIGHTS_KEPT, REASONS, Network, kind_of
from ipdsf_spark.monitoring.progress import LiveListener
from ipdsf_spark.monitoring.prometheus import METRICS, Sample, quantile, render
from ipdsf_spark.security import certificates

NOW_S = 1_800_000_000.0
SPOOL = Status(2, 40, 1, 0, 300_000, "a.dat", 77.0, "", 5_000_000, 9_000_000, 1_000_000_000, ())
DEPLOYED = Path(__file__).resolve().parents[2] / "deploy" / "monitoring"
NAME = re.compile(r"\b(?:ipdsf|kafka_consumergroup|kafka_partition)_[a-z0-9_]+")


def progress(read: dict[str, int], end: dict[str, int], number: int = 7) -> dict[str, Any]:
    return {
        "id": "0", "runId": "1", "name": "live", "batchId": number, "timestamp": "2026-06-21T12:00:00.000Z",
        "numInputRows": 12, "durationMs": {"triggerExecution": 800, "addBatch": 600},
        "observedMetrics": {"files": {"read": 12, "decoded": 11, "quarantined": 1, "both": 0, "waiting": 0}},
        "stateOperators": [{"numRowsTotal": 5, "memoryUsedBytes": 4_000}],
        "sources": [{"endOffset": {"files": read}, "latestOffset": {"files": end}}],
    }  # fmt: skip


def listened(*reports: dict[str, Any]) -> LiveListener:
    listener = LiveListener("live")
    for report in reports:
        listener.onQueryProgress(SimpleNamespace(progress=SimpleNamespace(json=json.dumps(report))))
    return listener


def product(site: str, time: str, sent_ms: int, height_m: float | None = 800.0) -> bytes:
    return json.dumps(
        {"kind": "layers", "site": site, "time": time, "mixing_height_m": height_m, "sent_ms": sent_ms}
    ).encode()


def status(site: str, **more: Any) -> bytes:
    return json.dumps({"site": site, "time": "2026-06-21T12:00:00Z", "is_balanced": True} | more).encode()


def samples(
    listener: LiveListener,
    network: Network,
    *,
    tables: Sequence[TableState] = (TableState("layers", 3, 40.0, True),),
    max_sites: int = 100,
    certificate: str = "",
) -> list[Sample]:
    return list(job_samples(listener, network, tables, group="ipdsf-stream", cluster="here", max_sites=max_sites,
                            now_s=NOW_S, certificate=certificate))  # fmt: skip


def value(found: list[Sample], name: str, **labels: str) -> float:
    (one,) = [each.value for each in found if each.name == name and dict(each.labels) == labels]
    return one


def test_the_lag_of_every_partition_is_told_under_the_names_people_know() -> None:
    found = samples(listened(progress({"0": 10, "1": 20}, {"0": 14, "1": 20})), Network())

    group = {"cluster_name": "here", "group": "ipdsf-stream"}
    assert value(found, "kafka_consumergroup_group_lag", **group, topic="files", partition="0") == 4
    assert value(found, "kafka_consumergroup_group_lag", **group, topic="files", partition="1") == 0
    assert value(found, "kafka_consumergroup_group_max_lag", **group) == 4
    assert value(found, "kafka_consumergroup_group_sum_lag", **group) == 4
    assert value(found, "kafka_consumergroup_group_topic_sum_lag", **group, topic="files") == 4
    assert value(found, "kafka_consumergroup_group_offset", **group, topic="files", partition="0") == 10
    assert value(found, "kafka_partition_latest_offset", cluster_name="here", topic="files", partition="0") == 14


def test_figures_of_a_job_are_told_in_seconds_and_bytes(tmp_path: Path) -> None:
    certificates.make_authority(tmp_path, "a CA")
    report = progress({"0": 1}, {"0": 2})

    found = samples(listened(report, report), Network(), certificate=str(tmp_path / "ca.pem"))

    assert value(found, "ipdsf_batch_seconds", phase="triggerExecution") == 0.8
    assert value(found, "ipdsf_batch_seconds", phase="addBatch") == 0.6
    assert value(found, "ipdsf_last_batch_timestamp_seconds") == 1_782_043_200.0  # 2026-06-21T12:00:00Z
    assert (value(found, "ipdsf_state_rows"), value(found, "ipdsf_state_bytes")) == (5, 4_000)
    counts = ("files_read", "files_decoded", "files_quarantined", "batches")
    assert [value(found, f"ipdsf_{name}_total") for name in counts] == [24, 22, 2, 2]
    ends = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", str(tmp_path / "ca.pem")],
                          capture_output=True, text=True, check=True).stdout  # fmt: skip
    end = datetime.strptime(ends.strip(), "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    assert value(found, "ipdsf_certificate_expiry_timestamp_seconds") == end.timestamp()


@given(st.lists(st.floats(), max_size=5))
def test_a_number_is_read_back_as_it_was_and_a_whole_one_has_no_point(values: list[float]) -> None:
    values = [*values, 0.0, 1.5, -2.25, 3.0, 1e14, 1e15, 1e300, math.inf, -math.inf, math.nan]

    lines = render([Sample("ipdsf_sites", value) for value in values]).decode().splitlines()[2:]

    words = [line.removeprefix("ipdsf_sites ") for line in lines]
    assert [float(word) for word in words] == pytest.approx(values, rel=0, abs=0, nan_ok=True)
    assert words[-7:] == ["3", "100000000000000", "1000000000000000.0", "1e+300", "+Inf", "-Inf", "NaN"]


def test_a_lag_that_nobody_knows_yet_is_not_a_lag_of_zero() -> None:
    found = samples(LiveListener("live"), Network(), tables=[TableState("layers", None, 40.0, False)])

    names = {each.name for each in found}
    assert "ipdsf_archive_delay_seconds" in names
    assert "ipdsf_archive_lag_records" not in names
    assert not [name for name in names if name.startswith("kafka_consumergroup")]


def test_a_lag_in_seconds_is_the_age_of_the_oldest_file_that_waits() -> None:
    lags = Lags()
    for at_s, end in ((100.0, 10), (110.0, 20), (120.0, 30)):
        lags.take(progress({"0": 10}, {"0": end}), at_s)
    lags.take(progress({"0": 15}, {"0": 30}), 125.0)

    assert lags.seconds_of(("files", 0), 130.0) == pytest.approx(25.0)  # file 15 came half-way from 100 to 110 s
    lags.take(progress({"0": 30}, {"0": 30}), 126.0)
    assert lags.seconds_of(("files", 0), 130.0) == 0.0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_a_lag_in_seconds_is_never_longer_than_anybody_has_looked(steps: list[int]) -> None:
    lags, end = Lags(), 0
    for at, step in enumerate(steps):
        end += step
        lags.take(progress({"0": end // 2}, {"0": end}), float(at))
        assert 0.0 <= lags.seconds_of(("files", 0), float(at)) <= at


def test_delays_are_from_sending_to_the_first_product_of_a_file() -> None:
    network = Network()
    for number in range(100):
        sent_ms = 1_000_000 + 60_000 * number
        for kept in (0, 5_000):  # a revision later on says nothing of the file's own delay
            network.take_product(
                product("oslo", f"2026-06-21T12:{number % 60:02}:00Z", sent_ms), sent_ms + 1_000 + kept
            )

    found = samples(listened(), network)

    assert value(found, "ipdsf_end_to_end_seconds", quantile="0.5") == 1.0
    assert value(found, "ipdsf_end_to_end_seconds", quantile="0.99") == 1.0


def test_freshness_is_told_of_the_stalest_sites_only_and_of_all_as_quantiles() -> None:
    network = Network()
    for number in range(50):
        network.take_status(status(f"site-{number}", sent_ms=int((NOW_S - number) * 1000), is_silent=number == 49))

    network.take_status(status("new"))  # nothing of it was seen yet, so nobody knows how old that is

    found = samples(listened(), network, max_sites=3)

    told = {each.labels["site"]: each.value for each in found if each.name == "ipdsf_site_freshness_seconds"}
    assert told == {"site-49": 49.0, "site-48": 48.0, "site-47": 47.0}
    assert value(found, "ipdsf_site_freshness_quantile_seconds", quantile="0.99") == 48.0
    assert (value(found, "ipdsf_sites", state="live"), value(found, "ipdsf_sites", state="silent")) == (50, 1)


# What kafka-lag-exporter's own dashboard asks for (grafana/Kafka_Lag_Exporter_Dashboard.json), less its JVM panels.
LAG_EXPORTER: Final = {
    "kafka_consumergroup_group_max_lag_seconds": {"cluster_name", "group"},
    "kafka_consumergroup_group_lag_seconds": {"cluster_name", "group", "topic", "partition"},
    "kafka_consumergroup_group_max_lag": {"cluster_name", "group"},
    "kafka_consumergroup_group_offset": {"cluster_name", "group", "topic", "partition"},
    "kafka_partition_latest_offset": {"cluster_name", "topic", "partition"},
}


def test_a_dashboard_made_for_kafka_lag_exporter_finds_its_names_and_labels() -> None:
    found = samples(listened(progress({"0": 10}, {"0": 14})), Network())
    stream = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())["scrape_configs"][0]

    for name, labels in LAG_EXPORTER.items():
        held = [each.labels for each in found if each.name == name]
        assert held, name
        assert all(labels <= set(each) for each in held), name
    assert "namespace" in stream["static_configs"][0]["labels"]


def calibration(site: str, time: str, factor: float | None, mean: float | None, *, alarm: bool = False) -> bytes:
    row = {"kind": "calibration", "site": site, "time": time, "factor": factor, "mean_90_days": mean, "alarm": alarm}
    return json.dumps(row | {"sent_ms": 1}).encode()


def test_how_far_a_calibration_has_drifted_is_told_of_the_alarmed_and_the_farthest_sites() -> None:
    network = Network()
    for number in range(20):
        network.take_product(calibration(f"site-{number:02}", "2026-06-21T00:00:00Z", 1.0 + number / 100, 1.0), 2)
    network.take_product(calibration("oslo", "2026-06-21T00:00:00Z", 1.5, 1.5, alarm=True), 2)
    network.take_product(calibration("young", "2026-06-21T00:00:00Z", 1.5, None, alarm=True), 2)

    found = samples(listened(), network, max_sites=4)

    told = {each.labels["site"]: each.value for each in found if each.name == "ipdsf_calibration_ratio"}
    assert told == {"oslo": 1.0, "site-19": 1.19, "site-18": 1.18}
    assert value(found, "ipdsf_calibration_alarm", site="oslo") == 1
    assert value(found, "ipdsf_calibration_alarm", site="young") == 1
    assert value(found, "ipdsf_calibration_alarm", site="site-19") == 0


def test_a_row_of_an_earlier_day_does_not_replace_the_newest_calibration() -> None:
    network = Network()
    network.take_product(calibration("oslo", "2026-06-21T00:00:00Z", 1.2, 1.0, alarm=True), 2)
    network.take_product(calibration("oslo", "2026-06-20T00:00:00Z", 1.0, 1.0), 2)
    network.take_product(calibration("oslo", "2026-06-22T00:00:00Z", 0.0, 1.0), 2)

    assert network.sites()["oslo"].calibration_ratio is None
    network.take_product(calibration("oslo", "2026-06-22T00:00:00Z", 1.1, 1.0), 2)
    assert network.sites()["oslo"].calibration_ratio == 1.1


def test_one_site_whose_counts_do_not_add_up_unbalances_all() -> None:
    network = Network()
    network.take_status(status("oslo"))
    assert value(samples(listened(), network), "ipdsf_is_balanced") == 1

    network.take_status(status("munich", is_balanced=False))

    assert value(samples(listened(), network), "ipdsf_is_balanced") == 0


@given(st.floats(-1e6, 1e6), st.lists(st.floats(0.0, 100.0), min_size=3, max_size=9))
def test_a_clock_is_called_wrong_when_every_one_of_the_last_records_says_so(
    ahead_s: float, on_the_way_s: list[float]
) -> None:
    network = Network()
    for k, way_s in enumerate(on_the_way_s):
        network.take_new(1_000_000, 1_000.0 + way_s + ahead_s, 10.0 * k)
        network.take_new(1_000_000, 9e9, 10.0 * k + 1.0)  # too soon after the look before to count

    assert abs(network.clock_ahead_s) <= min(abs(way_s + ahead_s) for way_s in on_the_way_s[-3:]) + 1e-6


def test_a_wrong_clock_is_told_once_and_so_is_the_right_one(caplog: pytest.LogCaptureFixture) -> None:
    network, at_s = Network(), itertools.count(0.0, 10.0)
    for now_s in (1_900.0, 1_000.1, 1_900.0, 1_000.2):  # a record that lay a while is no wrong clock
        network.take_new(1_000_000, now_s, next(at_s))
    assert caplog.messages == []

    for now_s in (1_000.0 + 86_400.0, 1_000.5, 700.0, 1_600.0):
        for _ in range(9):
            network.take_new(1_000_000, now_s, next(at_s))

    assert [message.partition(":")[0] for message in caplog.messages] == [
        "the clock of this machine is 86400 s ahead of Kafka's",
        "the clock of this machine and Kafka's agree again",
        "the clock of this machine is 300 s behind Kafka's",
        "the clock of this machine is 600 s ahead of Kafka's",
    ]


def test_reasons_are_few_whatever_they_name() -> None:
    network = Network()
    for number in range(1_000):
        network.take_letter([("reason", f"no message of {number} bytes is known (and {number} more)".encode())])
        network.take_letter([("reason", b"key 'a%d' in the topic of site 'b'" % number)])
    assert network.reasons() == {"no message of N bytes is known": 1_000, "key … in the topic of site …": 1_000}
    assert len({kind_of(f"checksum: message says {told}, its bytes give {told}") for told in ("0x41be", "41be")}) == 1

    for number in range(1_000):
        network.take_letter([("reason", "x".join("ab"[bit == "1"] for bit in f"{number:b}").encode())])

    assert len(network.reasons()) == REASONS + 1
    assert network.reasons()["other"] > 900


def test_a_reason_that_is_empty_has_a_kind_too() -> None:
    assert kind_of("") == "no reason given"


def test_a_site_keeps_a_day_of_heights_in_order() -> None:
    network = Network()
    for number in (5, 3, 4, *range(6, 400)):
        network.take_product(product("oslo", f"2026-06-{1 + number // 60:02}T00:{number % 60:02}:00Z", number), 0)

    times = list(network.sites()["oslo"].heights)

    assert times == sorted(times)
    assert len(times) == HEIGHTS_KEPT


def test_of_more_sites_than_have_a_history_only_the_newest_height_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "SITES_WITH_HISTORY", 2)
    network = Network()

    for site in ("oslo", "rome", "kyiv"):
        for minute in (0, 5, 10):
            network.take_product(product(site, f"2026-06-21T12:{minute:02}:00Z", minute), 0)

    assert {site: len(view.heights) for site, view in network.sites().items()} == {"oslo": 3, "rome": 3, "kyiv": 1}
    assert list(network.sites()["kyiv"].heights) == ["2026-06-21T12:10:00Z"]


@pytest.mark.parametrize("time", ["yesterday", "2026-06-21T12:00:00", "2026-06-31T12:00:00Z", "", 5])
def test_a_product_whose_time_is_none_or_names_no_zone_is_passed_over(time: str | int) -> None:
    network = Network()

    network.take_product(json.dumps({"kind": "layers", "site": "oslo", "time": time}).encode(), 0)

    assert network.sites() == {}


@pytest.mark.parametrize("value", [b"", b"{", b"[1]", b'{"site": 3}', b'{"site": "a", "time": null}', None])
def test_a_record_that_is_no_product_is_no_trouble(value: bytes | None) -> None:
    network = Network()

    network.take_product(value, 0)
    network.take_status(value)

    assert {site for site in network.sites() if site != "a"} == set()


@given(st.lists(st.floats(0, 1e6), max_size=30), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_a_value_that_enough_of_them_do_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)

    if not values:
        assert math.isnan(found)
    else:
        assert found in values
        assert sum(each <= found for each in values) >= share * len(values) - 1e-9


@given(st.text())
def test_every_label_is_one_line_that_gives_it_back(text: str) -> None:
    page = render([Sample("ipdsf_site_alarms", 1.0, {"site": text})]).decode()
    line = page.removeprefix(page[: page.index("\nipdsf_site_alarms{") + 1]).removesuffix("\n")

    held = re.fullmatch(r'ipdsf_site_alarms\{site="((?:[^"\\\n]|\\["\\n])*)"\} 1', line, flags=re.DOTALL)

    assert held is not None
    assert re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], held[1]) == text


def test_a_metric_that_is_in_no_table_cannot_be_told() -> None:
    with pytest.raises(KeyError):
        render([Sample("ipdsf_unknown", 1.0)])


def exported(tmp_path: Path) -> set[str]:
    certificates.make_authority(tmp_path, "a CA")
    network = Network()
    network.take_status(status("oslo", sent_ms=1, alarms=["window"]))
    network.take_product(product("oslo", "2026-06-21T12:00:00Z", 1_000), 2_000)
    network.take_letter([("reason", b"late")])
    network.take_product(calibration("oslo", "2026-06-21T00:00:00Z", 1.1, 1.0), 2)
    job = samples(listened(progress({"0": 1}, {"0": 2})), network, certificate=str(tmp_path / "ca.pem"))
    return {each.name for each in (*job, *edge_samples(SPOOL, "oslo", str(tmp_path / "ca.pem")))}


def test_everything_in_the_table_is_told(tmp_path: Path) -> None:
    assert exported(tmp_path) == set(METRICS)


@pytest.mark.parametrize("name", ["alerts.yml", "grafana-dashboard.json"])
def test_dashboards_and_alerts_ask_for_what_is_told(name: str, tmp_path: Path) -> None:
    asked = set(NAME.findall((DEPLOYED / name).read_text(encoding="utf-8")))

    assert asked
    assert asked <= exported(tmp_path)


def test_the_dashboard_shows_every_metric() -> None:
    asked = set(NAME.findall((DEPLOYED / "grafana-dashboard.json").read_text(encoding="utf-8")))

    assert asked == set(METRICS)


def test_an_action_names_units_that_exist() -> None:
    units = {path.name.removesuffix(".service") for path in (DEPLOYED.parent / "systemd").glob("*.service")}
    named = re.findall(
        r"ipdsf-[a-z]+@?", " ".join(re.findall(r"action: .*systemctl.*", (DEPLOYED / "alerts.yml").read_text()))
    )

    assert named
    assert set(named) <= units


def test_the_dashboard_is_whole() -> None:
    board = json.loads((DEPLOYED / "grafana-dashboard.json").read_text(encoding="utf-8"))

    assert {"title", "uid", "schemaVersion", "panels", "templating"} <= set(board)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places = set()
    for panel in board["panels"]:
        x, y, width, height = (panel["gridPos"][key] for key in "xywh")
        places |= {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in board["panels"])
    assert all(x < 24 for x, _ in places)
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    rules = [
        rule for group in yaml.safe_load((DEPLOYED / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]

    assert len({rule["alert"] for rule in rules}) == len(rules) >= 10
    for rule in rules:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["annotations"]["action"], rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_prometheus_looks_where_something_listens_out_of_the_box() -> None:
    said = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())
    listening = {listen for listen in (Config().monitoring.listen, Config().monitoring.edge_listen) if listen}

    asked = [place for job in said["scrape_configs"] for each in job["static_configs"] for place in each["targets"]]

    assert set(asked) == listening
    assert said["rule_files"] == ["alerts.yml"]
    assert [job["job_name"] for job in said["scrape_configs"]] == ["ipdsf-stream", "ipdsf-edge"]
