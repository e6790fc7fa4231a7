"""Kinds of job: difrob's own in their order, those of packages, and what is wrong with some of these."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from support.input_runs import recorded
from support.outside_kind import ENTRY, SPEC, find_anew, put_package

from difrob import words
from difrob.cli.common import resolve_inputs
from difrob.errors import UserError
from difrob.inputs.facts import InputFacts
from difrob.inputs.fitting import check_inputs
from difrob.runs import Workspace
from difrob.specs import (
    KINDS,
    DataSpec,
    EvaluateSpec,
    GenerateSpec,
    JobSpec,
    TrainClassifierSpec,
    kinds_holding,
    parse_spec,
    run_kinds,
    spec_class,
    trains,
    walk_fields,
)
from difrob.specs.base import folded_groups
from difrob.specs.classifier_runs import as_classifier_run, classifier_run
from difrob.specs.denoiser_runs import as_denoiser_run, denoiser_run
from difrob.specs.takes import CLASSIFIER, DENOISER, LABELLED_IMAGES
from difrob.worker.job_function import job_function

ONCE = "; 'difrob doctor' lists the kinds of other packages"


def test_the_kinds_of_difrob_are_found_in_their_order() -> None:
    assert list(KINDS)[:3] == ["train_denoiser", "generate", "train_classifier"] and "paint" not in KINDS
    assert [spec.place for spec in KINDS.values()] == sorted({spec.place for spec in KINDS.values()})
    assert KINDS["train_classifier"] is TrainClassifierSpec and len(KINDS) == len(list(KINDS))


@pytest.mark.parametrize("kind", KINDS)
def test_a_specification_tells_all_of_its_kind(kind: str) -> None:
    spec = KINDS[kind]
    assert spec.noun and spec.title and spec.summary.endswith(".") and words.kind_icon(kind) == spec.icon
    assert Path(*spec.job.partition(":")[0].split(".")).with_suffix(".py").is_file()


def test_what_runs_hold_is_asked_of_their_kind() -> None:
    assert kinds_holding(CLASSIFIER) == ("train_classifier",)
    assert kinds_holding(DENOISER) == ("train_denoiser", "import_denoiser")
    assert kinds_holding(LABELLED_IMAGES) == ("generate", "import_images")
    assert [kind for kind in KINDS if trains(kind)] == ["train_denoiser", "train_classifier"] and not trains("paint")


def test_groups_are_folded_by_their_parts() -> None:
    groups = {"Augmentation", "Alignment", "Compute", "Memory"}
    assert folded_groups(KINDS["train_classifier"]) == groups and folded_groups(KINDS["evaluate"]) == set()


class FineTunedSpec(TrainClassifierSpec):
    kind: Literal["fine_tuned"] = "fine_tuned"  # type: ignore[assignment]


class BareSpec(JobSpec):
    holds = CLASSIFIER
    kind: Literal["bare"] = "bare"


def test_a_later_kind_that_holds_a_classifier_is_taken_as_one() -> None:
    tuned = FineTunedSpec(data=DataSpec(dataset="digits"))
    assert classifier_run(tuned, "a") is tuned and as_denoiser_run(tuned) is None
    assert as_classifier_run(BareSpec()) is None and as_classifier_run(None) is None
    with pytest.raises(UserError, match="hold a classifier, but their specification does not describe it"):
        classifier_run(BareSpec(), "a")
    with pytest.raises(
        UserError, match="run 'a' is of kind 'bare'; a run of kind 'train_denoiser' or 'import_denoiser'"
    ):
        denoiser_run(BareSpec(), "a")


def test_its_runs_are_taken_by_fields_command_and_checks(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(KINDS), "_brought", {"fine_tuned": FineTunedSpec})
    fields = dict(walk_fields(EvaluateSpec))
    assert run_kinds(fields["classifier"]) == ("train_classifier", "fine_tuned") and run_kinds(fields["restarts"]) == ()
    state = {"image_shape": [1, 8, 8], "num_classes": 10}
    run_id = recorded(workspace, "tuned", {"kind": "fine_tuned"}, state=state)
    assert resolve_inputs(workspace, {"classifier": "tuned"}, EvaluateSpec) == {"classifier": run_id}
    network = InputFacts(workspace).network(run_id)
    assert network is not None and (network.image_shape, network.num_classes) == ((1, 8, 8), 10)
    assert check_inputs(workspace, EvaluateSpec(classifier=run_id)) == []


def test_a_file_in_place_of_a_run_is_told_how_it_becomes_one(workspace: Workspace) -> None:
    with pytest.raises(
        UserError, match="'difrob run import_denoiser --set path=a.pkl --set data.dataset=DATA --name NAME'"
    ):
        resolve_inputs(workspace, {"denoiser": "a.pkl"}, GenerateSpec)
    with pytest.raises(UserError, match="'difrob run import_images --set paths=a.npz --name NAME'"):
        resolve_inputs(workspace, {"generated": "a.npz"}, TrainClassifierSpec)
    with pytest.raises(UserError, match="takes a run of kind train_classifier, not a file or folder like 'a.pth'"):
        resolve_inputs(workspace, {"classifier": "a.pth"}, EvaluateSpec)


class TestFromOutside:
    def test_a_package_brings_a_kind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put_package(tmp_path, ENTRY.replace("brightness", "glow"), spec=SPEC.replace("brightness", "glow"), name="glow")
        find_anew(tmp_path, monkeypatch)
        assert list(KINDS)[-1] == "glow" and words.kind_word("glow") == "Brightness"
        (kind,) = KINDS.outside
        assert (kind.package, kind.problem) == ("glow 1.0", "") and kind.spec is KINDS["glow"]
        spec = parse_spec({"kind": "glow", "images": 5})
        assert job_function(spec).__module__ == "glow.job"

    @pytest.mark.parametrize(
        ("entry", "spec", "why"),
        [
            (
                ENTRY,
                "import not_there",
                "its specification 'NAME.spec:BrightnessSpec' cannot be imported (ModuleNotFoundError:",
            ),
            (ENTRY, "1 +", "cannot be imported (SyntaxError:"),
            (ENTRY.replace("Spec", "Specs"), SPEC, "cannot be imported (AttributeError:"),
            (ENTRY, "BrightnessSpec = 3", "'NAME.spec:BrightnessSpec' is no difrob.specs.JobSpec"),
            (ENTRY, SPEC.replace('    job = "brightness.job:run"\n', ""), "names no function in 'job'"),
            (ENTRY, SPEC.replace('"brightness"', '"gloom"'), "calls itself 'gloom'"),
            (ENTRY.replace("brightness =", "generate ="), SPEC, "there is one of this name by difrob itself"),
        ],
    )
    def test_one_that_is_broken_is_named_once_and_left_out(
        self, entry: str, spec: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        name = f"broken{abs(hash((entry, spec)))}"  # what was imported once is not read again
        put_package(tmp_path, entry.replace("brightness.", f"{name}."), spec=spec, name=name)
        find_anew(tmp_path, monkeypatch)
        own = [kind for kind in KINDS if KINDS[kind].__module__.startswith("difrob.")]
        with caplog.at_level(logging.WARNING):
            assert list(KINDS) == own and list(KINDS) == own
        (line,) = caplog.messages
        assert (
            why.replace("NAME", name) in line and f"of package {name} 1.0 is left out: " in line and line.endswith(ONCE)
        )
        assert "\n" not in line
        if "generate" not in entry:
            with pytest.raises(UserError, match="unknown job kind 'brightness'.*is left out: "):
                spec_class("brightness")

    def test_of_two_packages_with_one_kind_the_first_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        for name in ("dusk", "dawn"):
            put_package(tmp_path, ENTRY.replace("brightness.", f"{name}."), name=name)
        find_anew(tmp_path, monkeypatch)
        assert len([kind for kind in KINDS if kind == "brightness"]) == 1
        (line,) = caplog.messages
        assert "there is one of this name by package d" in line

    def test_damaged_notes_of_a_package_cost_only_the_kinds_from_outside(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        put_package(tmp_path, "[difrob.kinds]\nno equals sign here\n", name="damaged")
        find_anew(tmp_path, monkeypatch)
        assert "generate" in KINDS and "paint" not in KINDS
        assert len(caplog.messages) <= 1 and all("cannot be read" in line for line in caplog.messages)

    def test_a_specification_that_imports_torch_is_too_heavy_for_a_window(self, tmp_path: Path) -> None:
        put_package(tmp_path, spec=f"import torch\n{SPEC}")
        (tmp_path / "torch.py").write_text("")
        script = "from difrob.specs import KINDS; print('brightness' in KINDS)"
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
        assert process.stdout.strip() == "False" and "imports torch, which belongs into the module" in process.stderr
        assert process.stderr.startswith("difrob: the kind 'brightness' of package brightness 1.0 is left out: ")

    def test_a_function_that_is_not_there_is_named(self) -> None:
        class Lost(TrainClassifierSpec):
            job = "difrob.jobs.nowhere:run"

        with pytest.raises(UserError, match="the function 'difrob.jobs.nowhere:run' of kind 'train_classifier'"):
            job_function(Lost())

    def test_nobody_asks_the_packages_for_the_first_help(self) -> None:
        script = (
            "import sys, difrob.cli; difrob.cli.main(['--help']); from difrob.specs import KINDS; print(*vars(KINDS))"
        )
        process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert process.returncode == 0 and "outside" not in process.stdout.splitlines()[-1]
