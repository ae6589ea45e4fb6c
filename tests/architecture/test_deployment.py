"""What stands in deploy/ names only verbs, options, paths and keys that exist."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipdsf_spark import __version__
from ipdsf_spark.config import load
from ipdsf_spark.sites import sites_of
from tests.commands import require_ipdsf, require_job

ROOT = "/opt/ipdsf/"  # of the checkout, in the image and on an edge node
CONF = "/etc/ipdsf/"
KUBERNETES = ("account.yaml", "networkpolicy.yaml", "storage.yaml", "stream.yaml", "train.yaml")


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


@pytest.fixture
def deploy(repository: Path) -> Path:
    return repository / "deploy"


@pytest.mark.parametrize("name", KUBERNETES)
def test_every_manifest_is_one(deploy: Path, name: str) -> None:
    for document in documents(deploy / "kubernetes" / name):
        assert document["apiVersion"]
        assert document["kind"]
        assert document["metadata"].keys() & {"name", "generateName"}


@pytest.mark.parametrize("name", ["stream.yaml", "train.yaml"])
def test_a_spark_application_runs_a_job_of_the_image_with_options_that_it_has(
    repository: Path, deploy: Path, name: str
) -> None:
    import pyspark

    (application,) = documents(deploy / "kubernetes" / name)
    spec = application["spec"]

    assert (application["apiVersion"], application["kind"]) == ("sparkoperator.k8s.io/v1beta2", "SparkApplication")
    assert (spec["type"], spec["mode"], spec["sparkVersion"]) == ("Python", "cluster", pyspark.__version__)
    assert spec["image"] == f"ipdsf-spark:{__version__}"
    job = spec["mainApplicationFile"].removeprefix(f"local://{ROOT}")
    require_job(repository, repository / job, spec["arguments"])
    places = {volume["name"] for volume in spec["volumes"]}
    for role in ("driver", "executor"):
        assert {mount["name"] for mount in spec[role]["volumeMounts"]} == places, "each must see what the other writes"


def test_manifests_agree_on_names(deploy: Path) -> None:
    found = {name: documents(deploy / "kubernetes" / name) for name in KUBERNETES}
    (kustomization,) = documents(deploy / "kubernetes" / "kustomization.yaml")
    named = {(document["kind"], document["metadata"].get("name")) for name in found for document in found[name]}
    kafka = load().kafka

    assert all((deploy / "kubernetes" / name).is_file() for name in kustomization["resources"])
    assert [image["newTag"] for image in kustomization["images"]] == [__version__]
    for name in ("stream.yaml", "train.yaml"):
        spec = found[name][0]["spec"]
        assert ("ServiceAccount", spec["driver"]["serviceAccount"]) in named
        for volume in spec["volumes"]:
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in named
    given = {each["name"]: each for each in found["stream.yaml"][0]["spec"]["driver"]["env"]}
    for variable in (kafka.sasl_username_env, kafka.sasl_password_env):
        assert given[variable]["valueFrom"]["secretKeyRef"]["name"] == "ipdsf-kafka"


def test_the_image_is_built_from_what_is_there_and_runs_as_nobody_of_note(repository: Path, deploy: Path) -> None:
    text = (deploy / "Dockerfile").read_text(encoding="utf-8")
    steps = [line.split(maxsplit=1) for line in text.replace("\\\n", " ").splitlines() if line and line[0] != "#"]
    verbs = [verb for verb, _ in steps]

    assert set(verbs) <= {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD"}
    for verb, rest in steps:
        assert verb != "FROM" or re.search(r":\d", rest), f"{rest} is no fixed version"
        assert verb != "RUN" or not re.search(r"\{.*,.*\}", rest), f"{rest} needs bash, which not every builder takes"
        if verb == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists/*" in rest
    assert steps[verbs.index("USER")][1] != "root"
    for path in re.findall(rf"{ROOT}([\w./-]+)", text):
        assert path.startswith(".venv") or (repository / path).exists(), path
    assert (repository / "scripts" / "setup.sh").is_file()
    ignored = (repository / ".dockerignore").read_text(encoding="utf-8").split()
    assert ".venv" in ignored
    assert not {"conf", "jobs", "ipdsf_spark", "deploy", "requirements", "scripts"} & set(ignored)


def test_every_unit_of_systemd_runs_a_command_that_exists(repository: Path, deploy: Path, tmp_path: Path) -> None:
    units = sorted((deploy / "systemd").glob("*.service"))
    assert len(units) == 2
    for unit in units:
        read = configparser.RawConfigParser(strict=False, interpolation=None)
        read.optionxform = str  # type: ignore[assignment,method-assign]
        read.read_string(unit.read_text(encoding="utf-8"))
        words = shlex.split(read["Service"]["ExecStart"])
        assert words[0].startswith(ROOT)
        require_ipdsf(repository, words)
        assert read["Service"]["RestartPreventExitStatus"] == "2"  # that of a wrong configuration, of every verb


def test_what_the_page_puts_into_the_folder_of_the_configuration_is_all_that_the_streams_unit_needs(
    repository: Path, deploy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (repository / "docs" / "clusters" / "standalone.md").read_text(encoding="utf-8")
    unit = (deploy / "systemd" / "ipdsf-stream.service").read_text(encoding="utf-8")
    (copied,) = re.findall(rf"^cp ((?:conf/\S+ )+){CONF}$", page, flags=re.MULTILINE)
    for path in copied.split():
        shutil.copy(repository / path, tmp_path)
    monkeypatch.setenv("IPDSF_CONF", str(tmp_path))

    config = load(*(tmp_path / name for name in re.findall(rf"--config {CONF}(\S+)", unit)))

    assert f"IPDSF_CONF={CONF.rstrip('/')}" in unit
    assert config.kafka.security_protocol == "SASL_SSL"
    assert Path(config.sites.file).parent == tmp_path
    assert sites_of(config)


def test_the_bundle_names_jobs_notebooks_parameters_and_variables_that_exist(repository: Path, deploy: Path) -> None:
    text = (deploy / "databricks.yml").read_text(encoding="utf-8")
    (bundle,) = documents(deploy / "databricks.yml")

    assert set(re.findall(r"\$\{var\.(\w+)\}", text)) == set(bundle["variables"])
    assert all((deploy / path).is_dir() for path in bundle["sync"]["paths"])
    tasks = [task for job in bundle["resources"]["jobs"].values() for task in job["tasks"]]
    for task in tasks:
        if "notebook_task" in task:
            notebook = deploy / task["notebook_task"]["notebook_path"]
            declared = set(re.findall(r"dbutils\.widgets\.\w+\(\"(\w+)\"", notebook.read_text(encoding="utf-8")))
            given = task["notebook_task"].get("base_parameters", {})
            assert set(given) <= declared
            # What is not given lies on the driver's disk, which executors do not see.
            assert {"storage", "archive", "keep"} & declared <= set(given), notebook.name
        else:
            python = task["spark_python_task"]
            given = [
                re.sub(r"\$\{var\.(\w+)\}", lambda found: str(bundle["variables"][found[1]]["default"]), each)
                for each in python["parameters"]
            ]
            require_job(repository, (deploy / python["python_file"]).resolve(), given)
    assert {path.stem for path in (repository / "jobs").glob("*.py")} - {"network_tensor"} <= {
        task["task_key"] for task in tasks
    }
    clusters = bundle["resources"]["jobs"]["stream"]["job_clusters"][0]["new_cluster"]
    kafka = load().kafka
    assert {kafka.sasl_username_env, kafka.sasl_password_env} < set(clusters["spark_env_vars"])


def test_what_the_bundle_installs_for_imaging_is_the_extra_and_horovods_own_wheel(
    repository: Path, deploy: Path
) -> None:
    (bundle,) = documents(deploy / "databricks.yml")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    jobs = bundle["resources"]["jobs"]
    tasks = {task["task_key"]: task for job in jobs.values() for task in job["tasks"]}
    needed = {text for text in project["optional-dependencies"]["imaging"] if not text.startswith("horovod")}

    for name in ("pack_cubes", "train_cgan", "cubes_and_packing", "training_diary"):
        libraries = tasks[name]["libraries"]
        assert {each["pypi"]["package"] for each in libraries if "pypi" in each} == needed
        assert any("/horovod-" in each.get("whl", "") for each in libraries)


def test_scripts_of_the_image_are_sound_bash(deploy: Path) -> None:
    subprocess.run(["bash", "-n", deploy / "kubernetes" / "entrypoint.sh"], check=True)


def test_the_pages_name_paths_and_keys_that_exist(repository: Path) -> None:
    pages = [repository / "docs" / "clusters.md", *sorted((repository / "docs" / "clusters").glob("*.md"))]
    assert len(pages) == 6
    config = load()
    for text in (page.read_text(encoding="utf-8") for page in pages):
        for path in re.findall(r"(?:deploy|conf|tests)/[\w./@-]+\w", text):
            assert (repository / path).exists(), path
        for section, key in re.findall(r"`(kafka|stream|storage)\.([a-z_]+)", text):
            assert hasattr(getattr(config, section), key), f"{section}.{key}"
