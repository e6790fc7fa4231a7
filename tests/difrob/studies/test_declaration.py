"""Declarations of studies: read, refused with a reason, and resolved into runs that cells share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difrob.errors import UserError
from difrob.specs import EvaluateSpec, TrainClassifierSpec
from difrob.studies.declaration import find_study, flat, nested, parse_study, read_study, shipped_studies
from difrob.studies.plan import plan_study


def values(**changes: Any) -> dict[str, Any]:
    base = {
        "name": "small", "title": "A small one", "claim": "It works.", "seeds": [0, 1],
        "stages": {
            "classifier": {"kind": "train_classifier", "spec": {"steps": 5, "data.train_size": 50}},
            "judge": {"kind": "train_classifier", "spec": {"steps": 3, "seed": 7}},
            "attacked": {"kind": "evaluate", "spec": {"classifier": "@classifier", "seed": 0}},
            "judged": {"kind": "evaluate", "spec": {"classifier": "@judge"}},
        },
        "arms": {"plain": {"title": "plain", "level": 1},
                 "longer": {"title": "longer", "level": 2, "changes": {"classifier.steps": 9}}},
        "outcomes": {"robust": {"stage": "attacked", "result": "robust_accuracy"}},
        "decisions": [{"name": "longer is better", "test": "contrast", "outcome": "robust",
                       "weights": {"longer": 1, "plain": -1}, "expected": "positive", "primary": True}],
    }  # fmt: skip
    return {**base, **changes}


def test_cells_become_runs() -> None:
    plan = plan_study(parse_study(values(), "x"))
    assert len(plan.entries) == 8  # 2 arms x 2 seeds x (classifier, attacked); the judge is not needed by any outcome
    for seed in (0, 1):
        for arm, steps in (("plain", 5), ("longer", 9)):
            classifier = plan.entries[plan.cells[arm, seed, "classifier"]]
            attacked = plan.entries[plan.cells[arm, seed, "attacked"]]
            assert isinstance(classifier, TrainClassifierSpec) and isinstance(attacked, EvaluateSpec)
            assert (classifier.steps, classifier.seed, classifier.data.train_size) == (steps, seed, 50)
            assert attacked.classifier == plan.cells[arm, seed, "classifier"] and attacked.seed == 0
            assert classifier.name == f"small · classifier · {arm} · seed {seed}"
    order = list(plan.entries)
    for run_id, spec in plan.entries.items():
        if isinstance(spec, EvaluateSpec):
            assert order.index(spec.classifier) < order.index(run_id)
    requests = plan.requests()
    assert [request["run_id"] for request in requests] == order and json.dumps(requests)


def test_what_arms_and_seeds_have_in_common_is_run_once() -> None:
    outcomes = {"robust": {"stage": "attacked", "result": "robust_accuracy"},
                "judged": {"stage": "judged", "result": "clean_accuracy"}}  # fmt: skip
    arms = {"plain": {"title": "plain"}, "attack": {"title": "stronger", "changes": {"attacked.restarts": 3}}}
    plan = plan_study(parse_study(values(outcomes=outcomes, arms=arms, decisions=[]), "x"))
    judges = {plan.cells[arm, seed, "judge"] for arm in arms for seed in (0, 1)}
    classifiers = {plan.cells[arm, seed, "classifier"] for arm in arms for seed in (0, 1)}
    assert len(judges) == 1 and len(classifiers) == 2
    assert len({plan.cells[arm, seed, "attacked"] for arm in arms for seed in (0, 1)}) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"a": {"title": "a", "changes": {"oven.steps": 1}}}, "decisions": []},
         "'oven.steps', but there is no such stage"),
        ({"stages": {"s": {"kind": "evaluate", "spec": {"classifier": "@nobody"}}}, "arms": {"a": {"title": "a"}}},
         "'@nobody', but there is no such stage"),
        ({"outcomes": {"x": {"stage": "nowhere", "result": "y"}}}, "stage 'nowhere', which does not exist"),
        ({"outcomes": {"robust": {"stage": "attacked", "result": "y", "by_arm": {"gone": "z"}}}},
         "names a result for 'gone', which is no arm"),
        ({"decisions": [{"test": "contrast", "name": "d", "outcome": "robust", "weights": {"gone": 1}, "expected": "either"}]},
         "weighs 'gone', which is no arm"),
        ({"decisions": [{"test": "contrast", "name": "d", "outcome": "robust", "weights": {"plain": 0}, "expected": "either"}]},
         "weighs nothing"),
        ({"decisions": [{"test": "trend", "name": "d", "outcome": "robust", "along": "taste", "expected": "either"}]},
         "goes along 'taste'"),
        ({"arms": {"a": {"title": "a"}, "b": {"title": "b", "level": 1}},
          "decisions": [{"test": "trend", "name": "d", "outcome": "robust", "expected": "either"}]}, "not every arm has one"),
        ({"decisions": [{"test": "guess", "name": "d", "outcome": "robust"}]}, "decisions.0"),
        ({"seeds": []}, "seeds"),
        ({"flavour": 1}, "flavour"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match="study 'here'") as refused:
        parse_study(values(**changes), "here")
    assert message in str(refused.value)


def test_a_wrong_field_of_a_stage_names_arm_and_stage() -> None:
    arms = {"odd": {"title": "odd", "changes": {"classifier.stepz": 9}}}
    with pytest.raises(UserError, match="arm 'odd', stage 'classifier': unknown field 'stepz'"):
        plan_study(parse_study(values(arms=arms, decisions=[]), "x"))


def test_a_circle_is_refused() -> None:
    stages = {
        "a": {"kind": "generate", "spec": {"denoiser": "@b"}},
        "b": {"kind": "generate", "spec": {"denoiser": "@a"}},
    }
    outcomes = {"x": {"stage": "a", "result": "y"}}
    arms = {"one": {"title": "one"}}
    with pytest.raises(UserError, match="a -> b -> a refer to each other in a circle"):
        plan_study(parse_study(values(stages=stages, outcomes=outcomes, arms=arms, decisions=[]), "x"))


@pytest.mark.parametrize("study", shipped_studies(), ids=lambda study: study.name)
def test_every_shipped_study_can_be_planned_and_decides_something(study: Any) -> None:
    plan = plan_study(study)
    assert len(plan.entries) >= len(study.arms) and len(study.seeds) >= 3
    assert any(decision.primary for decision in study.decisions) and study.claim.endswith(".") and study.source
    assert all(len(spec.name) <= 80 for spec in plan.entries.values())


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({key: value for key, value in values().items() if key != "name"}))
    assert read_study(path).name == "mine" and find_study(str(path)).title == "A small one"
    path.write_text("[1]")
    with pytest.raises(UserError, match="holds no object"):
        read_study(path)
    path.write_text("{" * 100_000)
    with pytest.raises(UserError, match="is not a study"):
        read_study(path)
    path.write_bytes(b" " * 2_000_000)
    with pytest.raises(UserError, match="is larger than"):
        read_study(path)
    with pytest.raises(UserError, match="did you mean 'digits-generated-data'"):
        find_study("digits-generated-dat")
    with pytest.raises(UserError, match="cannot read study"):
        find_study(str(tmp_path / "none.json"))


@given(
    st.recursive(
        st.integers() | st.text(max_size=3),
        lambda inner: st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), inner, min_size=1, max_size=3),
        max_leaves=8,
    ).filter(lambda tree: isinstance(tree, dict))
)
def test_nesting_undoes_flattening(tree: dict[str, Any]) -> None:
    assert nested(flat(tree)) == tree
