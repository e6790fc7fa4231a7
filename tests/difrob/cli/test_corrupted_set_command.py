"""A folder like CIFAR-10-C from the disk to the numbers of a run, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.corrupted_digits import corrupted_digits, write_corrupted

from difrob.cli import main
from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.specs import EvaluateSpec
from difrob.worker.messages import Entry
from difrob.worker.queue_store import QueueStore

ARRAYS = corrupted_digits(20)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write_corrupted(tmp_path / "Digits-C", ARRAYS)


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def run(capsys: pytest.CaptureFixture[str], kind: str, fields: dict[str, Any], place: list[str]) -> dict[str, Any]:
    settings = [word for name, value in fields.items() for word in ("-s", f"{name}={json.dumps(value)}")]
    record: dict[str, Any] = json.loads(told(capsys, "run", kind, *settings, "--device", "cpu", "--json", *place))
    assert record["state"] == "finished", record["reason"]
    return record


def test_adding_says_what_the_set_is_for(
    original: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    added = told(capsys, "data", "add", str(original), "--name", "digits-c", "-w", str(workspace.root))
    assert "evaluate ... --set corruptions=digits-c" in added and "15 splits, 300 in all" in added
    assert "3 corruptions in 5 severities" in added


def test_a_run_measures_on_the_corruptions(
    original: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["-w", str(workspace.root)]
    told(capsys, "data", "add", str(original), "--name", "digits-c", *place)
    training = {
        "objective": "standard", "steps": 20, "batch_size": 32, "network.channels": [4, 8], "network.features": 16,
        "validate_every": 20, "validation_attack_steps": 1, "data.train_size": 100,
    }  # fmt: skip
    classifier = run(capsys, "train_classifier", training, place)["run_id"]
    fields = {
        "classifier": classifier, "images": 10, "attack.steps": 1, "restarts": 1, "sanity_checks": False,
        "corruptions": "digits-c",
    }  # fmt: skip
    reader = workspace.reader(run(capsys, "evaluate", fields, place)["run_id"])
    assert set(reader.attributes()["data_sets"]) == {"digits", "digits-c"}
    results, curves = reader.summary().results, reader.curves()
    mean = results["mean_corruption_accuracy"]
    parts = [results[f"corruption/{name}_accuracy"].value for name in ("brightness", "gaussian_noise")]
    assert mean.n == 20 and mean.value == pytest.approx(np.mean(parts)) and mean.low <= mean.value <= mean.high
    for name, part in zip(("brightness", "gaussian_noise"), parts, strict=True):
        curve = curves[f"corruption/{name}_accuracy_over_severity"]
        assert curve.x.tolist() == [1, 2, 3, 4, 5] and curve.y.mean() == pytest.approx(part)
    assert "corruption/speckle_noise_accuracy" not in results


def test_a_set_that_is_named_must_exist_and_stays_while_it_is_needed(
    original: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["-w", str(workspace.root)]
    spec = EvaluateSpec(classifier="c", corruptions="digits-c")
    with pytest.raises(UserError, match="there is no data set 'digits-c'"):
        workspace.require_data_of(spec)
    told(capsys, "data", "add", str(original), "--name", "digits-c", *place)
    workspace.require_data_of(spec)
    store = QueueStore(workspace.database)
    store.commit(save=[Entry(run_id="waits", spec=spec.model_dump(mode="json"))])
    store.close()
    assert "needed by 1 live or waiting run(s)" in told(capsys, "data", "rm", "digits-c", *place, code=2)
