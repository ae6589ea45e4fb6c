"""Run a notebook in Databricks source format on this machine.

    python scripts/run_notebook.py notebooks/NAME.py [--out DIR] [--set WIDGET=VALUE ...]

Databricks gives a notebook `display`, `displayHTML`, `dbutils` and `spark`. Here the first two write pictures, tables
and pages below --out, which is out/notebooks/NAME if not given, and say what they wrote. `dbutils` has widgets, which
--set fills in, and secrets, which come from the environment: scope and key joined, IPDSF_PSEUDONYM_KEY for the key
"pseudonym-key" of the scope "ipdsf"; `dbutils.library` restarts nothing. `spark` is a local session, started only for a
notebook that speaks of it.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent


class Display:
    """`display(anything)`: figures become PNG, tables HTML, everything else is printed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.shown: list[Path] = []

    def __call__(self, *things: Any) -> None:
        """Show each thing in turn."""
        for thing in things:
            self._show(thing)

    def _show(self, thing: Any) -> None:
        figure = getattr(thing, "figure", thing)  # axes and other artists know theirs
        table = thing.toPandas() if hasattr(thing, "toPandas") else thing
        if hasattr(figure, "savefig"):
            figure.savefig(self._next(".png"), dpi=110, bbox_inches="tight")
        elif hasattr(table, "to_html"):
            self._next(".html").write_text(table.to_html(), encoding="utf-8")
        else:
            print(thing)

    def html(self, page: str) -> None:
        """`displayHTML(page)`."""
        self._next(".html").write_text(page, encoding="utf-8")

    def _next(self, suffix: str) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"{len(self.shown) + 1:02d}{suffix}"
        self.shown.append(path)
        print(f"shown in {path}")
        return path


class Widgets:
    """`dbutils.widgets`: a notebook declares its parameters and asks for their values."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = dict(given)
        self.values: dict[str, str] = {}

    def text(self, name: str, default: str, label: str | None = None) -> None:
        """Declare a parameter."""
        self.values[name] = self.given.pop(name, default)

    def get(self, name: str) -> str:
        """The value of a declared parameter."""
        return self.values[name]


class Secrets:
    """`dbutils.secrets`: values that stand in no notebook."""

    def get(self, scope: str, key: str) -> str:
        """The secret; the name of the environment variable that would hold it where it is not set."""
        name = f"{scope}_{key}".upper().replace("-", "_")
        if name not in os.environ:
            raise KeyError(f"no secret {key!r} of scope {scope!r}: set {name}")
        return os.environ[name]


class Library:
    """`dbutils.library`: nothing was installed here, so nothing has to be begun anew."""

    def restartPython(self) -> None:
        """Go on."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one notebook; 0 when every cell did, 2 when a widget was set that it has not, else its own traceback."""
    parser = argparse.ArgumentParser(description="Run a notebook in Databricks source format on this machine.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--out", type=Path, help="folder for what it shows; out/notebooks/NAME if not given")
    parser.add_argument("--set", action="append", default=[], metavar="WIDGET=VALUE", help="a widget's value")
    args = parser.parse_args(argv)
    widgets = Widgets(dict(word.split("=", 1) if "=" in word else (word, "") for word in args.set))
    source = args.notebook.read_text(encoding="utf-8")
    display = Display(args.out or REPOSITORY / "out" / "notebooks" / args.notebook.stem)
    names: dict[str, Any] = {
        "__name__": "__main__",
        "__file__": str(args.notebook),
        "dbutils": SimpleNamespace(widgets=widgets, secrets=Secrets(), library=Library()),
        "display": display,
        "displayHTML": display.html,
    }
    if any(isinstance(node, ast.Name) and node.id == "spark" for node in ast.walk(ast.parse(source))):
        names["spark"] = local_spark()
    exec(compile(source, str(args.notebook), "exec"), names)
    if widgets.given:
        print(f"{args.notebook} has no widget {', '.join(sorted(widgets.given))}", file=sys.stderr)
    return 2 if widgets.given else 0


def local_spark() -> Any:
    """A session on two cores, as small as a notebook needs."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers have what the notebook has
    session = SparkSession.builder.master("local[2]").appName("notebook")
    return session.config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC").getOrCreate()


if __name__ == "__main__":
    sys.exit(main())
