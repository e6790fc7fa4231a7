"""A slip on the command line is answered with what was meant, or with what to do, before any work is done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from difrob.cli import main
from difrob.cli.common import find_run
from difrob.cli.run import build_spec
from difrob.errors import UserError
from difrob.runs import RunState, Workspace, new_run_id
from difrob.runs.causes import Cause
from difrob.runs.recorder import RunRecorder
from difrob.specs import parse_spec, value_at

NEEDS = {"generate": {"denoiser": "x"}, "evaluate": {"classifier": "x"}, "measure": {"generated": "x"}}


def add_run(workspace: Workspace, kind: str, name: str, *end: str) -> str:
    """A run of this kind that did nothing and has finished, or ended as ``end`` says."""
    run_id = new_run_id(kind, name)
    recorder = RunRecorder(workspace, run_id, parse_spec({"kind": kind, "name": name, **NEEDS.get(kind, {})}))
    recorder.finish(*((RunState.FAILED, *end, Cause.BAD_INPUT) if end else (RunState.FINISHED,)))
    return run_id


@pytest.fixture
def runs(workspace: Workspace) -> dict[str, str]:
    kinds = {
        "small model": "train_denoiser",
        "small judge": "train_classifier",
        "small set": "generate",
        "e1": "evaluate",
    }
    return {name: add_run(workspace, kind, name) for name, kind in kinds.items()}


def refused(workspace: Workspace, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    before = workspace.summaries()
    assert main([*arguments, "-w", str(workspace.root)]) == 2
    assert workspace.summaries() == before
    return capsys.readouterr().err


def refused_run(workspace: Workspace, capsys: pytest.CaptureFixture[str], kind: str, *fields: str) -> str:
    return refused(workspace, capsys, "run", kind, *(word for field in fields for word in ("--set", field)))


def test_a_run_that_is_not_there_names_the_field_and_the_nearest_fitting_run(
    workspace: Workspace, runs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused_run(workspace, capsys, "train_classifier", "alignment.denoiser=smal modle")
    assert "'alignment.denoiser': there is no run 'smal modle'" in told and "did you mean 'small model'?" in told
    told = refused_run(workspace, capsys, "evaluate", "classifier=small modge")
    assert "did you mean 'small judge'?" in told, "a denoiser is never proposed in the place of a classifier"
    assert "did you mean" not in refused_run(workspace, capsys, "generate", "denoiser=nosuch")
    assert "did you mean 'small set'?" in refused(workspace, capsys, "show", "small sat")


def test_a_text_that_several_runs_fit_is_told_with_its_field(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        add_run(workspace, "train_denoiser", name)
    start = workspace.summaries()[0].run_id[:4]
    told = refused_run(workspace, capsys, "generate", f"denoiser={start}")
    assert f"'denoiser': '{start}' fits 2 runs: " in told and "did you mean" not in told


def test_a_data_set_that_is_not_there(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused_run(workspace, capsys, "train_denoiser", "data.dataset=digit")
    assert "there is no data set 'digit'" in told and "did you mean 'digits'?" in told
    assert "did you mean" not in refused_run(workspace, capsys, "train_denoiser", "data.dataset=mars")


def test_a_folder_or_file_in_the_place_of_a_classifier(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (tmp_path, tmp_path / "gone.pt"):
        told = refused_run(workspace, capsys, "evaluate", f"classifier={place}")
        assert f"'classifier' takes a run of kind train_classifier, not a file or folder like '{place}'" in told
        assert "'difrob runs --kind train_classifier' lists" in told


def test_a_name_that_is_too_long_for_a_file(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a" * 5000
    assert "there is no run 'aaa" in refused_run(workspace, capsys, "evaluate", f"classifier={name}")
    assert "there is no file or folder '" in refused_run(workspace, capsys, "import_images", f"paths={name}")


def test_the_file_of_a_run_stands_for_the_run(
    workspace: Workspace, runs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workspace.run_path(runs["small set"])
    spec = build_spec(workspace, "train_classifier", None, [f"generated={path}"], None, None)
    assert value_at(spec, "generated") == runs["small set"]
    monkeypatch.chdir(workspace.runs_folder)
    assert find_run(workspace, path.name) == runs["small set"]
    with pytest.raises(UserError, match="is of kind generate"):
        build_spec(workspace, "evaluate", None, [f"classifier={path}"], None, None)
    (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="there is no run"):
        find_run(workspace, str(tmp_path / path.name))


@pytest.mark.parametrize(
    ("kind", "fields", "endings"),
    [
        ("evaluate", [], ["'classifier' must be given: --set classifier=RUN, a run of kind train_classifier"]),
        ("train_classifier", ["alignment.teacher=denoiser"],
         ["needs a run in 'denoiser'", "; write --set alignment.denoiser=RUN, a run of kind train_denoiser or "]),
        ("train_classifier", ["alignment.teacher=classifier"], ["; write --set alignment.classifier=RUN, a run of kind "]),
        ("probe_teacher", [], ["--set denoiser=RUN, a run of kind train_denoiser or import_denoiser"]),
    ],
)  # fmt: skip
def test_a_run_that_lacks_is_asked_for_with_the_words_that_give_it(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], kind: str, fields: list[str], endings: list[str]
) -> None:
    told = refused_run(workspace, capsys, kind, *fields)
    assert all(ending in told for ending in endings) and told.count("--set") == 1


def test_a_mistake_elsewhere_asks_for_no_run(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused_run(workspace, capsys, "train_classifier", "steps=ten", "alignment.teacher=none")
    assert told == "difrob: 'steps' = 'ten': must be a whole number\n"


def test_what_cannot_be_resumed_says_what_to_do(
    workspace: Workspace, runs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(workspace, capsys, "run", "--resume", "small model")
    run_id = runs["small model"]
    assert f"run '{run_id}' is finished" in told
    assert f"'difrob show {run_id}'" in told and "'difrob run train_denoiser --set ...'" in told


def test_unknown_states_and_kinds_are_no_empty_list(
    workspace: Workspace, runs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(workspace, capsys, "runs", "--state", "finised")
    assert "unknown state 'finised'; did you mean 'finished'?; known states: queued, " in told
    assert "unknown kind 'foo'; known kinds: train_denoiser, " in refused(workspace, capsys, "runs", "--kind", "foo")
    assert main(["runs", "--kind", "certify", "--state", "failed", "-w", str(workspace.root)]) == 0
    assert "no runs of kind certify in state failed" in capsys.readouterr().out
    assert main(["runs", "--kind", "evaluate", "-w", str(workspace.root)]) == 0
    assert "e1" in capsys.readouterr().out


def test_export_names_the_kinds_that_it_takes(
    workspace: Workspace, runs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "x.npz"
    told = refused(workspace, capsys, "export", "small judge", str(target))
    assert "run 'small judge' is of kind train_classifier; export takes " in told
    assert "runs of kind generate or import_images" in told and not target.exists()


def test_a_run_is_not_compared_with_itself(
    workspace: Workspace, runs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "'e1' is the same run twice" in refused(workspace, capsys, "compare", "e1", "e1")
    told = refused(workspace, capsys, "compare", "small set", "e1", runs["e1"])
    assert f"'e1' and '{runs['e1']}' are the same run twice" in told


def test_a_word_too_many_is_no_field(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(workspace, capsys, "run", "train_denoiser", "steps=5")
    assert "'steps=5' is one word too many; a field is set with --set steps=5" in told


@pytest.mark.parametrize("odd", ["{id} (1)", "my run", "über", "a..b", "x" * 200])
def test_a_file_with_an_odd_name_hides_no_other_run(
    workspace: Workspace, runs: dict[str, str], odd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = odd.format(id=runs["small model"])
    shutil.copy(workspace.run_path(runs["small model"]), workspace.runs_folder / f"{name}.h5")
    assert main(["runs", "--json", "-w", str(workspace.root)]) == 0
    listed = {run["run_id"]: run["file"] for run in json.loads(capsys.readouterr().out)}
    assert listed.keys() == {*runs.values(), name}
    assert all(Path(file).is_file() for file in listed.values())
