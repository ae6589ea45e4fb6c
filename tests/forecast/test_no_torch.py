"""Workers of the stream need no torch."""

from __future__ import annotations

import subprocess
import sys


def test_the_operator_and_what_it_was_trained_from_load_no_torch() -> None:
    names = "filling folder foretold judging memory model network_years observation operator rows simulated"
    names += " stored_series table"
    modules = ", ".join(f"ipdsf_spark.forecast.{name}" for name in names.split())
    script = f"import sys, {modules}\nprint([name for name in ('torch', 'pandas', 'pyspark') if name in sys.modules])"

    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"
