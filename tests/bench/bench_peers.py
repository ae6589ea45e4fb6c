"""Layer heights of this project beside those of A-Profiles, ACT and ceilfeat, on days whose truth is known.

    python tests/bench/bench_peers.py [--seeds 1] [--kinds clear desert ...] [--into docs/peers.md] [--record FILE]

Each peer is installed, pinned, in an environment of its own below ${XDG_CACHE_HOME:-~/.cache}/ipdsf/peers, and is given
the simulated hard days and the real day at Oslo in the files that it reads. Heights are scored by the kernel of
`ipdsf score` against the tracer's edge. `peers/run_*.py` say which method each one runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from recording import append, entry_of

from ipdsf_spark.experiments.page import write_between
from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.averages.build import averages_of, averages_of_all
from ipdsf_spark.lidar.instruments import vaisala_cl61
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.scoring import failures, score, steepest_m
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator.hard_days import CLASSES, hard_day
from ipdsf_spark.lidar.simulator.hard_kinds import HELD_BACK, KINDS
from ipdsf_spark.lidar.simulator.instruments import INSTRUMENTS
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import load_sites

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("IPDSF_DATA", REPOSITORY.parent / "shared" / "data"), "ceilometer")
RUNNERS = Path(__file__).with_name("peers")
OSLO = "L2_0-20000-001492_A20210909.nc"
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
EVERY_S, PER_DAY, PROFILES = 300, 288, 5
OURS, NAIVE = "this project", "steepest gradient"
NAIVE_M = (150.0, 3000.0)  # A-Profiles searches as far
NAIVE_LIMITS = "150 to 3000 m"


@dataclass(frozen=True)
class Peer:
    """Somebody else's package.

    Attributes:
        name: as its authors write it.
        requirements: what is installed; the first is the peer itself.
        runner: of `peers`.
        form: of the files that it is given: a key of `WRITERS`.
        is_slow: takes half a minute a day: see `--slow-days`.
    """

    name: str
    requirements: tuple[str, ...]
    runner: str
    form: str
    is_slow: bool = False


PEERS = (
    Peer("A-Profiles", ("aprofiles==0.16.2",), "run_aprofiles.py", "e-profile"),
    Peer("ACT", ("act-atmos==2.3.4",), "run_act.py", "arm"),
    # With xarray of 2026: ImportError: cannot import name 'to_netcdf' from 'xarray.backends.api'.
    Peer("ceilfeat", ("ceilfeat==0.1.2", "xarray==2025.6.1"), "run_ceilfeat.py", "cl61", is_slow=True),
)


@dataclass(frozen=True, eq=False)
class Truth:
    """Of one day, on its 288 product times.

    Attributes:
        edge_m: tracer's edge, NaN where fog or rain hides it, or where it lies too low to be seen.
        dry_edge_m: the same, also where it lies too low.
        hour_class: index into `CLASSES`.
    """

    edge_m: np.ndarray
    dry_edge_m: np.ndarray
    hour_class: np.ndarray


def file_of(name: str, seed: int) -> str:
    return f"L2_{name}_{seed}.nc"  # A-Profiles takes no other beginning


Series = dict[tuple[str, str], list[np.ndarray]]  # (who, method) -> heights of each day


def environment(peer: Peer) -> Path:
    """The peer's Python; made on the first call."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ipdsf" / "peers"
    folder = root / f"{'-'.join(peer.requirements).replace('==', '-')}-py{sys.version_info[0]}{sys.version_info[1]}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    print(f"installing {' '.join(peer.requirements)} into {folder}", file=sys.stderr, flush=True)
    if uv:
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), *peer.requirements]
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *peer.requirements]
    subprocess.run(install, check=True)
    (folder / "complete").touch()
    return python


