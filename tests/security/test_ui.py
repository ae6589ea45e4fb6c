"""Spark's UI asks for no login: it is on the loopback, behind a filter, decided about, or off."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipdsf_spark.spark import ui
from ipdsf_spark.spark.ui import keep_to_this_machine, ui_settings

CLUSTERS = ("spark://host:7077", "yarn", "k8s://https://host:6443")
OFF = {"spark.ui.enabled": "false"}


@pytest.fixture(autouse=True)
def nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPARK_LOCAL_IP", "PYSPARK_SUBMIT_ARGS", "PYSPARK_GATEWAY_PORT", "SPARK_CONF_DIR", "SPARK_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ui, "has_context", lambda: False)


@pytest.mark.parametrize("master", CLUSTERS)
def test_on_a_cluster_it_is_off_and_the_log_says_how_to_have_it(master: str, caplog: pytest.LogCaptureFixture) -> None:
    assert ui_settings(master) == OFF
    assert "spark.ui.filters puts a login before it" in caplog.text


@pytest.mark.parametrize("setting", ["spark.ui.filters=org.example.Login", "spark.ui.enabled=true"])
@pytest.mark.parametrize("master", CLUSTERS)
def test_it_is_on_where_somebody_has_put_a_filter_before_it_or_decided_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, master: str, setting: str
) -> None:
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", f"--conf spark.cores.max=2 --conf {setting} pyspark-shell")
    assert ui_settings(master) == {}

    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "pyspark-shell")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    (tmp_path / "spark-defaults.conf").write_text(f"# the site's own\n{setting.replace('=', '   ')}\n")
    assert ui_settings(master) == {}


def test_a_commented_default_decides_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text("# spark.ui.enabled true\n")

    assert ui_settings("yarn") == OFF


def test_a_cluster_that_is_all_on_the_loopback_keeps_it_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")

    assert ui_settings("spark://127.0.0.1:7077") == {}


@pytest.mark.parametrize("master", ["local", "local[6]", "local[*]"])
def test_a_local_session_keeps_it_on_the_loopback(monkeypatch: pytest.MonkeyPatch, master: str) -> None:
    monkeypatch.setenv("SPARK_LOCAL_IP", "")
    monkeypatch.delenv("SPARK_LOCAL_IP")

    keep_to_this_machine(master)

    assert ui.os.environ["SPARK_LOCAL_IP"] == "127.0.0.1"
    assert ui_settings(master) == {}


def test_an_address_that_somebody_chose_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_IP", "10.0.0.7")

    keep_to_this_machine("local[2]")

    assert ui.os.environ["SPARK_LOCAL_IP"] == "10.0.0.7"
