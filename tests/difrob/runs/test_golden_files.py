"""Files that earlier versions wrote open and read alike, and what a newer one wrote is refused by name.

The golden files were made by ``tests/golden/make_golden.py`` with the difrob of their time.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.recorded_runs import recording

from difrob.errors import UserError
from difrob.runs import Measure, RunReader, RunState, Workspace
from difrob.runs.damage.file_parts import damage
from difrob.runs.journal import MAGIC, encode_frame, scan_journal
from difrob.runs.recovery import recover
from difrob.runs.schema import SCHEMA_VERSION

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
VERSIONS = [1, 2, 3]
BEGAN = 1_700_000_000.0


def golden(workspace: Workspace, version: int, suffix: str) -> RunReader:
    target = workspace.run_path("run").with_suffix(suffix)
    shutil.copyfile(GOLDEN / f"run-v{version}{suffix}", target)
    return workspace.reader("run")


def check_contents(reader: RunReader, version: int) -> None:
    """Everything that a job reported, value by value."""
    metrics = reader.metrics()
    assert set(metrics) == {"loss", "validation/robust_accuracy"}
    loss, robust = metrics["loss"], metrics["validation/robust_accuracy"]
    assert loss.step.tolist() == [1, 1, 2, 2] and loss.value[[0, 2]].tolist() == [1.5, 3.0]
    assert np.isnan(loss.value[[1, 3]]).all() and not loss.has_interval and loss.interval == ""
    assert robust.step.tolist() == [1, 2] and robust.value.tolist() == [0.5, 0.5]
    assert robust.low.tolist() == [0.4, 0.4] and robust.high.tolist() == [0.6, 0.6]
    assert robust.interval == ("" if version == 1 else "Wilson 95 %")
    for series in metrics.values():
        assert (np.diff(series.time) > 0).all() and (series.time - BEGAN == np.round(series.time - BEGAN)).all()
    (curve,) = reader.curves().values()
    assert (curve.name, curve.step, curve.x.tolist()) == ("certified accuracy", 2, [0, 1, 2])
    assert curve.y.tolist() == [0.5, 0.25, 0.125]
    assert curve.low is not None and curve.low.tolist() == [0, 0, 0]
    assert curve.high is not None and curve.high.tolist() == [1, 1, 1]
    assert (curve.x_label, curve.y_label, curve.interval) == ("l2 radius", "certified accuracy", "Clopper-Pearson 95 %")
    batches = reader.pictures()
    assert [(batch.name, batch.step, batch.captions) for batch in batches] == [
        ("drawn/them", 1, ["eins", "zwei"]), ("drawn/them", 2, ["eins", "zwei"]),
    ]  # fmt: skip
    assert all(batch.images.shape == (2, 3, 3, 1) and (batch.images == batch.step).all() for batch in batches)
    assert reader.array("samples/index").tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
    radius = reader.array("samples/radius")
    assert radius.dtype == np.float32 and (radius == 0.25).all() and reader.sample_count() == 8
    assert [(line.level, line.text) for line in reader.log()[:2]] == [
        ("warning", "at step 1, ünï 漢"), ("warning", "at step 2, ünï 漢"),
    ]  # fmt: skip
    assert reader.attributes() == {"parameters": {"count": 2, "list": [1, None, "x"]}}
    summary = reader.summary()
    result = Measure(0.5, 0.4, 0.6, 100, "Wilson 95 %", "share", "PGD-10")
    if version >= 3:
        result = replace(result, conditions={"norm": "linf", "eps": 0.15}, title="robust accuracy", better="up")
    assert summary.results == {"robust_accuracy": result}
    said = ("robust accuracy (validation)", "share", "up") if version >= 3 else ("", "", "")
    assert (robust.title, robust.unit, robust.better) == said
    # Nobody has declared a curve of that name: it is called by it, and no more is known.
    assert (curve.title, curve.unit, curve.better) == (
        ("certified accuracy", "", "neither") if version >= 3 else ("", "", "")
    )
    assert (summary.kind, summary.name, summary.created) == ("train_denoiser", "golden", BEGAN)
    assert (summary.host, summary.device, summary.spec["kind"]) == ("golden", "cpu", "train_denoiser")
    assert (summary.progress.done, summary.progress.total, summary.progress.unit) == (2, 10, "steps")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_file_of_an_ended_run_reads_alike(workspace: Workspace, version: int) -> None:
    reader = golden(workspace, version, ".h5")
    check_contents(reader, version)
    summary = reader.summary()
    assert (summary.state, summary.reason) == (RunState.INTERRUPTED, "stopped on request")
    assert summary.has_checkpoint and not summary.damaged and damage(reader.h5_path) == ""
    last, best = reader.checkpoint(), reader.checkpoint("best")
    assert (last.step, last.weights, last.state) == (2, bytes(range(256))[::-1], {"step": 2, "nested": {"lr": 0.5}})
    assert (best.step, best.weights, best.state) == (1, bytes(range(256)), {"step": 1})
    with h5py.File(reader.h5_path) as file:
        assert int(file.attrs["schema_version"]) == version
        assert json.loads(file.attrs["facts"])["host"] == "golden"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_journal_of_a_live_run_reads_alike_and_folds_into_the_present_version(
    workspace: Workspace, version: int
) -> None:
    reader = golden(workspace, version, ".journal")
    check_contents(reader, version)
    assert (
        reader.summary().state is RunState.INTERRUPTED and workspace.feed("run").poll().metrics["loss"].step.size == 4
    )
    assert recover(reader) is not None
    check_contents(reader, version)
    with h5py.File(reader.h5_path) as file:
        assert int(file.attrs["schema_version"]) == SCHEMA_VERSION


@pytest.mark.parametrize("version", VERSIONS)
def test_resuming_an_old_run_writes_the_present_version_and_keeps_everything(
    workspace: Workspace, version: int
) -> None:
    reader = golden(workspace, version, ".h5")
    with recording(workspace, resume=True) as recorder:
        header = scan_journal(reader.journal_path).header
        assert header is not None and header["schema_version"] == SCHEMA_VERSION
        assert recorder.resumed_from is not None and recorder.resumed_from.step == 2
        recorder.metric("validation/robust_accuracy", 3, 0.75, 0.7, 0.8, interval="Wilson 95 %")
        recorder.finish(RunState.FINISHED)
    robust = reader.metrics()["validation/robust_accuracy"]
    assert robust.step.tolist() == [1, 2, 3] and robust.interval == "Wilson 95 %"
    assert reader.checkpoint("best").step == 1 and reader.sample_count() == 8
    with h5py.File(reader.h5_path) as file:
        assert int(file.attrs["schema_version"]) == SCHEMA_VERSION


NEWER = rf"schema version {SCHEMA_VERSION + 1}; this difrob reads up to {SCHEMA_VERSION}: install a newer difrob"


def test_a_newer_file_is_refused_and_both_versions_are_named(workspace: Workspace) -> None:
    reader = golden(workspace, SCHEMA_VERSION, ".h5")
    with h5py.File(reader.h5_path, "r+") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION + 1
    with pytest.raises(UserError, match=NEWER):
        reader.metrics()
    assert "install a newer difrob" in reader.summary().reason


def test_a_newer_journal_is_refused_the_same_way_and_left_alone(workspace: Workspace) -> None:
    reader = golden(workspace, SCHEMA_VERSION, ".journal")
    frames = scan_journal(reader.journal_path).frames
    frames[0].records[0]["schema_version"] = SCHEMA_VERSION + 1
    data = MAGIC + b"".join(encode_frame(frame.sequence, frame.records) for frame in frames)
    reader.journal_path.write_bytes(data)
    with pytest.raises(UserError, match=NEWER):
        reader.metrics()
    with pytest.raises(UserError, match=NEWER):
        workspace.feed("run").poll()
    assert recover(reader) is None and reader.journal_path.read_bytes() == data and not reader.h5_path.exists()
    with pytest.raises(UserError, match=NEWER):
        recording(workspace).__enter__()
    assert reader.journal_path.read_bytes() == data


def test_the_name_of_an_interval_is_journalled_once_and_kept(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        feed = workspace.feed("run")
        feed.poll()
        for step in range(3):
            recorder.metric("accuracy", step, 0.5, 0.4, 0.6, interval="Wilson 95 %")
            recorder.metric("loss", step, math.nan)
            recorder.flush()
            news = feed.poll().metrics
            assert (news["accuracy"].interval, news["loss"].interval) == ("Wilson 95 %", "")
        records = [record for frame in scan_journal(workspace.journal_path("run")).frames for record in frame.records]
        assert [record["intervals"] for record in records if "intervals" in record] == [{"accuracy": "Wilson 95 %"}]
        recorder.checkpoint(3, b"x", {})
        recorder.metric("accuracy", 4, 0.5)
        recorder.flush()
        assert workspace.reader("run").metrics("accuracy")["accuracy"].interval == "Wilson 95 %"
        recorder.finish(RunState.FINISHED)
    assert workspace.reader("run").metrics()["accuracy"].interval == "Wilson 95 %"
    with h5py.File(workspace.run_path("run")) as file:
        assert file["metrics/accuracy"].attrs["interval"] == "Wilson 95 %"
        assert file["metrics/loss"].attrs["interval"] == ""
