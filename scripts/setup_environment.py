"""Bring .venv, the Horovod wheel and the jars up to date, step by step; setup.sh runs it after its checks.

Each step leaves a stamp in .venv/setup with a digest of what it was made from: the lock, the recipe, the versions. A
step whose stamp matches is skipped; one that was interrupted has none and is done again, so the same command resumes.
What is slow to make and the same for every checkout (the Horovod wheel, the jars) is kept in the user's caches.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VENV = REPOSITORY / os.environ.get("IPDSF_VENV", ".venv")
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "setup"
LOCK = REPOSITORY / "requirements" / os.environ.get("IPDSF_LOCK", "lock.txt")
UV_LOCK = REPOSITORY / "requirements" / "uv.txt"
SPARK_VERSIONS = REPOSITORY / "ipdsf_spark" / "spark" / "versions.py"
HADOOP = REPOSITORY / "tests" / "hadoop.py"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ipdsf"

# torch from another index brings its own choice of these; see TORCH_INDEX_URL.
ACCELERATOR_PACKAGES = ("torch", "triton", "nvidia-", "cuda-")

IMPORT_ALL = "import horovod.torch, ipdsf_spark.packing.petastorm_on_arrow, pyspark, torch, matplotlib.pyplot"

SAY_EVERY_S = 15.0


class SetupError(Exception):
    """A step failed; the message says which, where its log is, and what to do."""


@dataclass(frozen=True)
class Step:
    """One step: `act` is run unless the stamp already holds `made_from` and `is_present` agrees."""

    name: str
    title: str
    made_from: str
    act: Callable[[], None]
    is_present: Callable[[], bool] = lambda: True

    @property
    def stamp(self) -> Path:
        """Where the digest is kept."""
        return STAMPS / f"{self.name}.stamp"

    def is_done(self) -> bool:
        """Whether nothing has changed since it was done."""
        return self.stamp.is_file() and self.stamp.read_text() == self.made_from and self.is_present()

    def run(self) -> None:
        """Do it, then leave the stamp."""
        self.stamp.unlink(missing_ok=True)
        self.act()
        STAMPS.mkdir(parents=True, exist_ok=True)
        self.stamp.write_text(self.made_from)


def main() -> int:
    """Run what is not done; 0 when everything is up to date."""
    started = time.monotonic()
    try:
        with only_one_at_a_time(Path(__file__)):
            all_steps = steps()
            due = [step for step in all_steps if not step.is_done()]
            for step in due:
                say(f"[{all_steps.index(step) + 1}/{len(all_steps)}] {step.title}")
                began = time.monotonic()
                step.run()
                say(f"      done in {time.monotonic() - began:.0f} s")
    except SetupError as error:
        print(f"ipdsf set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ipdsf set-up: interrupted; the same command resumes", file=sys.stderr)
        return 130
    say(f"Set-up is complete ({time.monotonic() - started:.1f} s).")
    return 0


def steps() -> list[Step]:
    """Every step in order; a step's digest contains those it stands on."""
    base = f"{platform.python_version()} {sysconfig.get_platform()} {VENV}"
    uv = digest(base, UV_LOCK.read_text())
    packages = digest(uv, LOCK.read_text(), torch_index())
    horovod = digest(packages, repr(sorted(horovod_recipe().items())))
    project = digest(packages, (REPOSITORY / "pyproject.toml").read_text())
    connectors = digest(packages, SPARK_VERSIONS.read_text())
    broker = digest(project, (REPOSITORY / "ipdsf_spark" / "devkafka" / "fetch.py").read_text())
    return [
        Step("venv", f"virtual environment in {VENV.name}", base, make_venv, PYTHON.exists),
        Step("uv", "uv, which installs the rest", uv, install_uv),
        Step("packages", "packages of the lock (5 GB with CUDA: a few minutes)", packages, install_packages),
        Step("horovod", "Horovod (built once per machine: about 4 minutes on 2 cores)", horovod, install_horovod),
        Step("project", "ipdsf_spark itself, editable", project, install_project),
        Step(
            "connectors",
            "Spark connectors for Kafka and Delta",
            connectors,
            lambda: fetch_jars("connectors", connector_coordinates()),
            lambda: are_present(connector_coordinates()),
        ),
        Step(
            "hadoop",
            "Hadoop's small clusters, for the tests",
            digest(packages, HADOOP.read_text()),
            lambda: fetch_jars("hadoop", hadoop_coordinates()),
            lambda: are_present(hadoop_coordinates()),
        ),
        Step("broker", "Kafka broker", broker, fetch_broker, lambda: any(CACHE.glob("kafka-*"))),
        Step("check", "all engines in one process", digest(horovod, project), check_imports),
    ]


