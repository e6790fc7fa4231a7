"""The care of a workspace: finding damage anywhere, and saving everything that can still be read."""

from __future__ import annotations

import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.recorded_runs import WEIGHTS, as_plain, content_of, record_everything, recording

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.care import Finding, Verdict, check, recover_run
from difrob.runs.damage.file_parts import pieces_of
from difrob.runs.damage.inspection import Inspector
from difrob.runs.damage.limits import THE_FILE
from difrob.runs.journal import scan_journal
from difrob.runs.schema import SCHEMA_VERSION

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.fixture
def looking() -> Iterator[Inspector]:
    with Inspector(limit_seconds=4.0) as inspector:
        yield inspector


def ended_run(workspace: Workspace, run_id: str = "run") -> Path:
    with recording(workspace, run_id) as recorder:
        record_everything(recorder, 1)
        recorder.checkpoint(1, WEIGHTS, {"step": 1}, best=True)
        record_everything(recorder, 2)
        recorder.checkpoint(2, WEIGHTS[::-1], {"step": 2})
        recorder.finish(RunState.INTERRUPTED, "stopped")
    return workspace.run_path(run_id)


def dead_run(workspace: Workspace, run_id: str = "run") -> Path:
    """A run whose writer died; its journal holds the frames of three flushes beyond the file."""
    with recording(workspace, run_id) as recorder:
        for step in range(1, 4):
            record_everything(recorder, step)
            recorder.flush()
    return workspace.journal_path(run_id)


def verdicts(findings: list[Finding]) -> dict[str, Verdict]:
    return {finding.file: finding.verdict for finding in findings}


def contents_of_folder(workspace: Workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in workspace.runs_folder.iterdir()}


def test_a_whole_workspace_is_whole_and_looking_changes_nothing(workspace: Workspace) -> None:
    ended_run(workspace)
    dead_run(workspace, "dead")
    workspace.summaries()  # makes the index
    before = contents_of_folder(workspace)
    with recording(workspace, "live") as recorder:
        record_everything(recorder)
        recorder.checkpoint(1, WEIGHTS, {})
        recorder.metric("loss", 2, 1.0)
        recorder.flush()
        found = verdicts(check(workspace))
        recorder.metric("loss", 3, 1.0)  # it was not held up
        recorder.finish(RunState.FINISHED)
    assert found == {
        "run.h5": Verdict.WHOLE, "dead.h5": Verdict.WHOLE, "dead.journal": Verdict.LEFTOVER, "live.h5": Verdict.WHOLE,
        "live.journal": Verdict.WHOLE, "workspace.db": Verdict.WHOLE,
    }  # fmt: skip
    after = contents_of_folder(workspace)
    assert after.pop("live.h5") and after == before


def test_leftovers_are_named_and_foreign_files_left_alone(workspace: Workspace) -> None:
    path = ended_run(workspace)
    for name in (".run.0123abcd.partial", "run.h5.damaged", "gone.journal.damaged-2", "run.output", "notes.txt"):
        path.with_name(name).write_bytes(b"x")
    found = {finding.file: finding for finding in check(workspace)}
    assert {name: f.run_id for name, f in found.items() if f.verdict is Verdict.LEFTOVER} == {
        ".run.0123abcd.partial": "run", "run.h5.damaged": "run", "gone.journal.damaged-2": "gone", "run.output": "run",
        "notes.txt": "",
    }  # fmt: skip
    assert "left alone" in found["notes.txt"].sentence
    assert verdicts(check(workspace, ["run"])).keys() == {
        "run.h5",
        ".run.0123abcd.partial",
        "run.h5.damaged",
        "run.output",
    }


def test_damage_is_named_and_the_rest_is_saved_piece_by_piece(workspace: Workspace, looking: Inspector) -> None:
    path = ended_run(workspace)
    before = as_plain(content_of(workspace.reader("run")))
    with h5py.File(path, "r+") as file:
        del file["metrics/loss/value"]
        del file["samples/radius"]
        del file["curves/certified accuracy/000000000002/x"]
        file["checkpoints/000000000002/weights"][0] ^= 1
    damaged = path.read_bytes()
    (finding,) = check(workspace, ["run"])
    assert finding.verdict is Verdict.DAMAGED and "'difrob runs recover run' saves the rest" in finding.sentence
    for word in ("metric 'loss'", "curve 'certified accuracy' at step 2", "the checkpoint at step 2: its weights"):
        assert word in finding.sentence
    (sentence,) = recover_run(workspace, "run", looking)
    assert (
        "the checkpoint at step 2 (its weights do not fit their digest)" in sentence and "'run.h5.damaged'" in sentence
    )
    reader = workspace.reader("run")
    after = as_plain(content_of(reader))
    del before["metrics"]["loss"]
    assert after["metrics"] == before["metrics"] and after["pictures"] == before["pictures"]
    assert after["log"][:-1] == before["log"] and "written anew" in after["log"][-1]["text"]
    assert reader.curves()["certified accuracy"].step == 1
    assert reader.checkpoint().step == 1 and reader.checkpoint("best").weights == WEIGHTS
    assert reader.array("samples/index").tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
    with pytest.raises(UserError, match="has no 'samples/radius'"):
        reader.array("samples/radius")
    assert reader.summary().results.keys() == {"robust_accuracy"} and reader.summary().state is RunState.INTERRUPTED
    assert path.with_name("run.h5.damaged").read_bytes() == damaged
    assert recover_run(workspace, "run", looking) == []
    assert verdicts(check(workspace, ["run"])) == {"run.h5": Verdict.WHOLE, "run.h5.damaged": Verdict.LEFTOVER}


