"""``difrob data`` as a person types it, and a run on a registered data set from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.data_files import some_images, write_idx

from difrob.cli import main
from difrob.runs import Workspace
from difrob.specs import TrainDenoiserSpec
from difrob.worker.messages import Entry
from difrob.worker.queue_store import QueueStore

TRAIN, TEST = some_images(200, (8, 8, 1)), some_images(40, (8, 8, 1), seed=1)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write_idx(tmp_path / "original", TRAIN, TEST)


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def test_an_empty_class_is_warned_of(tmp_path: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "gap.npz", image=TRAIN[0][:40], label=np.array([0, 1, 3, 4] * 10))
    added = told(capsys, "data", "add", str(tmp_path / "gap.npz"), "-w", str(workspace.root))
    assert "\n  warning: no training images of: 2; no model" in added
    assert (
        "remove the set with 'difrob data rm gap' and add it again with --classes 0,1,3,4, which leaves them out"
        in added
    )


def test_from_adding_to_removing(original: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-w", str(workspace.root)]
    added = told(capsys, "data", "add", str(original), "--name", "mine", "--validation", "15", *place)
    assert "train 185, validation 15, test 40" in added and "data.dataset=mine" in added
    assert "mirror images do not show the same" in added

    listed: dict[str, Any] = json.loads(told(capsys, "data", "list", *place, "--json"))
    assert [record["name"] for record in listed["data_sets"]][-1:] == ["mine"] and listed["damaged"] == {}
    assert listed["data_sets"][-1]["images"] == {"train": 185, "validation": 15, "test": 40}
    table = told(capsys, "data", *place)
    assert all(name in table for name in ("digits", "toy-ring", "mine"))
    shown = told(capsys, "data", "show", "mine", *place)
    assert "class" in shown and "8x8 grey, 10 classes" in shown
    assert "whole mine" in told(capsys, "data", "check", "mine", *place)
    assert "whole digits" in told(capsys, "data", "check", "digits", *place)
    assert "moved mine to" in told(capsys, "data", "rm", "mine", *place)
    assert "there is no data set 'mine'" in told(capsys, "data", "show", "mine", *place, code=2)


def test_options_reach_the_set(original: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--classes", "3, 8", "--flips", "--format", "idx", "--json", "-w", str(workspace.root)]
    record = json.loads(told(capsys, "data", "add", str(original), *options))
    assert record["class_names"] == ["3", "8"] and record["flips"] and record["name"] == "original"
    assert record == json.loads(told(capsys, "data", "show", "original", "--json", "-w", str(workspace.root)))


def test_damage_is_told(original: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-w", str(workspace.root)]
    told(capsys, "data", "add", str(original), "--name", "mine", *place)
    folder = workspace.datasets.folder / "mine"
    np.save(folder / "test-images.npy", 255 - TEST[0])
    assert "test-images.npy is not as it was written" in told(capsys, "data", "check", "mine", *place, code=2)
    (folder / "dataset.json").write_text("{")
    assert "is damaged" in told(capsys, "data", *place)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "/no/such/place"], "there is no file or folder '/no/such/place'"),
        (["add", "{original}", "--name", "digits"], "'digits' is built in"),
        (["add", "{original}", "--format", "zip"], "unknown format 'zip'"),
        (["add", "{original}", "--classes", "cat,dog"], "there is no class 'cat'"),
        (["rm", "digits"], "is built in"),
        (["rm", "gone"], "there is no data set 'gone'"),
    ],
)
def test_bad_input_is_one_sentence(
    original: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    filled = [argument.format(original=original) for argument in arguments]
    error = told(capsys, "data", *filled, "-w", str(workspace.root), code=2)
    assert error.startswith("difrob: ") and words in error and "Traceback" not in error


def test_a_set_that_waiting_runs_need_stays(
    original: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["-w", str(workspace.root)]
    told(capsys, "data", "add", str(original), "--name", "mine", *place)
    spec = TrainDenoiserSpec.model_validate({"data": {"dataset": "mine"}}).model_dump(mode="json")
    store = QueueStore(workspace.database)
    store.commit(save=[Entry(run_id="waits", spec=spec)])
    store.close()
    assert "needed by 1 live or waiting run(s), e.g. 'train_denoiser'" in told(
        capsys, "data", "rm", "mine", *place, code=2
    )


def test_a_run_learns_from_a_registered_set(
    original: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["-w", str(workspace.root)]
    digest = json.loads(told(capsys, "data", "add", str(original), "--name", "mine", "--json", *place))["digest"]
    fields = {
        "data.dataset": "mine", "steps": 6, "batch_size": 8, "sample_every": 0, "network.width": 32, "network.blocks": 1,
    }  # fmt: skip
    settings = [word for name, value in fields.items() for word in ("-s", f"{name}={value}")]
    record = json.loads(told(capsys, "run", "train_denoiser", *settings, "--device", "cpu", "--json", *place))
    assert record["state"] == "finished", record["reason"]
    noted = workspace.reader(record["run_id"]).attributes()["data_sets"]
    assert noted["mine"]["digest"] == digest


@pytest.mark.parametrize("command", [[], ["add"], ["list"], ["show"], ["check"], ["rm"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--workspace" in told(capsys, "data", *command, "--help")
