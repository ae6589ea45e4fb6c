"""Time and memory of a full-size volume, 512 × 512 × 600, from a trained model.

python tests/bench/bench_generate.py [--model FOLDER] [--slices 600] [--record FILE]

Without --model a generator of the configured shape with fresh weights is used: neither time nor memory depend on them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from recording import append, entry_of

from ipdsf_spark.config import load
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.volume import Grid
from ipdsf_spark.ct.writing import write_nifti
from ipdsf_spark.gan.checkpoint import save_model
from ipdsf_spark.gan.networks import Networks
from ipdsf_spark.training.configured import settings_of

PERIOD = 100  # slices of the phantom, repeated


def fresh_model(folder: Path, histogram: HuHistogram) -> Path:
    settings, enhancement = settings_of(load()), Enhancement.fit({"phantom": histogram})
    nets = Networks.new(settings.generator, settings.discriminator, settings.optimiser)
    facts = {"task": "denoise", "cube_size": 32, "overlap": 8, "enhancement": enhancement.to_json()}
    folder.mkdir()
    save_model(folder, nets, {**facts, "enhancement_sha256": enhancement.sha256})
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        chest = chest_phantom((PERIOD, 512, 512), seed=3, spacing_mm=(3.0, 0.7, 0.7)).volume
        grid = Grid((args.slices, 512, 512), (1.0, 0.7, 0.7))
        slabs = (chest.hu[: min(PERIOD, args.slices - k)] for k in range(0, args.slices, PERIOD))
        source = Path(scratch, "chest.nii.gz")
        write_nifti(source, grid, slabs, Provenance("phantom", datetime.now(UTC)))
        model = args.model or fresh_model(Path(scratch, "model"), HuHistogram.of(chest.hu))
        del chest
        command = [sys.executable, "-W", "ignore", "-m", "ipdsf_spark.cli.main", "ct", "generate", str(source)]
        command += ["--model", str(model), "-o", str(Path(scratch, "out.nii.gz")), "--json"]
        facts = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    del facts["out"]
    entry = entry_of("generate", **facts)
    print(json.dumps(entry, indent=1))
    if args.record:
        append(args.record, entry)


if __name__ == "__main__":
    main()
