"""``difrob run`` refuses inputs that do not fit with exit code 2, and leaves no run behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.input_runs import a_denoiser, a_set, add_images

from difrob.cli import main
from difrob.cli.run import build_spec
from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.specs import load_preset, parse_spec

ALL = np.arange(20) % 10


def refused(workspace: Workspace, capsys: pytest.CaptureFixture[str], kind: str, *fields: str) -> str:
    """What is told of a command that must leave the workspace as it was."""
    before = [summary.run_id for summary in workspace.summaries()]
    command = ["run", kind, "-w", str(workspace.root), *(part for field in fields for part in ("--set", field))]
    assert main(command) == 2
    assert [summary.run_id for summary in workspace.summaries()] == before
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told


def test_a_set_a_block_and_a_teacher_that_do_not_fit(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    a_denoiser(workspace, "model")
    a_denoiser(workspace, "large", (1, 16, 16))
    a_set(workspace, "colours", ALL, (8, 8, 3))
    a_set(workspace, "half", np.arange(5))
    told = refused(workspace, capsys, "train_classifier", "generated=colours")
    assert told.startswith("difrob: 'generated': generated set 'colours' has images of 8 x 8 x 3")
    assert "5 of the 10 classes" in refused(workspace, capsys, "train_classifier", "generated=half")
    teacher = ("alignment.teacher=denoiser", "alignment.denoiser=model", "alignment.block=middle")
    assert "'alignment.block': this denoiser has no block" in refused(workspace, capsys, "train_classifier", *teacher)
    told = refused(workspace, capsys, "train_classifier", *teacher[:1], "alignment.denoiser=large", "generated=half")
    assert "'generated': " in told and "; 'alignment.denoiser': " in told


def test_data_sets_that_cannot_be_learnt_from(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    add_images(workspace, "bare", np.arange(40) % 4, validation=0)
    add_images(workspace, "holes", np.concatenate([np.arange(40) % 4, [5] * 10]))
    told = refused(workspace, capsys, "train_classifier", "data.dataset=bare")
    assert "no split 'validation'" in told and "--validation 4" in told
    assert "no training image of 1 of its 6 classes (4)" in refused(
        workspace, capsys, "train_classifier", "data.dataset=holes"
    )


def test_a_weight_without_a_teacher_is_refused_only_where_it_was_asked_for(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(workspace, capsys, "train_classifier", "alignment.weight=1")
    assert told == (
        "difrob: alignment.weight = 1 needs a teacher: set alignment.teacher and its run, alignment.denoiser or "
        "alignment.classifier\n"
    )
    spec = build_spec(workspace, "train_classifier", None, ["alignment.weight=0"], None, None)
    assert "no effect" in capsys.readouterr().err
    assert parse_spec(spec.model_dump(mode="json")) == spec, "a record holds the weight all the same"
    stored = build_spec(workspace, "train_classifier", None, [], None, None).model_dump(mode="json")
    assert stored["alignment"]["weight"] == 1.0 and parse_spec(stored).model_dump(mode="json") == stored


@pytest.mark.parametrize("name", ["x.npz", "made/x", "x.h5"])
def test_a_file_in_the_place_of_a_set_names_the_import(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    told = refused(workspace, capsys, "train_classifier", f"generated={name}")
    assert f"there is no run '{name}'" in told
    assert f"'difrob run import_images --set paths={name} --name NAME', then --set generated=NAME" in told


def test_a_file_in_the_place_of_other_runs(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(workspace, capsys, "generate", "denoiser=edm.pkl")
    assert "'difrob run import_denoiser --set path=edm.pkl --set data.dataset=DATA --name NAME'" in told
    assert "import" not in refused(workspace, capsys, "evaluate", "classifier=model.pt"), "there is no such import"
    assert "import" not in refused(workspace, capsys, "train_classifier", "generated=plain-name")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert "import_denoiser --set path=folder" in refused(workspace, capsys, "generate", "denoiser=folder")


def test_the_named_import_is_a_command_that_works(workspace: Workspace, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", image=np.zeros((20, 8, 8, 1), np.uint8), label=ALL)
    place = ["-w", str(workspace.root)]
    assert main(["run", "import_images", "--set", f"paths={tmp_path / 'x.npz'}", "--name", "brought", *place]) == 0
    spec = build_spec(workspace, "train_classifier", None, ["generated=brought"], None, None)
    assert spec.model_dump()["generated"] == workspace.find("brought")


def test_a_share_that_was_asked_for_but_has_no_set_is_told(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = "note: no generated set is given: all images are real ones, generated_fraction = 0.7 has no effect"
    add_images(workspace, "cifar10", np.arange(40) % 4, flips=True)
    assert load_preset("wang-cifar10-wrn-28-10", "train_classifier").spec["generated_fraction"] == 0.7
    build_spec(workspace, "train_classifier", "wang-cifar10-wrn-28-10", [], None, None)
    assert sentence in capsys.readouterr().err
    build_spec(workspace, "train_classifier", None, ["generated_fraction=0.7"], None, None)
    assert sentence in capsys.readouterr().err
    build_spec(workspace, "train_classifier", None, [], None, None)
    assert capsys.readouterr().err == ""


def test_a_wrong_name_of_a_run_is_still_told_as_such(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="there is no run 'nobody' in '[^']*'; 'difrob runs' lists them$"):
        build_spec(workspace, "train_classifier", None, ["generated=nobody"], None, None)
