from __future__ import annotations

import pkgutil
import subprocess
import sys

import ipdsf_spark.ct


def test_the_ct_room_loads_no_engine() -> None:
    modules = [f"ipdsf_spark.ct.{module.name}" for module in pkgutil.iter_modules(ipdsf_spark.ct.__path__)]
    engines = ("pyspark", "torch", "petastorm", "horovod", "pandas", "pyarrow")
    script = f"import sys, {', '.join(modules)}\nprint(*(name for name in {engines!r} if name in sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert len(modules) > 15
    assert loaded == []
