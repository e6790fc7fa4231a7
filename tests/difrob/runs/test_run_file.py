"""What lies in the HDF5 file of a run, and what is refused in one that comes from elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.recorded_runs import WEIGHTS, content_of, pictures, record_everything, recording

from difrob.errors import UserError
from difrob.runs import Measure, RunReader, RunState, Workspace
from difrob.runs.damage import guard
from difrob.runs.damage.file_parts import damage
from difrob.runs.damage.mended_file import full_size
from difrob.runs.file_contents import SCHEMA_VERSION
from difrob.runs.recorder import RunRecorder
from difrob.runs.schema import Damaged


@pytest.fixture
def finished(workspace: Workspace) -> Path:
    """The file of a run that recorded something of everything, in several folds."""
    workspace_run(workspace)
    return workspace.run_path("run")


@pytest.fixture
def one_helper() -> Iterator[None]:
    """For tests that change many files: one process looks into all of them, see :mod:`difrob.runs.damage.guard`."""
    with guard.one_helper():
        yield


def workspace_run(workspace: Workspace) -> None:
    with recording(workspace, device="cpu (1 threads)", created=1_600_000_000.0) as recorder:
        record_everything(recorder, 1)
        recorder.checkpoint(1, WEIGHTS, {"step": 1, "loss": float("nan")})
        record_everything(recorder, 2)
        recorder.checkpoint(2, WEIGHTS + b"2", {"step": 2}, best=True)
        recorder.checkpoint(3, WEIGHTS + b"3", {"step": 3})
        recorder.checkpoint(4, WEIGHTS + b"4", {"step": 4})
        recorder.checkpoint(5, WEIGHTS + b"5", {"step": 5})
        recorder.finish(RunState.FINISHED)


def test_the_file_of_a_finished_run_holds_everything_in_its_place(workspace: Workspace, finished: Path) -> None:
    assert [path.name for path in workspace.runs_folder.iterdir()] == ["run.h5"]
    with h5py.File(finished) as file:
        assert set(file) == {
            "spec", "attributes", "metrics", "curves", "images", "samples", "log", "checkpoints", "summary",
        }  # fmt: skip
        assert json.loads(file["spec"].asstr()[()])["kind"] == "train_denoiser"
        assert json.loads(file["attributes"].asstr()[()]) == {"parameters": {"count": 2, "list": [1, None, "x"]}}
        loss = file["metrics/loss"]
        assert loss["step"][...].tolist() == [1, 2] and loss["step"].dtype == np.int64
        assert loss["value"][...].tolist() == [1.5, 3.0] and "low" not in loss
        assert (np.diff(loss["time"][...]) >= 0).all() and loss["time"][0] > 1_700_000_000
        assert {name: loss.attrs[name] for name in ("name", "NX_class", "signal")} == {
            "name": "loss", "NX_class": "NXdata", "signal": "value",
        }  # fmt: skip
        assert list(loss.attrs["axes"]) == ["step"]
        robust = {group.attrs["name"]: group for group in file["metrics"].values()}
        assert robust["validation/robust_accuracy"]["low"][...].tolist() == [0.4, 0.4]
        assert robust["validation/robust_accuracy"]["high"][...].tolist() == [0.6, 0.6]
        assert robust["validation.robust_accuracy"]["value"][...].tolist() == [0.25, 0.25]
        curve = file["curves/certified accuracy/000000000002"]
        assert curve["y"][...].tolist() == [0, 0.5, 1] and curve["low"][...].tolist() == [0, 0, 0]
        assert (curve.attrs["NX_class"], curve.attrs["signal"], list(curve.attrs["axes"])) == ("NXdata", "y", ["x"])
        assert sorted(file["curves/certified accuracy"]) == ["000000000001", "000000000002"]
        images = file["images/drawn/000000000001"]
        assert images.dtype == np.uint8 and images.shape == (2, 3, 3, 1) and json.loads(images.attrs["captions"]) == [
            "one", "two",
        ]  # fmt: skip
        assert file["samples/index"][...].tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
        assert file["samples/images"].shape == (8, 3, 3, 1)
        assert [line for line in file["log/text"].asstr()[...]] == ["at step 1", "at step 2"]
        assert set(file["log/level"].asstr()[...]) == {"info"} and len(file["log/time"]) == 2
        assert dict(file["summary/robust_accuracy"].attrs) == {
            "value": 0.5, "low": 0.4, "high": 0.6, "n": 100, "interval": "Wilson 95 %", "unit": "share",
            "description": "PGD-10", "conditions": "{}", "sentence": "PGD-10", "name": "robust_accuracy",
            "title": "robust accuracy", "better": "up",
        }  # fmt: skip
        series = robust["validation/robust_accuracy"]
        assert {key: series.attrs[key] for key in ("title", "unit", "better")} == {
            "title": "robust accuracy (validation)", "unit": "share", "better": "up",
        }  # fmt: skip
        assert dict(series["value"].attrs) == {"units": "share"}
        # Nobody has declared a curve of that name.
        assert (curve.attrs["title"], curve.attrs["unit"], curve.attrs["better"]) == (
            "certified accuracy",
            "",
            "neither",
        )
        assert sorted(file["checkpoints"]) == ["000000000002", "000000000004", "000000000005"]
        assert file["checkpoints/000000000005/weights"][...].tobytes() == WEIGHTS + b"5"
        assert json.loads(file["checkpoints/000000000005/state"].asstr()[()]) == {"step": 5}
        assert [bool(group.attrs["best"]) for group in file["checkpoints"].values()] == [True, False, False]


def test_root_attributes_say_what_the_run_was(finished: Path) -> None:
    with h5py.File(finished) as file:
        attributes = dict(file.attrs)
    expected = {
        "schema_version": SCHEMA_VERSION, "run_id": "run", "kind": "train_denoiser", "name": "a run", "seed": 0,
        "status": "finished", "reason": "", "created": "2020-09-13T12:26:40+00:00", "device": "cpu (1 threads)",
        "host": os.uname().nodename,
    }  # fmt: skip
    assert {name: attributes[name] for name in expected} == expected
    assert attributes["started"] <= attributes["ended"] and attributes["ended"].endswith("+00:00")
    assert attributes["difrob_version"] and attributes["platform"] and attributes["python"]
    facts = json.loads(attributes["facts"])
    assert facts["versions"]["h5py"] == h5py.__version__ and facts["pid"] == os.getpid()
    summary = json.loads(attributes["summary"])
    assert summary["state"] == "finished" and summary["results"]["robust_accuracy"]["value"] == 0.5
    assert summary["has_checkpoint"] is True and summary["progress"]["done"] == 2


def test_parents_are_named_with_digests_that_change_with_their_contents(workspace: Workspace, finished: Path) -> None:
    digest = workspace.reader("run").content_digest()
    with recording(workspace, "child") as recorder:
        assert recorder.input_run("run").checkpoint("best").step == 2
        recorder.finish(RunState.FINISHED)
    with h5py.File(workspace.run_path("child")) as file:
        parent = json.loads(file.attrs["parents"])["run"]
        (best,) = parent["read"].values()
    assert parent["digest"] == digest and set(parent["read"]) == {"best"}
    assert best == {**best, "step": 2, "weights": "best", "finished": True, "rows": None}
    assert best["digest"] == hashlib.sha256(WEIGHTS + b"2").hexdigest()
    with recording(workspace, "other") as recorder:
        recorder.checkpoint(2, WEIGHTS, {})
    assert len({workspace.reader(name).content_digest() for name in ("run", "child", "other")}) == 3


def test_the_file_is_made_with_the_rights_that_the_user_gives_to_files(workspace: Workspace) -> None:
    before = os.umask(0o077)
    try:
        with recording(workspace) as recorder:
            recorder.finish(RunState.FINISHED)
    finally:
        os.umask(before)
    assert stat.S_IMODE(workspace.run_path("run").stat().st_mode) == 0o600


def test_curves_and_pictures_survive_folds_that_do_not_touch_them(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder)
        recorder.flush()
        reader = workspace.reader("run")
        live = content_of(reader)
        for step in range(3):
            recorder.checkpoint(step, WEIGHTS, {})
            assert content_of(reader) == live
        recorder.finish(RunState.FINISHED)
    assert content_of(reader) == live
    assert damage(workspace.run_path("run")) == ""


@pytest.mark.parametrize(
    "name", ["a/b", "a.b", "./a", "..", "/", "a//b", "a~2", "ünï 漢", "x" * 200, "a\\b", "weights"]
)
def test_any_printable_name_survives(workspace: Workspace, name: str) -> None:
    neighbours = ["a.b", "a/b", ".", "a"]
    with recording(workspace) as recorder:
        for number, other in enumerate([name, *neighbours]):
            recorder.metric(other, 1, number)
            recorder.images(other, number, pictures())
            recorder.curve(other, number, np.arange(2), np.arange(2))
            recorder.result(other, Measure(number))
        recorder.checkpoint(1, b"", {})
        recorder.checkpoint(2, b"", {})
        recorder.metric(name, 2, -1)
        summary = recorder.finish(RunState.FINISHED)
    reader = workspace.reader("run")
    expected = {name, *neighbours}
    assert set(reader.metrics()) == set(reader.curves()) == {batch.name for batch in reader.pictures()} == expected
    assert reader.metrics(name)[name].value[-1] == -1
    with h5py.File(workspace.run_path("run")) as file:
        assert {group.attrs["name"] for group in file["summary"].values()} == set(summary.results) == expected
    assert damage(workspace.run_path("run")) == ""


def test_texts_that_hdf5_cannot_hold_do_not_stop_a_run(workspace: Workspace) -> None:
    nasty = "nul \0 half \udcff end"
    with recording(workspace) as recorder:
        recorder.note(nasty, "error")
        recorder.result("r", Measure(1, description=nasty))
        recorder.attribute("a", nasty)
        recorder.images("i", 1, pictures(), [nasty, "x" * 100_000])
        recorder.curve("c", 1, np.arange(2), np.arange(2), x_label=nasty)
        recorder.checkpoint(1, WEIGHTS, {"text": nasty})
        recorder.finish(RunState.FAILED, nasty + "!" * 100_000)
    reader = workspace.reader("run")
    readable = "nul \\0 half \\udcff end"
    assert reader.log()[0].text == readable and reader.summary().results["r"].description == readable
    assert reader.summary().reason == readable + "!" * 100_000
    assert reader.pictures()[0].captions == [readable, "x" * 100_000]
    assert reader.curves()["c"].x_label == readable
    assert reader.checkpoint().state == {"text": nasty} and reader.attributes() == {"a": nasty}


def test_numbers_of_numpy_and_none_survive(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        recorder.metric("m", np.int32(3), np.float32(0.5), np.float64(0.25), None)
        recorder.metric("m", 4, float("inf"), None, float("-inf"))
        recorder.metric("m", 5, float("nan"))
        recorder.result("r", Measure(np.float32(0.5), np.float64(0.25), None, np.int64(7)))  # type: ignore[arg-type]
        recorder.progress(np.int64(3), np.int64(4))  # type: ignore[arg-type]
        recorder.finish(RunState.FINISHED)
    reader = workspace.reader("run")
    series = reader.metrics()["m"]
    np.testing.assert_array_equal(series.step, [3, 4, 5])
    np.testing.assert_array_equal(series.value, [0.5, np.inf, np.nan])
    np.testing.assert_array_equal(series.low, [0.25, np.nan, np.nan])
    np.testing.assert_array_equal(series.high, [np.nan, -np.inf, np.nan])
    assert reader.summary().results["r"] == Measure(0.5, 0.25, None, 7, title="r", better="neither")
    assert reader.summary().progress.done == 3


# Checkpoints


@pytest.mark.parametrize("best", [None, 0, 3, 7, 8, 9])
def test_the_last_two_checkpoints_and_the_best_are_kept(workspace: Workspace, best: int | None) -> None:
    with recording(workspace) as recorder:
        for step in range(10):
            recorder.checkpoint(step, bytes([step]), {"step": step}, best=step == best)
    reader = workspace.reader("run")
    with h5py.File(workspace.run_path("run")) as file:
        assert [int(key) for key in file["checkpoints"]] == sorted({8, 9} | ({best} if best is not None else set()))
    assert (reader.checkpoint().step, reader.checkpoint().weights) == (9, bytes([9]))
    assert reader.checkpoint("best").step == (9 if best is None else best)


def test_writing_the_best_step_once_more_keeps_it_the_best(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        recorder.checkpoint(5, WEIGHTS, {}, best=True)
        recorder.checkpoint(5, WEIGHTS, {"again": True})  # e.g. stopped right after a validation
        for step in (6, 7, 8):
            recorder.checkpoint(step, WEIGHTS, {})
    assert workspace.reader("run").checkpoint("best").step == 5
    assert workspace.reader("run").checkpoint("best").state == {"again": True}


def change(path: Path, action: Callable[[h5py.File], Any]) -> None:
    with h5py.File(path, "r+") as file:
        action(file)


def test_a_damaged_checkpoint_is_refused_and_an_older_one_resumes_the_run(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        for step in (1, 2, 3, 4):
            recorder.metric("loss", step, step)
            if step != 4:
                recorder.checkpoint(step, WEIGHTS + bytes([step]), {}, best=step == 1)
        recorder.finish(RunState.INTERRUPTED, "stopped")

    def flip(file: h5py.File) -> None:
        weights = file["checkpoints/000000000003/weights"]
        weights[100] ^= 1

    change(workspace.run_path("run"), flip)
    reader = workspace.reader("run")
    with pytest.raises(UserError, match="checkpoint at step 3 of run 'run' is damaged"):
        reader.checkpoint()
    assert reader.checkpoint("best").step == 1
    assert "checkpoint at step 3" in damage(workspace.run_path("run"))
    with recording(workspace, resume=True) as recorder:
        assert recorder.resumed_from is not None and recorder.resumed_from.step == 2
        assert reader.metrics()["loss"].step.tolist() == [1, 2]
        assert reader.checkpoint().step == 2  # the damaged one is gone, so it is the last no longer
        assert [(line.level, line.text) for line in reader.log() if line.level == "warning"] == [
            ("warning", "the checkpoint at step 3 is damaged and was passed over")
        ]
        recorder.finish(RunState.FINISHED)
    assert damage(workspace.run_path("run")) == ""


def test_things_that_another_program_put_there_twice_are_folded_once(workspace: Workspace, finished: Path) -> None:
    def again(file: h5py.File) -> None:
        for section, name in (("images", "drawn"), ("curves", "certified accuracy"), ("metrics", "loss")):
            file[section]["again"] = file[section][name]

    before = content_of(workspace.reader("run"))
    change(finished, again)
    with recording(workspace, resume=True) as recorder:
        recorder.metric("late", 9, 1.0)
        recorder.finish(RunState.FINISHED)
    after = content_of(workspace.reader("run"))
    assert (after["pictures"], after["curves"]) == (before["pictures"], before["curves"]) and damage(finished) == ""
    with h5py.File(finished) as file:
        assert set(file["images"]) == {"drawn"} and set(file["curves"]) == {"certified accuracy"}


@pytest.mark.parametrize("name", ["facts", "parents"])
def test_facts_that_are_none_are_damage_that_a_fold_names(workspace: Workspace, finished: Path, name: str) -> None:
    change(finished, lambda file: file.attrs.__setitem__(name, 5))
    assert "is damaged: the JSON object must be" in damage(finished)
    with pytest.raises(Damaged, match=r"is damaged[: (]+the JSON object must be"):
        recording(workspace, resume=True).__enter__()


def test_a_run_that_had_done_everything_but_end_keeps_its_progress(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        recorder.progress(12, 12, "images")
        recorder.flush()
    with recording(workspace, resume=True) as recorder:
        recorder.finish(RunState.FINISHED)
    progress = workspace.reader("run").summary().progress
    assert (progress.done, progress.total, progress.unit) == (12, 12, "images")


# Files from elsewhere


def test_a_newer_file_is_refused_naming_both_versions(workspace: Workspace, finished: Path) -> None:
    change(finished, lambda file: file.attrs.__setitem__("schema_version", SCHEMA_VERSION + 3))
    reader = workspace.reader("run")
    with pytest.raises(
        UserError, match=rf"schema version {SCHEMA_VERSION + 3}; this difrob reads up to {SCHEMA_VERSION}"
    ):
        reader.metrics()
    summary = reader.summary()
    assert summary.damaged and f"version {SCHEMA_VERSION + 3}" in summary.reason


@pytest.mark.parametrize("version", ["one", [1, 2], np.zeros(0)])
def test_a_version_that_is_no_number_is_damage(workspace: Workspace, finished: Path, version: Any) -> None:
    change(finished, lambda file: file.attrs.__setitem__("schema_version", version))
    with pytest.raises(UserError, match="damaged"):
        workspace.reader("run").metrics()


def test_files_that_are_no_runs_are_refused_in_a_sentence(workspace: Workspace, finished: Path) -> None:
    whole = finished.read_bytes()
    other = workspace.run_path("other")
    contents = {"text": b"not HDF5 at all", "nothing": b"", "head only": whole[:700], "zeros": bytes(5000)}
    for content in contents.values():
        other.write_bytes(content)
        with pytest.raises(UserError, match="damaged and cannot be opened"):
            workspace.reader("other").log()
        assert workspace.reader("other").summary().damaged
    with h5py.File(other, "w") as file:
        file["x"] = 1
    with pytest.raises(UserError, match="an HDF5 file, but not a difrob run"):
        workspace.reader("other").log()
    other.unlink()
    with pytest.raises(UserError, match="no run 'other'"):
        workspace.reader("other")


def read_all(reader: RunReader) -> None:
    """Every question that a reader answers; a summary that tells of damage counts as an error."""
    if (summary := reader.summary()).damaged:
        raise UserError(summary.reason)
    content_of(reader), reader.attributes(), reader.sample_count(), reader.content_digest()
    reader.checkpoint(), reader.checkpoint("best"), reader.array("samples/index"), reader.newest_whole_checkpoint()


@pytest.mark.usefixtures("one_helper")
def test_a_file_cut_short_anywhere_gives_the_truth_or_a_sentence(workspace: Workspace, finished: Path) -> None:
    whole = finished.read_bytes()
    reader = workspace.reader("run")
    told, content = 0, content_of(reader)
    finished.write_bytes(whole[: len(whole) // 2])
    own_end = full_size(finished)
    for cut in range(0, len(whole), len(whole) // 100):
        finished.write_bytes(whole[:cut])
        try:
            read_all(reader)
        except UserError:
            told += 1
        else:  # nothing but the seal behind the file's own end is gone
            assert own_end is not None and own_end <= cut and content_of(reader) == content
    assert told >= 99


@pytest.mark.usefixtures("one_helper")
@pytest.mark.slow
def test_a_file_with_overwritten_bytes_gives_the_truth_or_a_sentence(workspace: Workspace, finished: Path) -> None:
    whole = finished.read_bytes()
    reader = workspace.reader("run")
    random = np.random.default_rng(0)
    damaged = 0
    for _ in range(300):
        broken = bytearray(whole)
        start = int(random.integers(len(whole)))
        broken[start : start + 16] = random.bytes(16)
        finished.write_bytes(broken[: len(whole)])
        try:
            read_all(reader)
        except UserError:
            damaged += 1
    assert damaged > 50


def external(file: h5py.File, name: str, elsewhere: Path) -> None:
    del file[name]
    file[name] = h5py.ExternalLink(str(elsewhere), name)


def soft(file: h5py.File, name: str, elsewhere: Path) -> None:
    file.move(name, "moved")
    file[name] = h5py.SoftLink("/moved")


def virtual(file: h5py.File, name: str, elsewhere: Path) -> None:
    with h5py.File(elsewhere) as other:
        source = h5py.VirtualSource(other[name])
        layout = h5py.VirtualLayout(shape=other[name].shape, dtype=other[name].dtype)
    layout[...] = source
    del file[name]
    file.create_virtual_dataset(name, layout)


def raw_bytes(file: h5py.File, name: str, elsewhere: Path) -> None:
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    file.create_dataset(name, shape, dtype, external=[(str(elsewhere), 0, h5py.h5f.UNLIMITED)])


GROUPS = ["metrics", "metrics/loss", "curves", "curves/certified accuracy", "curves/certified accuracy/000000000002",
          "images", "images/drawn", "samples", "log", "checkpoints", "checkpoints/000000000005"]  # fmt: skip
DATASETS = ["metrics/loss/value", "metrics/loss/step", "metrics/loss/time", "curves/certified accuracy/000000000002/x",
            "curves/certified accuracy/000000000002/low", "images/drawn/000000000002", "samples/index", "samples/images",
            "log/time", "checkpoints/000000000005/weights"]  # fmt: skip
TEXTS = ["log/text", "log/level", "attributes", "checkpoints/000000000005/state"]


@pytest.mark.usefixtures("one_helper")
@pytest.mark.parametrize("action", [external, soft, virtual, raw_bytes])
def test_no_link_to_another_place_is_followed(
    workspace: Workspace, finished: Path, tmp_path: Path, action: Callable[..., None]
) -> None:
    whole = finished.read_bytes()
    elsewhere = tmp_path / "elsewhere.h5"
    elsewhere.write_bytes(whole)
    names = {"external": GROUPS + DATASETS + TEXTS, "soft": GROUPS + DATASETS + TEXTS}.get(action.__name__, DATASETS)
    for name in names:
        finished.write_bytes(whole)
        change(finished, lambda file, name=name: action(file, name, elsewhere))  # type: ignore[misc]
        with pytest.raises(UserError, match="not followed"):
            read_all(workspace.reader("run"))
        assert "not followed" in damage(finished), name


def test_a_link_to_a_pipe_does_not_hang(workspace: Workspace, finished: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    change(finished, lambda file: external(file, "samples/index", pipe))
    with pytest.raises(UserError, match="not followed"):
        workspace.reader("run").array("samples/index")


@pytest.mark.parametrize("name", DATASETS)
def test_a_data_set_that_claims_more_than_the_file_holds_is_refused_before_memory_is_taken(
    workspace: Workspace, finished: Path, name: str
) -> None:
    def blow_up(file: h5py.File) -> None:
        shape, dtype = file[name].shape, file[name].dtype
        attributes = dict(file[name].attrs)
        del file[name]
        dataset = file.create_dataset(name, (10**12, *shape[1:]), dtype, chunks=(4, *shape[1:]))
        dataset.attrs.update(attributes)

    change(finished, blow_up)
    reader = workspace.reader("run")
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="which the file does not hold"):
            read_all(reader)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("one_helper")
def test_other_shapes_and_types_than_ours_are_damage(workspace: Workspace, finished: Path) -> None:
    whole = finished.read_bytes()

    def replace(name: str, value: Any) -> Callable[[h5py.File], None]:
        def action(file: h5py.File) -> None:
            attributes = dict(file[name].attrs)
            del file[name]
            file[name] = value
            file[name].attrs.update(attributes)

        return action

    texts = np.array(["a", "b"], dtype=h5py.string_dtype())
    changes = {
        "texts for numbers": replace("metrics/loss/value", texts),
        "one row too many": replace("metrics/loss/step", np.arange(3)),
        "a table for a column": replace("metrics/loss/time", np.zeros((2, 2))),
        "a number for a group": replace("metrics/loss", 5),
        "a group for a number": lambda file: (file.__delitem__("samples/index"), file.create_group("samples/index")),
        "float pictures": replace("images/drawn/000000000002", np.zeros((2, 3, 3, 1))),
        "flat pictures": replace("images/drawn/000000000002", np.zeros((2, 3), np.uint8)),
        "numbers for texts": replace("log/text", np.arange(2)),
        "empty text": replace("attributes", h5py.Empty("S1")),
        "no JSON": replace("attributes", "{"),
        "a list for facts": replace("attributes", "[1]"),
        "no weights": lambda file: file.__delitem__("checkpoints/000000000005/weights"),
        "a curve too short": replace("curves/certified accuracy/000000000002/y", np.arange(2.0)),
        "no name": lambda file: file["metrics/loss"].attrs.__delitem__("name"),
        "a step that is no number": lambda file: file.move("curves/certified accuracy/000000000002", "curves/x/y"),
        "no summary": lambda file: file.attrs.__delitem__("summary"),
        "summary of another kind": lambda file: file.attrs.__setitem__("summary", "[]"),
        "unknown state": lambda file: file.attrs.__setitem__(
            "summary", file.attrs["summary"].replace("finished", "odd")
        ),
    }
    for name, action in changes.items():
        finished.write_bytes(whole)
        change(finished, action)
        with pytest.raises(UserError):
            read_all(workspace.reader("run"))
            pytest.fail(f"nobody noticed: {name}")


def test_a_file_that_somebody_compressed_is_read(workspace: Workspace, finished: Path) -> None:
    before = content_of(workspace.reader("run"))

    def compress(file: h5py.File) -> None:
        for name in DATASETS:
            values, attributes = file[name][...], dict(file[name].attrs)
            del file[name]
            file.create_dataset(name, data=values, compression="gzip", chunks=True).attrs.update(attributes)

    change(finished, compress)
    assert content_of(workspace.reader("run")) == before
    assert damage(finished) == ""


def test_an_unknown_column_is_named(workspace: Workspace, finished: Path) -> None:
    for name in ("samples/gone", "gone", "../metrics", "/metrics/loss/value", ""):
        with pytest.raises(UserError, match="has no"):
            workspace.reader("run").array(name)


def test_mistakes_of_a_job_are_raised_where_they_are_made_and_harm_nothing(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        recorder.samples(index=np.arange(2), flag=np.array([True, False]))
        for mistake in mistakes(recorder):
            with pytest.raises((ValueError, TypeError)):
                mistake()
            recorder.flush()
        recorder.samples(flag=np.array([False]), index=np.array([2]))
        recorder.samples(index=np.zeros(0), flag=np.zeros(0))
        recorder.checkpoint(1, WEIGHTS, {})
        recorder.finish(RunState.FINISHED)
    reader = workspace.reader("run")
    assert reader.array("index").tolist() == [0, 1, 2] and reader.array("flag").tolist() == [True, False, False]
    assert not reader.metrics() and not reader.curves() and not reader.pictures() and not reader.attributes()
    assert not reader.summary().results and damage(workspace.run_path("run")) == ""


def mistakes(recorder: RunRecorder) -> list[Callable[[], Any]]:
    two = np.arange(2)
    return [
        lambda: recorder.metric("", 1, 1),
        lambda: recorder.metric("a\0b", 1, 1),
        lambda: recorder.metric("a\nb", 1, 1),
        lambda: recorder.metric("x" * 201, 1, 1),
        lambda: recorder.metric("\udcff", 1, 1),
        lambda: recorder.metric(5, 1, 1),  # type: ignore[arg-type]
        lambda: recorder.metric("m", 1, "high"),  # type: ignore[arg-type]
        lambda: recorder.metric("m", 1, 1, low=object()),  # type: ignore[arg-type]
        lambda: recorder.curve("c", 1, np.arange(3), two),
        lambda: recorder.curve("c", 1, np.zeros((2, 2)), np.zeros((2, 2))),
        lambda: recorder.images("i", 1, np.zeros((2, 3, 3, 1))),
        lambda: recorder.images("i", 1, pictures(), ["one"]),
        lambda: recorder.images("i", 1, np.zeros((2000, 1, 1, 1), np.uint8)),
        lambda: recorder.samples(index=two, flag=np.zeros(3, bool)),
        lambda: recorder.samples(index=two),
        lambda: recorder.samples(index=two, flag=two),
        lambda: recorder.samples(index=np.zeros((2, 2), int), flag=np.zeros(2, bool)),
        lambda: recorder.samples(index=np.array(["a", "b"]), flag=np.zeros(2, bool)),
        lambda: recorder.samples(**{"a/b": two}),
        lambda: recorder.samples(),
        lambda: recorder.attribute("a", object()),
        lambda: recorder.attribute("a", {"x": np.float32(1)}),
        lambda: recorder.attribute("a", {"__array__": {"at": 0}}),
        lambda: recorder.attribute("__array__", 1),
        lambda: recorder.samples(__array__=two),
        lambda: recorder.result("r", Measure("much")),  # type: ignore[arg-type]
        lambda: recorder.checkpoint(1, WEIGHTS, {"x": object()}),
        lambda: recorder.checkpoint(1, "weights", {}),  # type: ignore[arg-type]
    ]


def test_what_was_reported_is_not_what_the_job_does_to_its_arrays_later(workspace: Workspace) -> None:
    array, values, captions = pictures(value=1), {"list": [1]}, ["a", "b"]
    x = np.arange(2.0)
    with recording(workspace) as recorder:
        recorder.images("i", 1, array, captions)
        recorder.samples(images=array)
        recorder.curve("c", 1, x, x)
        recorder.attribute("a", values)
        array[...], x[...] = 9, 9
        values["list"].append(2)
        captions.append("c")
        recorder.finish(RunState.FINISHED)
    reader = workspace.reader("run")
    assert (reader.pictures()[0].images == 1).all() and reader.pictures()[0].captions == ["a", "b"]
    assert (reader.array("images") == 1).all() and reader.curves()["c"].x.tolist() == [0, 1]
    assert reader.attributes() == {"a": {"list": [1]}}
