"""A job that goes on finds its inputs as it left them, or is refused: nothing is ever mixed of two states of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.changing_inputs import CLASSIFIER, DATA, DENOISER, EVALUATION, FILE, JOBS, before, change
from support.cut_off import killed, stopped
from support.recorded_runs import recording
from support.small_classifiers import small_classifier

from difrob.cli import main
from difrob.comparison import unlike_conditions
from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.datasets import DataSetRecord
from difrob.runs.recovery import recover
from difrob.specs import (
    parse_spec,
)
from difrob.worker.execution import execute


def finished(workspace: Workspace, run_id: str) -> None:
    """Let a run go on to its end."""
    spec = parse_spec(workspace.reader(run_id).spec)
    assert execute(workspace, run_id, spec, device="cpu", resume=True).state is RunState.FINISHED


def results(workspace: Workspace, run_id: str) -> dict[str, float]:
    return {name: measure.value for name, measure in workspace.reader(run_id).summary().results.items()}


def warnings(workspace: Workspace, run_id: str) -> list[str]:
    return [line.text for line in workspace.reader(run_id).log() if line.level == "warning"]


def content(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        rows = {name: column[...].tolist() for name, column in file["samples"].items()}
        return {"rows": rows, "status": file.attrs["status"], "log": len(file["log/text"])}


RUNS = [kind for kind, job in JOBS.items() if job.changing not in (DATA, FILE)]


@pytest.mark.parametrize("kind", RUNS)
def test_a_job_does_not_go_on_with_a_run_that_has_gone_on(workspace: Workspace, kind: str) -> None:
    job, spec = JOBS[kind], JOBS[kind].spec(workspace.root)
    before(workspace, job)
    killed(workspace, "job", spec, job.after)
    change(workspace, job)
    expected = f"run '{job.changing}' is not what this run began with: .*; start a new run"
    with pytest.raises(UserError, match=expected) as error:
        execute(workspace, "job", spec, device="cpu", resume=True)
    text = str(error.value)
    assert ("first 16 rows" in text and "40 rows" in text) if job.changing == "set" else "of step 40" in text
    left = content(workspace.run_path("job"))
    assert left["status"] == "interrupted"
    with pytest.raises(UserError, match="is not what this run began with"):
        execute(workspace, "job", spec, device="cpu", resume=True)
    assert content(workspace.run_path("job")) == left


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("train_denoiser on a data set", "data set 'pictures' is not the one that this run began with"),
        ("import_images", "the files do not hold the 4,096 images that this import recorded"),
    ],
)
def test_a_job_does_not_go_on_with_data_or_files_that_were_replaced(
    workspace: Workspace, kind: str, message: str
) -> None:
    job, spec = JOBS[kind], JOBS[kind].spec(workspace.root)
    before(workspace, job)
    killed(workspace, "job", spec, job.after)
    change(workspace, job)
    rows = content(workspace.run_path("job"))["rows"] if workspace.run_path("job").exists() else {}
    summary = execute(workspace, "job", spec, device="cpu", resume=True)
    assert summary.state is RunState.FAILED and message in summary.reason and not summary.results
    left = content(workspace.run_path("job"))["rows"]
    assert all(len(left[name]) == 4096 for name in left) and rows.keys() <= left.keys()


@pytest.mark.parametrize("kind", JOBS)
def test_a_job_goes_on_with_an_input_that_has_not_changed(workspace: Workspace, kind: str) -> None:
    job, spec = JOBS[kind], JOBS[kind].spec(workspace.root)
    before(workspace, job)
    killed(workspace, "job", spec, job.after)
    assert execute(workspace, "job", spec, device="cpu", resume=True).state is RunState.FINISHED
    assert execute(workspace, "whole", spec, device="cpu").state is RunState.FINISHED
    assert content(workspace.run_path("job"))["rows"] == content(workspace.run_path("whole"))["rows"]


def test_the_old_weights_are_taken_where_they_are_still_kept(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(workspace, "classifier", small_classifier(20, checkpoint_every=10), 10)
    assert execute(workspace, "early", EVALUATION, device="cpu").state is RunState.FINISHED
    killed(workspace, "job", EVALUATION, 16)
    finished(workspace, "classifier")
    place = ["-w", str(workspace.root)]
    assert main(["run", "--resume", "job", *place]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "that rested on its last weights, of step 10, now it would be its last" in told
    assert (
        "start a new run, or go on with the old input, which is still kept: difrob run --resume job --old-inputs"
        in told
    )
    assert main(["run", "--resume", "job", "--old-inputs", *place]) == 0
    assert results(workspace, "job") == results(workspace, "early")
    (said,) = {str(measure.conditions["inputs"]) for measure in workspace.reader("job").summary().results.values()}
    assert "'step': 10" in said and "'finished': False" in said
    assert main(["run", "evaluate", "--old-inputs", *place]) == 2
    assert "--old-inputs goes with --resume" in capsys.readouterr().err


def test_the_old_rows_are_taken_of_a_set_that_has_grown(workspace: Workspace) -> None:
    job = JOBS["train_classifier on a generated set"]
    spec = job.spec(workspace.root)
    before(workspace, job)
    assert execute(workspace, "early", spec, device="cpu").state is RunState.FINISHED
    killed(workspace, "job", spec, job.after)
    change(workspace, job)
    assert execute(workspace, "job", spec, device="cpu", resume=True, old_inputs=True).state is RunState.FINISHED
    assert workspace.reader("job").checkpoint().weights == workspace.reader("early").checkpoint().weights
    assert workspace.reader("job").attributes()["batches"]["generated_images"] == 16


def test_a_run_of_which_nothing_was_kept_begins_with_what_there_is_now(workspace: Workspace) -> None:
    stopped(workspace, "classifier", CLASSIFIER, 10)
    killed(workspace, "job", EVALUATION, 0)
    finished(workspace, "classifier")
    assert execute(workspace, "job", EVALUATION, device="cpu", resume=True).state is RunState.FINISHED
    assert execute(workspace, "new", EVALUATION, device="cpu").state is RunState.FINISHED
    job, new = (workspace.reader(name).summary().results for name in ("job", "new"))
    assert job == new and job["clean_accuracy"].conditions["inputs"]["classifier"]["step"] == 40


def test_an_unfinished_input_is_said_once_and_so_is_one_without_a_best(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(workspace, "classifier", CLASSIFIER, 10)
    best = EVALUATION.model_copy(update={"weights": "best"})
    killed(workspace, "job", best, 16)
    assert execute(workspace, "job", best, device="cpu", resume=True).state is RunState.FINISHED
    assert warnings(workspace, "job") == [
        "run 'classifier' has marked no checkpoint as best; its last one, of step 10, is taken",
        "run 'classifier' has not finished (interrupted): this run rests on its last weights, of step 10; one that reads it "
        "later may rest on others",
    ]
    sentence = workspace.reader("job").summary().results["clean_accuracy"].sentence
    assert "classifier of step 10 (last weights, its run had not finished)" in sentence
    values = ["--set", "classifier=classifier", "--set", "images=4", "--set", "sanity_checks=false"]
    assert main(["run", "evaluate", *values, "-w", str(workspace.root)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "note: run 'classifier' has not finished (interrupted); what it holds now is taken. With --queue" in told

    finished(workspace, "classifier")
    assert execute(workspace, "later", best, device="cpu").state is RunState.FINISHED
    assert warnings(workspace, "later") == []
    assert (
        "classifier of step 40 (best weights)" in workspace.reader("later").summary().results["clean_accuracy"].sentence
    )
    (unlike,) = unlike_conditions([workspace.reader(name).summary() for name in ("job", "later")])
    assert unlike.sentence == (
        "inputs (classifier of step 10 (last weights, its run had not finished) · classifier of step 40 (best weights))"
    )


def test_an_input_that_goes_on_meanwhile_is_told_at_the_end(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(workspace, "classifier", CLASSIFIER, 10)
    monkeypatch.setattr(
        "difrob.jobs.evaluate.check_radii", lambda spec: finished(workspace, "classifier")
    )  # which comes when the weights have been read
    assert execute(workspace, "job", EVALUATION, device="cpu").state is RunState.FINISHED
    assert warnings(workspace, "job")[-1] == (
        "run 'classifier' has gone on since this run began: this run rests on its last weights, of step 10, and a new one "
        "would rest on its last weights, of step 40"
    )
    said = workspace.reader("job").summary().results["clean_accuracy"].conditions["inputs"]["classifier"]
    assert (said["step"], said["finished"]) == (10, False)


def test_a_part_that_is_read_twice_stays_what_it_was(workspace: Workspace) -> None:
    with recording(workspace, "parent") as parent:
        parent.checkpoint(1, b"first", {})
        parent.samples(index=np.arange(3))
        parent.flush()
        with recording(workspace, "child") as child:
            run = child.input_run("parent")
            assert (
                run.checkpoint().step == 1 and run.checkpoint("best").step == 1 and len(run.array("samples/index")) == 3
            )
            parent.checkpoint(2, b"second", {})
            parent.samples(index=np.arange(4))
            parent.checkpoint(3, b"third", {}, best=True)
            assert child.input_run("parent").array("samples/index").tolist() == [0, 1, 2]
            with pytest.raises(UserError, match="began with its last weights, of step 1, which are not kept any more"):
                child.input_run("parent").checkpoint()
            assert child.input_run("parent").checkpoint(3).weights == b"third"


def test_a_set_whose_rows_were_changed_is_not_the_one_that_was_read(workspace: Workspace) -> None:
    with recording(workspace, "parent") as parent:
        parent.samples(index=np.arange(900), label=np.zeros(900, dtype=np.int64))
        parent.finish(RunState.FINISHED)
    with recording(workspace, "child") as child:
        child.input_run("parent").array("samples/index")
        with h5py.File(workspace.run_path("parent"), "r+") as file:
            file["samples/label"][899] = 1
        with pytest.raises(UserError, match="began with its first 900 rows, which are not kept any more"):
            child.input_run("parent").array("samples/label")


def test_a_data_set_that_is_replaced_while_a_job_reads_it_fails_the_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, replaced = Workspace.data_set, list[bool]()

    def found(self: Workspace, name: str) -> DataSetRecord:
        return replace(find(self, name), digest="another") if replaced else find(self, name)

    def job(spec: Any, recorder: Any, device: Any) -> None:
        recorder.data_set("digits")
        replaced.append(True)

    monkeypatch.setattr(Workspace, "data_set", found)
    monkeypatch.setattr("difrob.jobs.train_denoiser.run", job)
    summary = execute(workspace, "job", DENOISER, device="cpu")
    assert summary.state is RunState.FAILED
    assert "data set 'digits' is not the one that this run began with (digest another" in summary.reason


def as_of_before(path: Path, **digest: str) -> None:
    """The file of a run as earlier versions wrote it, without the states of inputs."""
    with h5py.File(path, "r+") as file:
        parents = json.loads(file.attrs["parents"])
        file.attrs["parents"] = json.dumps(
            {name: {"digest": parent["digest"]} | digest for name, parent in parents.items()}
        )


def test_a_run_of_before_is_held_against_the_digest_that_it_has(workspace: Workspace) -> None:
    stopped(workspace, "classifier", CLASSIFIER, 10)
    for name in ("same", "changed", "silent"):
        killed(workspace, name, EVALUATION, 16)
        recover(workspace.reader(name))
        as_of_before(workspace.run_path(name), **({"digest": ""} if name == "silent" else {}))
    assert execute(workspace, "same", EVALUATION, device="cpu", resume=True).state is RunState.FINISHED
    finished(workspace, "classifier")
    with pytest.raises(UserError, match="run 'classifier' has gone on, or lost checkpoints, since this run began"):
        execute(workspace, "changed", EVALUATION, device="cpu", resume=True)
    assert execute(workspace, "silent", EVALUATION, device="cpu", resume=True).state is RunState.FINISHED
    assert any(
        "was not noted; whether it has changed since is not known" in text for text in warnings(workspace, "silent")
    )


@pytest.mark.parametrize(
    "read", [5, {"last": 5}, {"last": {"digest": "ab"}}, {"last": {"finished": 1, "digest": "", "step": "x"}}]
)
def test_notes_of_inputs_that_make_no_sense_are_refused(workspace: Workspace, read: Any) -> None:
    stopped(workspace, "classifier", CLASSIFIER, 10)
    killed(workspace, "job", EVALUATION, 16)
    recover(workspace.reader("job"))
    with h5py.File(workspace.run_path("job"), "r+") as file:
        file.attrs["parents"] = json.dumps({"classifier": {"digest": "", "read": read}})
    with pytest.raises(UserError, match="what the run noted of its inputs makes no sense"):
        execute(workspace, "job", EVALUATION, device="cpu", resume=True)
