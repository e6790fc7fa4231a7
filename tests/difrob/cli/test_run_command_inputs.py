"""What ``difrob run`` makes of names of runs, paths and fields before any work is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from difrob.cli import main
from difrob.cli.fields import allowed_values
from difrob.cli.run import build_spec, without_effect
from difrob.errors import UserError
from difrob.runs import RunState, Workspace, new_run_id
from difrob.runs.recorder import RunRecorder
from difrob.specs import KINDS, EvaluateSpec, GenerateSpec, parse_spec, value_at, walk_fields


def finished_run(workspace: Workspace, kind: str, name: str) -> str:
    """A run of this kind that did nothing."""
    run_id = new_run_id(kind, name)
    RunRecorder(workspace, run_id, parse_spec({"kind": kind, "name": name})).finish(RunState.FINISHED)
    return run_id


@pytest.fixture
def runs(workspace: Workspace) -> dict[str, str]:
    return {name: finished_run(workspace, kind, name) for name, kind in
            (("model", "train_denoiser"), ("judge", "train_classifier"))}  # fmt: skip


def test_runs_in_groups_are_found_by_name(workspace: Workspace, runs: dict[str, str]) -> None:
    fields = ["denoiser=model", "selection.judge=judge", "selection.keep_share=0.5"]
    spec = build_spec(workspace, "generate", None, fields, None, None)
    assert value_at(spec, "denoiser") == runs["model"] and value_at(spec, "selection.judge") == runs["judge"]
    fields = ["alignment.teacher=denoiser", "alignment.denoiser=model"]
    spec = build_spec(workspace, "train_classifier", None, fields, None, None)
    assert value_at(spec, "alignment.denoiser") == runs["model"]


@pytest.mark.parametrize(
    ("judge", "sentence"),
    [("nobody", "there is no run 'nobody'"), ("model", "'selection.judge' needs a run of kind train_classifier, but")],
)
def test_a_wrong_run_in_a_group_is_refused(
    workspace: Workspace, runs: dict[str, str], judge: str, sentence: str
) -> None:
    fields = ["denoiser=model", f"selection.judge={judge}"]
    with pytest.raises(UserError, match=sentence):
        build_spec(workspace, "generate", None, fields, None, None)


def test_paths_are_written_in_full(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    for name in ("a.npz", "b.npz"):
        np.savez(name, image=np.zeros((2, 8, 8, 1), np.uint8), label=np.arange(2))
    spec = build_spec(workspace, "import_denoiser", None, ["path=model", "data.dataset=digits"], None, None)
    assert value_at(spec, "path") == str(tmp_path / "model")
    paths = f'paths=["a.npz", "../{tmp_path.name}/b.npz"]'
    spec = build_spec(workspace, "import_images", None, [paths], None, None)
    assert value_at(spec, "paths") == (str(tmp_path / "a.npz"), str(tmp_path / "b.npz"))


def test_a_missing_path_is_refused_before_there_is_a_run(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["-w", str(workspace.root)]
    assert main(["run", "import_images", "--set", "paths=a.npz,b.npz", *place]) == 2
    told = capsys.readouterr().err
    assert "'paths': there is no file or folder" in told and 'paths=["A", "B"]' in told
    assert main(["run", "import_denoiser", "--set", "path=no,where", "--set", "data.dataset=digits", *place]) == 2
    assert capsys.readouterr().err.rstrip().endswith("no,where'")
    assert workspace.summaries() == []


def test_a_field_without_effect_is_named() -> None:
    spec = parse_spec({"kind": "generate", "denoiser": "x", "eta": 1.0})
    assert without_effect(spec, {"eta"}) == ["'eta' has no effect while sampler = heun"]
    assert without_effect(spec, set()) == [] and without_effect(spec, {"churn"}) == []
    ddim = parse_spec({"kind": "generate", "denoiser": "x", "eta": 1.0, "sampler": "ddim"})
    assert without_effect(ddim, {"eta"}) == []
    assert len(without_effect(ddim, {"churn"})) == 1


def test_fields_name_choices_limits_and_the_defaults_that_hold(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = dict(walk_fields(EvaluateSpec))
    assert allowed_values(fields["attack.norm"]) == "One of: linf, l2."
    assert allowed_values(fields["losses"]).startswith("One or more of: cross_entropy, margin.")
    assert allowed_values(fields["sanity_checks"]) == ""
    sampler = dict(walk_fields(GenerateSpec))["sampler"]
    assert allowed_values(sampler) == "", "its description names them all"
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["run", "evaluate", "--fields"]) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["attack.steps"][1] == str(EvaluateSpec(classifier="x").attack.steps)
    assert lines["losses"][1] == "cross_entropy,margin" and lines["eps_grid"][1] == "(none)"


@pytest.mark.parametrize("kind", KINDS)
def test_default_lists_can_be_typed_as_they_are_shown(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", kind, "--fields"]) == 0
    assert "('" not in capsys.readouterr().out
