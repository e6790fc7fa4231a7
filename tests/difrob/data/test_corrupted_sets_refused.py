"""Corrupted test images are there to measure on: what would learn from them refuses them before it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.built_in_data import load_split as built_in_split
from support.corrupted_digits import corrupted_digits, write_corrupted
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.cli import main
from difrob.data import load_split
from difrob.data.adding import add_data_set
from difrob.errors import UserError
from difrob.jobs import import_denoiser, measure, train_classifier, train_denoiser
from difrob.runs import Workspace
from difrob.runs.datasets import BUILT_IN, DIGITS, DataSetRecord
from difrob.specs import (
    KINDS,
    DataSpec,
    ImportDenoiserSpec,
    ImportImagesSpec,
    MeasureSpec,
    TrainClassifierSpec,
    TrainDenoiserSpec,
    parse_spec,
    walk_fields,
)
from difrob.specs.takes import data_set_use

CPU = torch.device("cpu")
REFUSAL = "data set 'digits-c' holds corrupted test images alone, with nothing to train on; choose the data set that they are "
OUTLIERS = {"corruption": {"kind": "outliers", "outliers": "digits-c"}}
LEARNING: list[dict[str, Any]] = [
    {"kind": "train_classifier", "data": {"dataset": "digits-c"}},
    {"kind": "train_denoiser", "data": {"dataset": "digits-c"}},
    {"kind": "train_denoiser", **OUTLIERS},
    {"kind": "import_denoiser", "path": "model.pt", "data": {"dataset": "digits-c"}},
    {"kind": "measure", "generated": "set", "dataset": "digits-c"},
]


@pytest.fixture
def record(tmp_path: Path, workspace: Workspace) -> DataSetRecord:
    folder = write_corrupted(tmp_path / "Digits-C", corrupted_digits(6))
    return add_data_set(workspace.datasets, folder, name="digits-c")


def test_every_field_has_its_use() -> None:
    uses = {(kind, path): data_set_use(info) for kind, spec in KINDS.items() for path, info in walk_fields(spec)}
    assert uses["evaluate", "corruptions"] == "corruptions" and uses["train_classifier", "data.dataset"] == "images"
    assert uses["train_denoiser", "data.dataset"] == "images or points" and uses["train_denoiser", "steps"] is None


def test_what_a_set_is_for(record: DataSetRecord) -> None:
    for use in ("images", "images or points"):
        assert record.unfit_for(use).startswith("holds corrupted test images alone")
        assert DIGITS.unfit_for(use) == ""
    assert record.unfit_for("corruptions") == "" and "has no splits of corruptions" in DIGITS.unfit_for("corruptions")
    points = BUILT_IN["toy-ring"]
    assert points.unfit_for("images or points") == "" and points.unfit_for("images").startswith("holds points")
    both = replace(record, splits={**record.splits, "train": DIGITS.splits["train"]})
    assert both.unfit_for("images") == both.unfit_for("corruptions") == ""
    record.require_fit_for("corruptions")
    with pytest.raises(UserError, match=REFUSAL):
        record.require_fit_for("images")


def test_a_split_that_is_not_there_is_explained(record: DataSetRecord) -> None:
    recorder = MemoryRecorder(data_sets={"digits-c": record})
    data = DataSpec(dataset="digits-c")
    for split in ("train", "validation", "test"):
        with pytest.raises(UserError, match=REFUSAL):
            load_split(recorder, data, split)
    mild = load_split(recorder, data, "brightness-1")
    assert mild.labels.tolist() == built_in_split(DataSpec(), "test").labels[:6].tolist()


@pytest.mark.parametrize("values", LEARNING)
def test_a_specification_is_refused_before_it_is_queued(
    values: dict[str, Any], workspace: Workspace, record: DataSetRecord
) -> None:
    with pytest.raises(UserError, match=REFUSAL):
        workspace.require_data_of(parse_spec(values))


def test_other_uses_are_checked_too(workspace: Workspace, record: DataSetRecord) -> None:
    evaluation = {"kind": "evaluate", "classifier": "c"}
    workspace.require_data_of(parse_spec({**evaluation, "corruptions": "digits-c"}))
    with pytest.raises(UserError, match="'digits' has no splits of corruptions in 5 severities"):
        workspace.require_data_of(parse_spec({**evaluation, "corruptions": "digits"}))
    ring = {"data": {"dataset": "toy-ring"}}
    workspace.require_data_of(parse_spec({"kind": "train_denoiser", **ring}))
    with pytest.raises(
        UserError, match="'toy-ring' holds points instead of images; only a diffusion model learns from points"
    ):
        workspace.require_data_of(parse_spec({"kind": "train_classifier", **ring}))


@pytest.mark.parametrize("where", [[], ["--queue"]])
def test_the_command_line_starts_nothing(
    where: list[str], workspace: Workspace, record: DataSetRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "train_classifier", "--set", "data.dataset=digits-c", *where, "-w", str(workspace.root)]
    assert main(words) == 2
    assert REFUSAL in " ".join(capsys.readouterr().err.split())
    assert workspace.summaries() == [] and not list(workspace.runs_folder.iterdir())


@pytest.mark.parametrize("values", LEARNING)
def test_a_job_that_began_all_the_same_refuses_before_any_work(
    values: dict[str, Any], tmp_path: Path, record: DataSetRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> None:
        raise AssertionError("the model was read first")

    monkeypatch.setattr(import_denoiser, "read_model", read)
    spec = parse_spec(values)
    jobs: dict[type, Any] = {
        TrainClassifierSpec: train_classifier, TrainDenoiserSpec: train_denoiser, ImportDenoiserSpec: import_denoiser,
        MeasureSpec: measure,
    }  # fmt: skip
    runs = {"set": MemoryInputRun("set", ImportImagesSpec(paths=("x",)), arrays=images_of(7))}
    recorder = MemoryRecorder(runs=runs, data_sets={"digits-c": record})
    with pytest.raises(UserError, match=REFUSAL):
        jobs[type(spec)].run(spec, recorder, CPU)
    assert not recorder.progressed and not recorder.metrics and not recorder.checkpoints and recorder.checks == 0


def images_of(count: int) -> dict[str, Any]:
    """Columns of a set of the first test digits."""
    split = built_in_split(DataSpec(), "test")
    columns = {"images": split.images[:count], "label": split.labels[:count], "index": split.indices[:count]}
    return {f"samples/{name}": column for name, column in columns.items()}
