"""What this project does on a GPU, measured on a bare machine in eight minutes: numpy, torch and scipy, no network.

python3 scripts/gpu_check.py [--out gpu-check.json] [--device cuda|cpu] [--minutes 2.5] [--memory-gb 11] [--tiny]

Makes phantoms and a set of cubes, measures what an update costs in every choice of precision, layout, batch, graph and
compiler, trains with the fastest, generates 512 × 512 × 600 voxels, judges the model on phantoms it has not seen. Each
part runs in a process of its own with a deadline, so that none can take the others with it; the JSON is written anew
after each. `--tiny` is the rehearsal on a CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import checkout  # noqa: F401  first: it makes the package importable

from ipdsf_spark.monitoring.provenance import machine, said

PARTS: Final = Path(__file__).with_name("gpu_check_parts.py")
TOTAL_S: Final = 470.0
LAST_PARTS_S: Final = 100.0  # kept for generating and judging
MEASURED: Final = "MEASURED "
# Seconds a part may take at most.
LIMITS_S: Final = {
    "machine": 40,
    "data": 75,
    "cpu": 40,
    "choices": 100,
    "captured": 45,
    "compiled": 75,
    "generate": 60,
    "evaluate": 45,
    "as_cpu": 95,
}
TARGETS: Final[dict[str, tuple[str, str, Callable[[float], bool]]]] = {
    "512 x 512 x 600 in less than 20 s": ("generate", "seconds", lambda v: v < 20),
    "512 x 512 x 600 in less than 11 GB of the device": ("generate", "device_peak_gb", lambda v: v < 11),
    "at least the quality of ten minutes of two CPU cores": ("quality", "gain_db", lambda v: v >= 0),
    "training at 50 times the rate of two CPU cores": ("train", "times_two_cores", lambda v: v >= 50),
}


class Check:
    """The parts one after the other, and what they found."""

    def __init__(self, args: argparse.Namespace, scratch: Path) -> None:
        self.args, self.scratch = args, scratch
        self.started = time.monotonic()
        self.found: dict[str, Any] = {
            "check": "gpu",
            "command": said(["python3", *sys.argv]),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "device": args.device,
            "memory_limit_gb": args.memory_gb or None,
            "is_tiny": args.tiny,
        }

    @property
    def left_s(self) -> float:
        """Until the end of the whole check."""
        return float(self.args.total - (time.monotonic() - self.started))

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", flush=True)

    def part(self, name: str, *words: str, limit_s: float = 0.0, kept_s: float = 0.0) -> None:
        """Run a part and keep what it measured, also of one that failed or ran out of time."""
        limit = min(limit_s or LIMITS_S[name], self.left_s - kept_s)
        if limit < 2:
            self.keep(name, {"error": "no time was left"})
            return
        size = ["--tiny"] if self.args.tiny else []
        asked = [
            name,
            str(self.scratch),
            "--device",
            self.args.device,
            *size,
            "--seconds",
            f"{limit - 1.5:.1f}",
            "--memory-gb",
            str(self.args.memory_gb),
            *words,
        ]
        begin = time.monotonic()
        answer = self.made_here(asked) if self.args.together else self.measured(asked, limit)
        answer["wall_s"] = round(time.monotonic() - begin, 1)
        self.keep(name, answer)

    def compare(self) -> None:
        """The model against what two cores would have reached in ten minutes."""
        values = [self.found.get(part, {}).get("psnr_db") for part in ("evaluate", "as_cpu")]
        if None not in values:
            self.keep("quality", {"gain_db": round(values[0] - values[1], 2)})

    def made_here(self, asked: list[str]) -> dict[str, Any]:
        """A part in this process, which has loaded everything already; without a deadline."""
        import gpu_check_parts

        answer: dict[str, Any] = {}
        gpu_check_parts.main(asked, answer.update)
        return answer

    def measured(self, asked: list[str], limit_s: float) -> dict[str, Any]:
        """Everything a process of its own said it had measured until it ended or its time did."""
        errors = self.scratch / "stderr.txt"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, str(PARTS), *asked],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
            killer = threading.Timer(limit_s, self.end, [process])
            killer.start()
            answer: dict[str, Any] = {}
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(MEASURED):
                    answer |= json.loads(line[len(MEASURED) :])
                elif line.strip():
                    self.say(f"  {line.rstrip()}")
            code = process.wait()
            killer.cancel()
        if code == -signal.SIGKILL and answer:
            answer["cut"] = f"{limit_s:.0f} s were over; what was measured until then stands"
        elif code:
            answer["error"] = f"ended with {code}: {errors.read_text(errors='replace').strip()[-1500:]}"
        return answer

    def end(self, process: subprocess.Popen[str]) -> None:
        """A part whose time is up, with all it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def keep(self, name: str, answer: dict[str, Any]) -> None:
        """Write what is known by now."""
        self.found[name] = answer
        self.found["seconds"] = round(time.monotonic() - self.started, 1)
        self.found["targets"] = (
            {}
            if self.args.tiny
            else {
                said: {"found": value, "is_reached": bool(is_reached(value))}
                for said, (part, key, is_reached) in TARGETS.items()
                if (value := self.found.get(part, {}).get(key)) is not None
            }
        )
        out = Path(self.args.out)
        partial = out.with_name(f".{out.name}.part")
        partial.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
        partial.replace(out)
        self.say(f"{name}: " + (answer.get("error", "")[-300:] or summary(answer)))


