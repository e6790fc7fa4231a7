"""What is asked before a run exists is registered by kind; kinds made from others and kinds of packages are asked, too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import pytest
from support.input_runs import a_classifier, recorded

from difrob.errors import UserError
from difrob.inputs.checks import fits, inputs_are_there, no_remarks, remarks
from difrob.inputs.facts import InputFacts
from difrob.inputs.fitting import check_against
from difrob.runs import Workspace
from difrob.specs import GenerateSpec, JobSpec, TrainClassifierSpec, parameter
from difrob.specs.takes import CLASSIFIER, run_holding

CHECKS = """
from difrob.inputs.checks import fits
from look_kinds import FarLookSpec

@fits(FarLookSpec)
def check(spec, facts):
    yield "looked_at", "it is too dark"
"""


class FineTunedSpec(TrainClassifierSpec):
    kind: Literal["fine_tuned"] = "fine_tuned"  # type: ignore[assignment]


class LookSpec(JobSpec):
    kind: Literal["look"] = "look"
    looked_at: str | None = parameter(None, "A classifier.", takes=run_holding(CLASSIFIER))


class FarLookSpec(LookSpec):
    input_checks = ("far_look",)


def test_a_kind_made_from_another_is_asked_the_same() -> None:
    assert fits.of(FineTunedSpec) is fits.of(TrainClassifierSpec) is not fits.of(GenerateSpec)
    assert remarks.of(FineTunedSpec) is remarks.of(TrainClassifierSpec)
    assert fits.of(LookSpec) is inputs_are_there and remarks.of(LookSpec) is no_remarks


def test_without_checks_of_its_own_a_kind_needs_networks_with_weights(workspace: Workspace) -> None:
    whole, empty = a_classifier(workspace, "whole"), recorded(workspace, "empty", {"kind": "train_classifier"})
    facts = InputFacts(workspace)
    assert check_against(facts, LookSpec()) == check_against(facts, LookSpec(looked_at=whole)) == []
    (problem,) = check_against(facts, LookSpec(looked_at=empty))
    assert problem.field == "looked_at" and "'empty'" in problem.sentence


def test_a_package_registers_its_own_in_a_module_that_is_imported_when_asked(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far_look.py").write_text(CHECKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "look_kinds", sys.modules[__name__])
    (problem,) = check_against(InputFacts(workspace), FarLookSpec())
    assert (problem.field, problem.sentence) == ("looked_at", "it is too dark")
    assert check_against(InputFacts(workspace), LookSpec()) == []


def test_a_weight_without_a_teacher_is_refused_only_where_it_was_asked_for() -> None:
    say, spec = remarks.of(TrainClassifierSpec), TrainClassifierSpec()
    assert list(say(spec, set(), {"alignment.weight"})) == []
    with pytest.raises(UserError, match="alignment.weight = 1 needs a teacher"):
        list(say(spec, {"alignment.weight"}, {"alignment.weight"}))
    assert list(say(spec, set(), {"steps"})) == []
    (idle,) = say(spec, set(), {"generated_fraction"})
    assert "generated_fraction = 0.7 has no effect" in idle
