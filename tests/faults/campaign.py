"""The whole campaign: kills, full disks, changed and hostile inputs, hundreds and thousands of them, and a table in the end."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from faults.changed_inputs import change_inputs
from faults.full_disk import fill_disks
from faults.fuzzing import fuzz
from faults.hostile_messages import fuzz_supervisor
from faults.kills import kill_in_lanes, shuffled_faults
from faults.references import SPECS, make_references
from faults.report import Report

FUZZ_SHARES = {
    "file": 0.3,
    "journal": 0.2,
    "preset": 0.08,
    "npy": 0.05,
    "npz": 0.1,
    "safetensors": 0.05,
    "torch": 0.1,
}  # the rest are messages


def main() -> int:
    """Inject everything that was asked for, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--worker-kills", type=int, default=200)
    parser.add_argument("--supervisor-kills", type=int, default=50)
    parser.add_argument("--window-kills", type=int, default=50)
    parser.add_argument("--full-disks", type=int, default=10)
    parser.add_argument("--changed-inputs", type=int, default=66, help="jobs resumed when what they read has changed")
    parser.add_argument("--fuzz", type=int, default=10_000, help="hostile inputs of all sorts together")
    parser.add_argument("--lanes", type=int, default=max(1, min(4, os.cpu_count() or 1)), help="runs at a time")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop killing after so many")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    report = Report(talks=True)
    began = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="difrob-faults-"))
    stay_private(root / "runtime")
    kills = shuffled_faults(options.worker_kills, options.supervisor_kills, options.window_kills, options.seed)
    try:
        if kills or options.full_disks:
            report.say("running every kind once without faults")
            references = make_references(root / "references", SPECS)
            deadline = began + 60 * options.minutes
            kill_in_lanes(references, SPECS, root, kills, report, options.seed, options.lanes, deadline)
            fill_disks(references, SPECS, root, options.full_disks, report, options.seed)
        change_inputs(root, options.changed_inputs, report, options.seed)
        inputs = {sort: round(share * options.fuzz) for sort, share in FUZZ_SHARES.items()}
        fuzz(root, inputs, report, options.seed)
        if messages := options.fuzz - sum(inputs.values()):
            fuzz_supervisor(root / "messages", messages, report, options.seed)
    finally:
        print(report.table())
        print(f"{(time.monotonic() - began) / 60:.1f} minutes, seed {options.seed}")
        if report.wrong:
            print(f"what is left of it lies in '{root}'")
        else:
            shutil.rmtree(root, ignore_errors=True)
    return 1 if report.wrong else 0


def stay_private(folder: Path) -> None:
    """Sockets, settings and threads of this campaign: apart from those of whoever runs it, one thread per run."""
    folder.mkdir(mode=0o700)
    for variable in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        os.environ[variable] = str(folder)
    os.environ.update(OMP_NUM_THREADS="1", DIFROB_THREADS="1", QT_QPA_PLATFORM="offscreen")