def five_minute_means(profiles: Profiles) -> tuple[np.ndarray, np.ndarray]:
    """(T,) middle times and (T, G) means of whole intervals."""
    number = profiles.time.astype("datetime64[s]").astype(np.int64) // EVERY_S
    starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    count = np.diff(np.append(starts, len(number)))
    mean = np.add.reduceat(np.nan_to_num(profiles.beta.astype(float)), starts, axis=0) / count[:, None]
    middle = (number[starts] * EVERY_S + EVERY_S // 2).astype("datetime64[s]")
    return middle, mean


def write_e_profile(profiles: Profiles, path: Path) -> None:
    """Level 2 as the network's hub gives it: means of five minutes and of about 30 m, 1e-6 m-1 sr-1."""
    at, beta = five_minute_means(profiles)
    per = max(1, round(30.0 / profiles.range_resolution_m))
    num = beta.shape[1] // per
    beta = beta[:, : num * per].reshape(len(beta), num, per).mean(axis=2)
    altitude_m = profiles.range_m[: num * per].reshape(num, per).mean(axis=1)
    bases = profiles.cloud_base_m[2::PROFILES, :1]
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({"instrument_type": profiles.instrument.split()[-1], "instrument_id": "A", "title": "simulated"})
        file.setncatts({"wigos_station_id": "0-20000-0-00000", "site_location": "SIMULATED"})
        for name, length in (("time", len(at)), ("altitude", num), ("layer", 1)):
            file.createDimension(name, length)

        def put(name: str, axes: tuple[str, ...], values: Any, units: str, long_name: str = "") -> None:
            variable = file.createVariable(name, "f8", axes, fill_value=np.nan if axes else None)
            variable.setncatts({"units": units, "long_name": long_name or name.replace("_", " ")})
            variable[...] = values

        days = at.astype(np.int64) / 86_400.0
        put("time", ("time",), days, "days since 1970-01-01 00:00:00.000")
        put("altitude", ("altitude",), altitude_m, "m", "Altitude above sea level")
        grid = ("time", "altitude")
        put("latitude", grid, profiles.latitude_deg, "degree_north")
        put("longitude", grid, profiles.longitude_deg, "degree_east")
        put("attenuated_backscatter_0", grid, beta * 1e6, "1E-6*1/(m*sr)", "Attenuated Backscatter at wavelength 0")
        put("uncertainties_att_backscatter_0", grid, np.abs(beta) * 1e5, "1E-6*1/(m*sr)")
        put("quality_flag", grid, 0.0, "1")
        put("cloud_base_height", ("time", "layer"), bases, "m")
        put("vertical_visibility", ("time",), profiles.vertical_visibility_m[2::PROFILES], "m")
        for name, value in (("l0_wavelength", profiles.wavelength_nm), ("station_altitude", 0.0)):
            put(name, (), value, "m" if "altitude" in name else "nm")
        put("station_latitude", (), profiles.latitude_deg, "degrees_north")
        put("station_longitude", (), profiles.longitude_deg, "degrees_east")


def write_arm(profiles: Profiles, path: Path) -> None:
    """As ARM's `ceil`: `backscatter` over `range` in 1/(sr km 10000), here means of five minutes."""
    at, beta = five_minute_means(profiles)
    with netCDF4.Dataset(path, "w") as file:
        for name, length in (("time", len(at)), ("range", beta.shape[1])):
            file.createDimension(name, length)
        seconds = file.createVariable("time", "f8", ("time",))
        seconds.units = "seconds since 1970-01-01 00:00:00"
        seconds[:] = at.astype(np.int64)
        file.createVariable("range", "f4", ("range",)).units = "m"
        file["range"][:] = profiles.range_m
        file.createVariable("backscatter", "f4", ("time", "range")).units = "1/(sr*km*10000)"
        file["backscatter"][:] = beta * 1e7


def write_cl61(profiles: Profiles, path: Path) -> None:
    """As a CL61 writes, every profile and gate of the instrument; all light counts as parallel."""
    path.write_bytes(vaisala_cl61.encode_file(profiles))


WRITERS = {"e-profile": write_e_profile, "arm": write_arm, "cl61": write_cl61}


def ours(raw: bytes | Profiles, site: Site, lag_s: int) -> Layers:
    averages = averages_of(raw, EVERY_S) if isinstance(raw, Profiles) else averages_of_all(
        instruments.decode(raw).blocks, EVERY_S
    )  # fmt: skip
    tracker = LayerTracker(site, LayerSettings(lag_s=lag_s))
    return Layers.concatenate([tracker.step(averages, (), only_final=True), tracker.flush()])


def on_grid(at: np.ndarray, height_m: np.ndarray, midnight: np.datetime64) -> np.ndarray:
    """(288,) means of the heights in each five minutes of a day, NaN where there is none."""
    number = ((at - midnight) / np.timedelta64(1, "s") // EVERY_S).astype(int)
    has = np.isfinite(height_m) & (number >= 0) & (number < PER_DAY)
    total = np.bincount(number[has], height_m[has], PER_DAY)
    with np.errstate(invalid="ignore"):
        return total / np.bincount(number[has], minlength=PER_DAY)


def simulated(names: list[str], seeds: int, folder: Path) -> tuple[list[Truth], Series, dict[str, list[float]]]:
    """Days into files of every form; their truths, and our own and the naive heights with processor times."""
    truths, found, spent = [], defaultdict(list), defaultdict(list)
    for name, seed in ((name, seed) for name in names for seed in range(seeds)):
        day = hard_day(name, seed=seed)
        for form, write in WRITERS.items():
            write(day.profiles, folder / form / file_of(name, seed))
        rain = day.profiles.beta[:, 30] > 1e-5
        dry = ~(day.profiles.is_fog | rain).reshape(-1, PROFILES).any(axis=1)
        edge_m = np.median(day.edge_m.reshape(-1, PROFILES), axis=1)
        seen = day.is_seen.reshape(-1, PROFILES).all(axis=1)
        truths.append(
            Truth(np.where(dry & seen, edge_m, np.nan), np.where(dry, edge_m, np.nan), day.hour_class[2::PROFILES])
        )
        midnight = day.profiles.time[0].astype("datetime64[D]")
        raw = INSTRUMENTS[(KINDS | HELD_BACK)[name].instrument].encode(day.profiles)
        for label, lag_s in (("provisional", 0), ("final", LayerSettings().lag_s)):
            layers = ours(day.profiles, day.site, lag_s)
            found[OURS, label].append(on_grid(layers.time, layers.mixing_height_m, midnight))
        start = time.process_time()
        ours(raw, day.site, LayerSettings().lag_s)
        spent[OURS].append(time.process_time() - start)
        _, beta = five_minute_means(day.profiles)
        found[NAIVE, NAIVE_LIMITS].append(steepest_m(beta, day.profiles.range_m, *NAIVE_M))
    return truths, dict(found), dict(spent)


def asked(peer: Peer, folder: Path, names: list[str], out: Path) -> list[dict[str, Any]]:
    """What the peer says of each file of a folder; files that it has answered for are not given to it again."""
    files = [str(folder / name) for name in names]
    out.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    variables.pop("PYTHONPATH", None)
    command = [str(environment(peer)), str(RUNNERS / peer.runner), str(out)]
    command += [path for path in files if not (out / f"{Path(path).stem}.json").exists()]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    told = []
    for path in files:
        answer = out / f"{Path(path).stem}.json"
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        told.append(json.loads(answer.read_text()) if answer.exists() else {"error": f"ended with {last}"})
    return told


def placed(told: dict[str, Any], midnight: np.datetime64) -> dict[str, np.ndarray]:
    return {
        method: on_grid(
            (np.array(each["time_s"]) * 1e6).astype(np.int64).astype("datetime64[us]"),
            np.array(each["height_m"], float),
            midnight,
        )
        for method, each in told["heights"].items()
    }


def of_peers(
    days: list[tuple[str, int]], slow_days: int, folder: Path, found: Series, spent: dict[str, list[float]]
) -> dict[str, list[str]]:
    """Adds the peers' heights and times to ours; their errors."""
    errors: dict[str, list[str]] = {}
    for peer in PEERS:
        given = days[:slow_days] if peer.is_slow else days
        files = [file_of(*day) for day in given]
        answers = asked(peer, folder / peer.form, files, folder / f"answers-{peer.form}")
        methods = next((list(answer["heights"]) for answer in answers if "heights" in answer), ["–"])
        part = "" if len(given) == len(days) else f", first {len(given)} days"
        if part:
            found[OURS, f"final{part}"] = found[OURS, "final"][: len(given)]
        for (name, seed), answer in zip(given, answers, strict=True):
            midnight = hard_day(name, seed=seed).profiles.time[0].astype("datetime64[D]")
            heights = placed(answer, midnight) if "heights" in answer else {}
            for method in methods:
                found.setdefault((peer.name, method + part), []).append(heights.get(method, np.full(PER_DAY, np.nan)))
            if "error" in answer:
                errors.setdefault(peer.name, []).append(f"{name}: {answer['error']}")
            else:
                spent.setdefault(peer.name, []).append(answer["cpu_s"])
        print(f"{peer.name}: {len(answers)} days, {len(errors.get(peer.name, ()))} errors", file=sys.stderr, flush=True)
    return errors


def scored(truths: list[Truth], days: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """By hour class; days are kept apart by a gap so that no step leads from one to the next."""

    def row(values: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.append(each, np.nan) for each in values])

    edge_m, height_m = row([truth.edge_m for truth in truths]), row(days)
    hour_class = row([truth.hour_class.astype(float) for truth in truths])
    found = {}
    for number, name in enumerate((*CLASSES, "all")):
        here = hour_class == number if name != "all" else np.full(hour_class.shape, True)
        nothing = np.full(hour_class.shape, np.nan)
        result = score(np.where(here, height_m, np.nan), nothing, np.where(here, edge_m, np.nan))
        found[name] = {
            "num": result.num,
            "available": round(result.available, 3),
            "bias_m": round(result.bias_m, 1),
            "rmse_m": round(result.rmse_m, 1),
            "p90_step_m": round(result.p90_step_m, 1),
        }
    dry_m = row([truth.dry_edge_m for truth in truths])
    return found | {"failures": {"num": failures(height_m - dry_m)}}


def judged(title: str, names: list[str], seeds: int, slow_days: int, folder: Path) -> dict[str, Any]:
    """One table: days, scores, times, errors."""
    for form in WRITERS:
        (folder / form).mkdir(parents=True, exist_ok=True)
    truths, found, spent = simulated(names, seeds, folder)
    days = [(name, seed) for name in names for seed in range(seeds)]
    errors = of_peers(days, slow_days, folder, found, spent)
    return {
        "title": title,
        "days": len(truths),
        "scores": {" · ".join(key): scored(truths[: len(days)], days) for key, days in found.items()},
        "cpu_s": {who: round(float(np.median(times)), 2) for who, times in spent.items()},
        "errors": errors,
    }


def oslo() -> dict[str, Any] | None:
    """The real day: no truth, so only how often there is a height, how it moves, and how far it is from ours."""
    source = next(iter(sorted(DATA.rglob(OSLO))), None)
    if source is None:
        return None
    site = load_sites(REPOSITORY / "conf" / "sites.toml")["oslo"]
    midnight = np.datetime64("2021-09-09")
    layers = ours(source.read_bytes(), site, LayerSettings().lag_s)
    found = {f"{OURS} · final": on_grid(layers.time, layers.mixing_height_m, midnight)}
    profiles = instruments.decode(source.read_bytes(), name=source.name).blocks[0]
    heights = steepest_m(profiles.beta, profiles.range_m, *NAIVE_M)
    found[NAIVE] = on_grid(profiles.time, heights, midnight)
    errors: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for peer in PEERS:
            folder = Path(temporary, peer.form)
            folder.mkdir()
            if peer.form == "e-profile":
                shutil.copy(source, folder / OSLO)
            else:
                WRITERS[peer.form](replace(profiles, beta=np.nan_to_num(profiles.beta)), folder / OSLO)
            (answer,) = asked(peer, folder, [OSLO], Path(temporary, f"answers-{peer.form}"))
            if "error" in answer:
                errors[peer.name] = answer["error"]
                continue
            found |= {f"{peer.name} · {method}": heights for method, heights in placed(answer, midnight).items()}
    num = int(np.isfinite(on_grid(profiles.time, np.ones(len(profiles)), midnight)).sum())
    rows = {}
    for name, height_m in found.items():
        steps = np.abs(np.diff(height_m))
        away = np.abs(height_m - found[f"{OURS} · final"])
        rows[name] = {
            "available": round(float(np.isfinite(height_m).sum() / num), 3),
            "median_m": _percentile(height_m, 50),
            "median_step_m": _percentile(steps, 50),
            "p90_step_m": _percentile(steps, 90),
            "median_from_ours_m": _percentile(away, 50),
        }
    return {"times": num, "rows": rows, "errors": errors}


def _percentile(values: np.ndarray, at: float) -> float | None:
    values = values[np.isfinite(values)]
    return round(float(np.percentile(values, at)), 1) if values.size else None


def markdown(tables: list[dict[str, Any]], real: dict[str, Any] | None) -> str:
    """The part between the marks of the page."""
    lines = [f"`{entry_of('peers')['command']}`, {datetime.now(UTC):%Y-%m-%d}", ""]
    for table in tables:
        lines += [f"### {table['title']}, {table['days']} days", ""]
        lines += [f"| | {' | '.join(CLASSES)} | failures | CPU s a day |", "|---|" + "---|" * (len(CLASSES) + 2)]
        for name, scores in table["scores"].items():
            cells = [_cell(scores[each]) for each in CLASSES]
            cpu = table["cpu_s"].get(name.split(" · ")[0])
            told = [*cells, str(scores["failures"]["num"]), "–" if cpu is None else f"{cpu:.1f}"]
            lines.append(f"| {name} | {' | '.join(told)} |")
        for who, errors in table["errors"].items():
            lines += ["", f"{who} gave an error on {len(errors)} of {table['days']} days, so no height there:", ""]
            lines += [f"* {error}" for error in sorted(errors)]
        lines.append("")
    if real:
        lines += [f"### The real day at Oslo, {real['times']} times", ""]
        lines += [
            "| | with a height | median | step, median | step, p90 | from ours, median |",
            "|---|---|---|---|---|---|",
        ]
        for name, row in real["rows"].items():
            cells = [_metres(row[key]) for key in ("median_m", "median_step_m", "p90_step_m", "median_from_ours_m")]
            lines.append(f"| {name} | {row['available']:.0%} | {' | '.join(cells)} |")
        lines += ["", *(f"* {who}: {error}" for who, error in real["errors"].items())]
    return "\n".join(lines).strip() + "\n"


def _cell(row: dict[str, float]) -> str:
    if not np.isfinite(row["rmse_m"]):
        return f"– ({row['available']:.0%})"
    return f"{row['rmse_m']:.0f} ({row['bias_m']:+.0f}, {row['available']:.0%}, {_metres(row['p90_step_m'])})"


def _metres(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.0f}"


def main() -> None:
    """Print the tables; write them into a page and the record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", help="some kinds of days only")
    parser.add_argument("--slow-days", type=int, default=1000, help="give ceilfeat the first days of a table only")
    parser.add_argument("--held-back", action="store_true", help="the kinds that are held back only")
    parser.add_argument("--folder", type=Path, help="keep files and answers here, and go on from what is there")
    parser.add_argument("--into", type=Path, metavar="FILE", help="put the tables between the marks of a document")
    parser.add_argument("--record", type=Path, help="append the results as one JSON line")
    args = parser.parse_args()
    for peer in PEERS:
        environment(peer)
    tables = []
    with tempfile.TemporaryDirectory() as temporary:
        for title, kinds in (("Kinds held back", HELD_BACK), ("Kinds for work", {} if args.held_back else KINDS)):
            names = [name for name in kinds if not args.kinds or name in args.kinds]
            if names:
                tables.append(judged(title, names, args.seeds, args.slow_days, args.folder or Path(temporary)))
    real = oslo()
    text = markdown(tables, real)
    print(text)
    if args.into:
        write_between(args.into, BEGIN, END, text)
    if args.record:
        append(args.record, entry_of("peers", results={"tables": tables, "oslo": real}))


if __name__ == "__main__":
    main()