def test_a_lost_summary_is_put_together_from_what_else_there_is(workspace: Workspace, looking: Inspector) -> None:
    path = ended_run(workspace)
    with h5py.File(path, "r+") as file:
        file.attrs["summary"] = "{"
    recover_run(workspace, "run", looking)
    summary = workspace.reader("run").summary()
    assert (summary.kind, summary.name, summary.state) == ("train_denoiser", "a run", RunState.INTERRUPTED)
    assert summary.results["robust_accuracy"].value == 0.5 and summary.spec["name"] == "a run" and not summary.damaged


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", bytes(5000)])
def test_a_file_in_which_nothing_can_be_read_is_set_aside(
    workspace: Workspace, looking: Inspector, content: bytes
) -> None:
    path = ended_run(workspace)
    path.write_bytes(content)
    assert verdicts(check(workspace, ["run"])) == {"run.h5": Verdict.DAMAGED}
    (sentence,) = recover_run(workspace, "run", looking)
    assert "nothing in its file could be read" in sentence
    assert contents_of_folder(workspace) == {"run.h5.damaged": content}


def test_newer_and_foreign_files_are_refused_and_left_alone(workspace: Workspace, looking: Inspector) -> None:
    path = ended_run(workspace)
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION + 1
    with h5py.File(workspace.run_path("other"), "w") as file:
        file["numbers"] = 5
    before = contents_of_folder(workspace)
    assert verdicts(check(workspace)) | {"workspace.db": None} == {
        "run.h5": Verdict.REFUSED, "other.h5": Verdict.REFUSED, "workspace.db": None,
    }  # fmt: skip
    for run_id, words in (("run", "install a newer difrob"), ("other", "not a difrob run")):
        with pytest.raises(UserError, match=words):
            recover_run(workspace, run_id, looking)
    assert contents_of_folder(workspace) == before


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_file_damaged_anywhere_gives_a_clear_result(
    tmp_path_factory: pytest.TempPathFactory, looking: Inspector, data: st.DataObject
) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("any") / "w")
    whole = (GOLDEN / f"run-v{SCHEMA_VERSION}.h5").read_bytes()
    changed = bytearray(whole)
    if data.draw(st.booleans()):
        changed = changed[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=3)):
            changed[place] ^= 1 << data.draw(st.integers(0, 7))
    path = workspace.run_path("run")
    path.write_bytes(bytes(changed))
    found = looking.inspect(path)
    assert path.read_bytes() == bytes(changed)
    try:
        sentences = recover_run(workspace, "run", looking)
    except UserError:
        assert found.refused and contents_of_folder(workspace) == {"run.h5": bytes(changed)}
        return
    assert bool(sentences) == bool(found.lost)
    if found.lost:
        assert path.with_name("run.h5.damaged").read_bytes() == bytes(changed)
    assert path.exists() == (THE_FILE not in found.lost)
    if path.exists():
        again = looking.inspect(path)
        assert again.is_whole and recover_run(workspace, "run", looking) == []
    shutil.rmtree(workspace.root)


def test_a_file_that_is_cut_off_keeps_what_lies_before(workspace: Workspace, looking: Inspector) -> None:
    path = ended_run(workspace)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    recover_run(workspace, "run", looking)
    summary = workspace.reader("run").summary()
    assert summary.name == "a run" and summary.results.keys() == {"robust_accuracy"}
    assert workspace.reader("run").metrics()["loss"].value.tolist() == [1.5, 3.0]


# Journals


