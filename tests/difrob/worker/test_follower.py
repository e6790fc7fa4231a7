"""What a follower does is open to whoever starts processes: torchrun starts two here, and they do what difrob's own do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from difrob.runs import RunState, Workspace
from difrob.specs import TrainClassifierSpec
from difrob.worker.execution import execute

SCRIPT = Path(__file__).parents[2] / "support" / "rank_of_torchrun.py"


def small_spec() -> TrainClassifierSpec:
    return TrainClassifierSpec.model_validate({
        "data": {"train_size": 60}, "network": {"channels": (4, 8), "features": 16}, "attack": {"steps": 2}, "steps": 4,
        "batch_size": 21, "validate_every": 2, "validation_attack_steps": 3, "log_every": 1, "checkpoint_every": 2,
        "compute": {"devices": 2},
    })  # fmt: skip


@pytest.mark.slow
def test_processes_of_torchrun_train_what_those_of_difrob_train(tmp_path: Path) -> None:
    """Bit for bit: they differ in how they met, and in nothing else."""
    workspace = Workspace(tmp_path)
    spec = small_spec()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(SCRIPT), str(workspace.root), "theirs", spec.model_dump_json()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert run.returncode == 0, run.stderr
    own = execute(workspace, "own", spec, device="cpu")
    assert own.state is RunState.FINISHED, own.reason
    first, second = (workspace.reader(run_id) for run_id in ("own", "theirs"))
    assert first.attributes()["devices"] == second.attributes()["devices"] == 2
    assert first.checkpoint("last").step == second.checkpoint("last").step == 4
    assert first.checkpoint("last").weights == second.checkpoint("last").weights
    losses = [[float(value) for value in reader.metrics("loss")["loss"].value] for reader in (first, second)]
    assert len(losses[0]) == 4 and losses[0] == losses[1]