def summary(answer: dict[str, Any]) -> str:
    """The plain values of an answer on one line."""
    return ", ".join(f"{k} {v}" for k, v in answer.items() if isinstance(v, (int, float, str)) and len(str(v)) < 60)


def fastest(found: dict[str, Any], batches: tuple[int, ...]) -> dict[str, Any]:
    """The choice to train with: of the batches that learn well, the one that saw most cubes a second.

    Graphs and the compiler are taken only where they gain a tenth; contiguous float32 is what always works.
    """
    rows: list[dict[str, Any]] = [
        row
        for part in ("choices", "captured", "compiled")
        for row in found.get(part, {}).get("rows", {}).values()
        if "cubes_per_s" in row and row["batch"] in batches
    ]
    plain = max((r for r in rows if not r["captures"] and not r["compiles"]), key=_rate, default=None)
    best = max(rows, key=_rate, default=None)
    if best is None:
        return {"batch": batches[0], "precision": "fp32", "layout": "plain", "captures": 0, "compiles": 0}
    return best if plain is None or _rate(best) > 1.1 * _rate(plain) else plain


def _rate(row: dict[str, Any]) -> float:
    return float(row["cubes_per_s"])


def main() -> int:
    """Run the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="gpu-check.json")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=2.5, help="of training")
    parser.add_argument("--total", type=float, default=TOTAL_S, metavar="S", help="after which everything has ended")
    parser.add_argument(
        "--memory-gb", type=float, default=0.0, metavar="GB", help="use no more of the GPU than a card of this size has"
    )
    parser.add_argument("--together", action="store_true", help="all parts in this process, without deadlines")
    parser.add_argument("--skip", nargs="*", default=[], help="parts to leave out")
    parser.add_argument("--tiny", action="store_true", help="small phantoms and networks: a rehearsal")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        check = Check(args, Path(scratch))
        for name in ("machine", "data", "cpu", "choices", "captured", "compiled"):
            if name not in args.skip:
                check.part(name, kept_s=LAST_PARTS_S + 60 * args.minutes if name in ("captured", "compiled") else 0.0)
        choice = fastest(check.found, (4,) if args.tiny else (32, 64))
        check.say(f"training with {choice}")
        rates = check.found.get("cpu", {})
        seconds = max(5.0, min(60 * args.minutes, check.left_s - LAST_PARTS_S - 25))
        words = ["--choice", json.dumps(choice), "--minutes", f"{seconds / 60:.3f}"]
        check.part("train", *words, "--cpu", json.dumps(rates), limit_s=seconds + 40, kept_s=LAST_PARTS_S / 2)
        check.part("generate")
        check.part("evaluate")
        if "cpu" not in args.skip:
            check.part("as_cpu", "--cpu", json.dumps(rates))
            check.compare()
    failed = [name for name, value in check.found.items() if isinstance(value, dict) and "error" in value]
    check.say(f"targets: {json.dumps(check.found.get('targets', {}))}")
    check.say(f"all is in {args.out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