def make_venv() -> None:
    """Make or repair the environment; one of another Python is replaced."""
    base_python = getattr(sys, "_base_executable", sys.executable)  # this may run on the very Python it repairs
    same_python = "-c", f"import sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    is_usable = PYTHON.exists() and subprocess.run([PYTHON, *same_python], check=False).returncode == 0
    run("venv", [base_python, "-m", "venv", *([] if is_usable else ["--clear"]), VENV])


def install_uv() -> None:
    """Install uv with the pip that Python brings."""
    run("uv", [PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", UV_LOCK])


def install_packages() -> None:
    """Install the lock, hashes required, but for Horovod (built here) and torch if it comes from another index."""
    index = torch_index()
    left_out = ("horovod", *(ACCELERATOR_PACKAGES if index else ()))
    STAMPS.mkdir(parents=True, exist_ok=True)
    chosen = STAMPS / "requirements.txt"
    chosen.write_text("".join(block for name, block in requirement_blocks() if not name.startswith(left_out)))
    uv_pip_install("packages", "--no-deps", "--require-hashes", "--requirement", chosen)
    if index:
        uv_pip_install(
            "torch", "--reinstall-package", "torch", "--index-url", index, f"torch=={locked_version('torch')}"
        )
    (STAMPS / "torch-index").write_text(index)


def torch_index() -> str:
    """TORCH_INDEX_URL, or that of the last set-up, so that a later `make test` does not fetch another torch."""
    remembered = STAMPS / "torch-index"
    return os.environ.get("TORCH_INDEX_URL", remembered.read_text() if remembered.is_file() else "")


def install_horovod() -> None:
    """Install the cached wheel, building it if there is none or if the cached one does not load here."""
    wheel, was_built = horovod_wheel()
    for attempt in (wheel, None):
        if attempt is None:
            wheel.unlink()
            wheel, was_built = horovod_wheel()
        uv_pip_install("horovod", "--no-deps", "--reinstall-package", "horovod", wheel)
        try:
            run("horovod", [PYTHON, "-c", "import horovod.torch"])
            return
        except SetupError:
            if was_built:
                raise


def horovod_wheel() -> tuple[Path, bool]:
    """The wheel for this torch and Python from the user's cache, and whether it had to be built."""
    tag = subprocess.run(
        [PYTHON, "-c", "import torch; print(torch.__version__)"], check=True, capture_output=True, text=True
    ).stdout.strip()
    key = digest(repr(sorted(horovod_recipe().items())))[:8]
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folder = CACHE / "horovod" / f"torch-{tag}-{python}-{sysconfig.get_platform()}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with only_one_at_a_time(folder):
        if found := sorted(folder.glob("horovod-*.whl")):
            return found[0], False
        return build_horovod(folder), True


def horovod_recipe() -> dict[str, str]:
    """The environment Horovod is built in: PyTorch only, gloo between the processes, no MPI."""
    recipe = {
        "HOROVOD_WITH_PYTORCH": "1",
        "HOROVOD_WITHOUT_TENSORFLOW": "1",
        "HOROVOD_WITHOUT_MXNET": "1",
        "HOROVOD_WITH_GLOO": "1",
        "HOROVOD_WITHOUT_MPI": "1",
        "HOROVOD_CPU_OPERATIONS": "GLOO",
        # Its gloo asks for a CMake so old that CMake 4 refuses without this.
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5",
    }
    if gpu_operations := os.environ.get("HOROVOD_GPU_OPERATIONS"):
        recipe["HOROVOD_GPU_OPERATIONS"] = gpu_operations
    return recipe


def build_horovod(folder: Path) -> Path:
    """Compile the wheel from the locked sources into `folder`, whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="ipdsf-horovod-") as scratch:
        # Horovod asks for C++14 and torch's headers need more; the last -std on the command line wins.
        compiler = Path(scratch) / "c++"
        compiler.write_text(f'#!/bin/sh\nexec {os.environ.get("CXX") or shutil.which("c++")} "$@" -std=c++20\n')
        compiler.chmod(0o755)
        sources = Path(scratch) / "horovod.txt"
        sources.write_text(dict(requirement_blocks())["horovod"])
        run(
            "horovod",
            # Without the cache of pip, whose wheels are not told apart by torch.
            [
                *(PYTHON, "-m", "pip", "wheel", "--no-cache-dir", "--no-deps", "--no-build-isolation", "--use-pep517"),
                *(
                    "--no-binary",
                    ":all:",
                    "--require-hashes",
                    "--requirement",
                    sources,
                    "--wheel-dir",
                    f"{scratch}/out",
                ),
            ],
            environment={
                **horovod_recipe(),
                "CXX": str(compiler),
                "HOROVOD_CMAKE": shutil.which("cmake") or "cmake",
                "MAKEFLAGS": f"-j{os.cpu_count() or 1}",
            },
        )
        (built,) = Path(scratch, "out").glob("horovod-*.whl")
        partial = folder / f".{built.name}"
        shutil.copyfile(built, partial)
        return partial.rename(folder / built.name)


def install_project() -> None:
    """Install the checkout, editable, with the build tools of the lock."""
    uv_pip_install("project", "--no-deps", "--no-build-isolation", "--editable", REPOSITORY)


def connector_coordinates() -> list[str]:
    """group:artifact:version of every jar that the installed Spark needs."""
    return said_by("ipdsf_spark.spark.versions")


def hadoop_coordinates() -> list[str]:
    """group:artifact:version of every jar of Hadoop's small clusters, for the Hadoop of the installed Spark."""
    return said_by("tests.hadoop")


def said_by(module: str) -> list[str]:
    """What a module of the checkout says, word by word."""
    asked = subprocess.run([PYTHON, "-m", module], check=True, capture_output=True, text=True, cwd=REPOSITORY)
    return asked.stdout.split()


def are_present(coordinates: Sequence[str]) -> bool:
    """Whether Spark's Ivy has these jars, so that no query and no test starts with a download."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # as Java sees it, whatever $HOME says
    jars = home / ".ivy2.5.2" / "jars"
    names = [f"{coordinate.replace(':', '_', 1).replace(':', '-')}.jar" for coordinate in coordinates]
    return all((jars / name).is_file() for name in names)


def fetch_jars(step: str, coordinates: Sequence[str]) -> None:
    """Let spark-submit resolve them as it will for every query, around a class that prints its version and ends."""
    run(
        step,
        [
            *(VENV / "bin" / "spark-submit", "--master", "local[1]", "--packages", ",".join(coordinates)),
            *("--class", "org.apache.ivy.Main", "spark-internal", "-version"),
        ],
        # spark-submit looks for Spark beside the interpreter it is told of, and for this machine by its name, which
        # nobody need know where an image is built.
        environment={
            "SPARK_CONF_DIR": str(REPOSITORY / "conf"),
            "PYSPARK_PYTHON": str(PYTHON),
            "SPARK_LOCAL_IP": "127.0.0.1",
        },
    )


def fetch_broker() -> None:
    """Fetch the jars of the embedded Kafka."""
    run("broker", [VENV / "bin" / "ipdsf", "broker", "fetch"])


def check_imports() -> None:
    """Load every engine in one process: their native libraries must live together."""
    run("check", [PYTHON, "-c", IMPORT_ALL])


def uv_pip_install(step: str, *arguments: str | Path) -> None:
    """`uv pip install` into .venv; it follows the index and certificate that pip was told of."""
    environment = {"UV_HTTP_TIMEOUT": os.environ.get("PIP_DEFAULT_TIMEOUT", "120")}
    for pip_name, uv_name in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")):
        if pip_name in os.environ and uv_name not in os.environ:
            environment[uv_name] = os.environ[pip_name]
    run(step, [VENV / "bin" / "uv", "pip", "install", "--python", PYTHON, *arguments], environment=environment)


def requirement_blocks() -> Iterator[tuple[str, str]]:
    """Name and text of each requirement of the lock, its hashes included."""
    for block in re.split(r"^(?=[A-Za-z0-9])", LOCK.read_text(), flags=re.MULTILINE)[1:]:
        yield re.split(r"[=\s]", block, maxsplit=1)[0], block


def locked_version(name: str) -> str:
    """The version of `name` in the lock."""
    match = re.match(r"[^=]+==([^\s;\\]+)", dict(requirement_blocks())[name])
    assert match, f"{LOCK} has no version of {name}"
    return match[1]


def run(step: str, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> None:
    """Run `command` with its output in a log, saying now and then that it goes on.

    Raises:
        SetupError: it failed; the end of its log is shown.
    """
    STAMPS.mkdir(parents=True, exist_ok=True)
    log_path = STAMPS / f"{step}.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=REPOSITORY,
        )
        started = time.monotonic()
        try:
            while True:
                try:
                    status = process.wait(timeout=SAY_EVERY_S)
                    break
                except subprocess.TimeoutExpired:
                    say(f"      … {time.monotonic() - started:.0f} s: {last_line(log_path)}")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status:
        end = "\n    ".join(log_path.read_text(errors="replace").splitlines()[-25:]) if log_path.exists() else ""
        raise SetupError(
            f"this step failed (exit {status}):\n    {end}\n"
            f"The whole log: {log_path}\nWhen the cause is removed, the same command resumes here."
        )


def last_line(path: Path) -> str:
    """The last line of a log, cut to the width of a terminal."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:  # `venv --clear` empties the folder that it stands in
        return "waiting"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:90] if lines else "waiting"


def digest(*parts: str) -> str:
    """One digest of all parts, which changes when any of them does."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@contextmanager
def only_one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock on `path`; a second set-up waits for the first."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up is at work; waiting for it.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def say(line: str) -> None:
    """Say it at once, also into a pipe."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
