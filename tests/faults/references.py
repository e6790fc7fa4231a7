"""One small run of each job kind on digits, and the same runs done without any interruption, to compare with.

Every value of a run is a function of its specification and its inputs, so a run that was killed ten times and resumed
must equal the reference in every number; only times may differ.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from difrob.runs import RunState, Workspace
from difrob.specs import parse_spec

Spec = dict[str, Any]

# Each takes two to four seconds on one core and writes some ten checkpoints, where its kind writes them by steps.
SPECS: dict[str, Spec] = {
    "denoiser": {
        "kind": "train_denoiser", "steps": 400, "batch_size": 16, "sample_every": 200, "checkpoint_every": 40,
        "log_every": 4, "network": {"width": 32, "blocks": 2},
    },
    "set": {"kind": "generate", "denoiser": "denoiser", "images": 1200, "batch_size": 10, "sampling_steps": 12},
    "classifier": {
        "kind": "train_classifier", "generated": "set", "objective": "trades", "steps": 120, "batch_size": 32,
        "validate_every": 30, "validation_attack_steps": 3, "checkpoint_every": 10, "log_every": 2,
        "attack": {"steps": 3},
    },
    "evaluation": {
        "kind": "evaluate", "classifier": "classifier", "images": 500, "batch_size": 10, "attack": {"steps": 10},
        "restarts": 1, "eps_grid": [0.05, 0.1],
    },
    "certificate": {
        "kind": "certify", "classifier": "classifier", "images": 300, "n": 500, "n0": 50, "batch_size": 250,
        "denoiser": "denoiser",
    },
}  # fmt: skip
SHORT_SPECS: dict[str, Spec] = {
    "denoiser": {**SPECS["denoiser"], "steps": 100, "sample_every": 0, "checkpoint_every": 20},
    "set": {**SPECS["set"], "images": 200, "sampling_steps": 6},
    "classifier": {**SPECS["classifier"], "steps": 40, "validate_every": 20},
    "evaluation": {**SPECS["evaluation"], "images": 120, "eps_grid": []},
    "certificate": {**SPECS["certificate"], "images": 60},
}
KINDS = tuple(SPECS)
INPUTS = ("denoiser", "set", "classifier")
ENDLESS: Spec = {**SPECS["denoiser"], "steps": 10_000_000, "sample_every": 0, "cosine_decay": False}


def make_references(root: Path, specs: dict[str, Spec]) -> Workspace:
    """A workspace with the uninterrupted run of every kind, made in one fresh interpreter."""
    workspace = Workspace(root)
    environment = {**os.environ, "DIFROB_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(root)]
    subprocess.run(command, check=True, env=environment, timeout=600, input=json.dumps(specs), text=True)
    return workspace


def with_inputs(references: Workspace, root: Path) -> Workspace:
    """A workspace that holds only the runs that others read."""
    workspace = Workspace(root)
    for name in INPUTS:
        shutil.copyfile(references.run_path(name), workspace.run_path(name))
    return workspace


def main() -> None:
    """Run the specifications on standard input one after the other, in the workspace named on the command line."""
    from difrob.worker.execution import execute

    workspace = Workspace(sys.argv[1])
    for name, spec in json.load(sys.stdin).items():
        summary = execute(workspace, name, parse_spec(spec), device="cpu")
        assert summary.state is RunState.FINISHED, f"{name}: {summary.reason}"


if __name__ == "__main__":
    main()