def test_a_journal_damaged_in_the_middle_is_folded_around_the_damage(workspace: Workspace, looking: Inspector) -> None:
    journal = dead_run(workspace)
    frames = scan_journal(journal).frames
    data = bytearray(journal.read_bytes())
    data[data.rfind(b"at step 2")] ^= 1
    journal.write_bytes(bytes(data))
    assert len(scan_journal(journal).frames) < len(frames)
    (_, finding) = check(workspace, ["run"])
    assert finding.verdict is Verdict.DAMAGED and "bytes " in finding.sentence and "are damaged" in finding.sentence
    (sentence,) = recover_run(workspace, "run", looking)
    assert "has been folded as far as it could be read, without journal frames" in sentence
    reader = workspace.reader("run")
    steps = reader.metrics()["loss"].step.tolist()
    assert steps[0] == 1 and steps[-1] == 3 and 2 not in steps
    assert reader.sample_count() == 4  # those after the gap would be taken for those in it by a resumed run
    assert journal.with_name("run.journal.damaged").read_bytes() == bytes(data)
    assert recover_run(workspace, "run", looking) == []


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_journal_damaged_anywhere_gives_a_clear_result(
    tmp_path_factory: pytest.TempPathFactory, looking: Inspector, data: st.DataObject
) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("any") / "w")
    whole = (GOLDEN / f"run-v{SCHEMA_VERSION}.journal").read_bytes()
    changed = bytearray(whole)
    if data.draw(st.booleans()):
        changed = changed[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        changed[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    journal = workspace.journal_path("run")
    journal.write_bytes(bytes(changed))
    assert set(verdicts(check(workspace, ["run"]))) == {"run.journal"}
    try:
        sentences = recover_run(workspace, "run", looking)
    except UserError:
        assert journal.read_bytes() == bytes(changed)
        return
    assert sentences or not changed
    left = contents_of_folder(workspace)
    assert "run.journal" not in left and set(left) <= {"run.h5", "run.journal.damaged"}
    if "run.h5" in left:
        assert looking.inspect(workspace.run_path("run")).is_whole
    if "run.journal.damaged" in left:
        assert left["run.journal.damaged"] == bytes(changed)
    shutil.rmtree(workspace.root)


def test_a_gap_between_file_and_journal_is_damage(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difrob.runs.journal.KEPT_BYTES", 0)
    with recording(workspace) as recorder:
        record_everything(recorder)
        recorder.flush()
        early = workspace.run_path("run").read_bytes()
        recorder.checkpoint(1, WEIGHTS, {})
        recorder.metric("loss", 5, 1.0)
        recorder.flush()
    workspace.run_path("run").write_bytes(early)  # as if an old copy had been put back
    (_, finding) = check(workspace, ["run"])
    assert finding.verdict is Verdict.DAMAGED and "are in neither journal nor file" in finding.sentence


def test_live_runs_are_not_recovered(workspace: Workspace, looking: Inspector) -> None:
    with recording(workspace) as recorder:
        recorder.metric("loss", 1, 1.0)
        recorder.flush()
        with pytest.raises(UserError, match="is being written; stop it first"):
            recover_run(workspace, "run", looking)
        recorder.finish(RunState.FINISHED)
    assert recover_run(workspace, "run", looking) == []


# Around the runs


def test_a_damaged_database_and_settings_are_named(workspace: Workspace) -> None:
    with sqlite3.connect(workspace.database) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
    connection.close()
    data = bytearray(workspace.database.read_bytes())
    data[4096:12_000] = bytes(7904)
    workspace.database.write_bytes(bytes(data))
    (workspace.root / "workspace.json").write_text("{")
    found = {finding.file: finding for finding in check(workspace)}
    assert {finding.verdict for finding in found.values()} == {Verdict.DAMAGED}
    assert "Move it away" in found["workspace.db"].sentence and "difrob runs keep" in found["workspace.json"].sentence


@pytest.mark.parametrize("suffix", ["h5", "journal", "output"])
def test_files_that_are_links_are_not_followed(workspace: Workspace, tmp_path: Path, suffix: str) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (workspace.runs_folder / f"run.{suffix}").symlink_to(precious)
    paths: dict[str, Any] = {
        "h5": workspace.run_path, "journal": workspace.journal_path, "output": workspace.output_path,
    }  # fmt: skip
    with pytest.raises(UserError, match="is a link to another place"):
        paths[suffix]("run")
    assert workspace.summaries() == [] and precious.read_bytes() == b"precious"
    if suffix != "output":
        with pytest.raises(UserError, match="is a link to another place"):
            recording(workspace).__enter__()
        assert [finding.verdict for finding in check(workspace, ["run"])] == [Verdict.REFUSED]
    assert precious.read_bytes() == b"precious"


@pytest.mark.parametrize("run_id", ["../run", "/etc/passwd", "a/../b", "..", "", "a\\b", "C:x", "a\0b", ".hidden"])
def test_ids_that_lead_out_of_the_workspace_are_refused(workspace: Workspace, run_id: str) -> None:
    for use in (workspace.run_path, workspace.reader, workspace.restore_run, workspace.remove_run):
        with pytest.raises(UserError, match="is not a run id"):
            use(run_id)
    with recording(workspace) as recorder, pytest.raises(UserError, match="is not a run id"):
        recorder.input_run(run_id)


def test_a_packed_column_is_unpacked_once_however_large_its_parts(workspace: Workspace) -> None:
    """Read by a few rows at a time, each part would be unpacked thousands of times."""
    path, rows = ended_run(workspace), 64 << 20
    with h5py.File(path, "r+") as file:
        del file["samples"]
        column = file.create_group("samples").create_dataset(
            "index", (rows,), "u1", chunks=(rows // 4,), compression="gzip", compression_opts=1
        )
        packed = zlib.compress(bytes(rows // 4), 1)
        for start in range(0, rows, rows // 4):
            column.id.write_direct_chunk((start,), packed)
        reads: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            original = h5py.Dataset.__getitem__
            patch.setattr(
                h5py.Dataset,
                "__getitem__",
                lambda self, key: (reads.append(1) if self.name == column.name else None, original(self, key))[1],
            )
            for piece in pieces_of(file):
                if piece.kind in ("list", "samples"):
                    piece.read()
    assert len(reads) == 4
