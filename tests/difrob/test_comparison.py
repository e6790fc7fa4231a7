"""Like with like, differences, and who is best."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.gui_fakes import share, summary

from difrob.comparison import (
    MISSING,
    flatten,
    result_rows,
    shared_names,
    spec_differences,
    unlike_conditions,
    warning_text,
    without,
)
from difrob.quantities.earlier import parted
from difrob.runs import Measure, RunState, RunSummary


def said(text: str) -> dict[str, Any]:
    """What a record of before conditions were data says in prose, as it is read today."""
    description, conditions = parted(text, "")
    return {"description": description, "conditions": conditions}


def evaluation(run_id: str, results: dict[str, Measure] | None = None, **spec) -> RunSummary:
    known = {"classifier": "c", "attack": {"norm": "linf", "eps": 0.15, "steps": 40}, "restarts": 2, "split": "test"}
    return summary(run_id, "evaluate", RunState.FINISHED, results=results or {}, spec={**known, **spec})


def certificate(run_id: str, **spec) -> RunSummary:
    return summary(run_id, "certify", RunState.FINISHED, spec={"classifier": "c", "sigma": 0.25, **spec})


def attack(**fields) -> dict:
    return {"norm": "linf", "eps": 0.15, "steps": 40, **fields}


@pytest.mark.parametrize(
    ("change", "title", "values"),
    [
        ({"attack": attack(eps=0.1)}, "eps", ["0.15", "0.1"]),
        ({"attack": attack(norm="l2")}, "norm", ["linf", "l2"]),
        ({"attack": attack(steps=10)}, "attack steps", ["40", "10"]),
        ({"attack": attack(step_size=0.01)}, "step size", ["eps/4 (linf) or 2.5 eps/steps (l2)", "0.01"]),
        ({"attack": attack(random_start=False)}, "random start", ["yes", "no"]),
        ({"restarts": 5}, "restarts", ["2", "5"]),
        ({"split": "validation"}, "split", ["test", "validation"]),
        ({"images": 100}, "images", ["all", "100"]),
        ({"losses": ["margin"]}, "attack losses", ["cross_entropy, margin", "margin"]),
    ],
)
def test_each_condition_of_an_evaluation_is_guarded(change: dict, title: str, values: list[str]) -> None:
    unlike = unlike_conditions([evaluation("a"), evaluation("b", **change)])
    assert [(item.title, list(item.values.values())) for item in unlike] == [(title, values)]
    assert f"{title} ({values[0]} · {values[1]})" in warning_text(unlike)


@pytest.mark.parametrize(
    ("field", "value"),
    [("sigma", 0.5), ("n0", 10), ("n", 10_000), ("alpha", 0.01), ("split", "validation"), ("images", 50)],
)
def test_each_condition_of_a_certification_is_guarded(field: str, value: object) -> None:
    unlike = unlike_conditions([certificate("a"), certificate("b", **{field: value})])
    assert [item.path for item in unlike] == [field]


def test_what_a_model_from_elsewhere_was_checked_on_is_a_condition() -> None:
    models = [
        summary(data, "import_denoiser", RunState.FINISHED, spec={"path": "a.pkl", "data": {"dataset": data}})
        for data in ("digits", "mnist")
    ]
    assert [item.sentence for item in unlike_conditions(models)] == ["data set (digits · mnist)"]


def test_like_compares_with_like_whatever_else_differs() -> None:
    alike = [
        evaluation("a", classifier="c1", weights="best"),
        evaluation("b", classifier="c2", weights="last", batch_size=7),
    ]
    assert unlike_conditions(alike) == []
    assert warning_text([]) == ""


def test_a_default_written_out_is_no_difference() -> None:
    written = evaluation("a", restarts=2, losses=["cross_entropy", "margin"])
    silent = summary("b", "evaluate", RunState.FINISHED, spec={"classifier": "c", "attack": attack()})
    assert unlike_conditions([written, silent]) == []


def test_runs_of_different_kinds_are_judged_apart() -> None:
    runs = [
        evaluation("a"),
        certificate("b"),
        certificate("c", sigma=0.5),
        summary("g", "generate", spec={"denoiser": "d"}),
    ]
    unlike = unlike_conditions(runs)
    assert {item.kind for item in unlike} == {"certify"}
    assert warning_text(unlike) == "Certification runs differ in sigma (0.25 · 0.5). Their numbers do not compare."


def test_an_old_record_that_cannot_be_read_still_compares() -> None:
    odd = summary("a", "evaluate", spec={"classifier": "c", "attack": attack(), "long_gone": 3})
    unlike = unlike_conditions([odd, evaluation("b", attack=attack(eps=0.3))])
    assert any(item.title == "eps" for item in unlike)


def measurement(run_id: str, frechet: str, **spec) -> RunSummary:
    results = {"frechet_distance": Measure(0.4, 0.3, 0.5, 400, **said(frechet))}
    return summary(run_id, "measure", RunState.FINISHED, results=results, spec={"generated": "g", **spec})


DISTANCE = "Fréchet distance; generated: 400 images; reference: 600 test images; features: pca (ab12), 32 features"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("400 images", "5,000 images"), "generated (400 images · 5,000 images)"),
        (("600 test", "1,000 train"), "reference (600 test images · 1,000 train images)"),
        (("ab12", "cd34"), "features (pca (ab12), 32 features · pca (cd34), 32 features)"),
        (("; features: pca (ab12), 32 features", ""), f"features (pca (ab12), 32 features · {MISSING})"),
    ],
)
def test_distances_of_other_sizes_or_features_raise_the_banner(change: tuple[str, str], sentence: str) -> None:
    runs = [measurement("a", DISTANCE), measurement("b", DISTANCE.replace(*change))]
    said = f"Measurement runs differ in {sentence}. Their numbers do not compare."
    assert warning_text(unlike_conditions(runs)) == said
    (row,) = result_rows(runs)
    assert not row.best and not row.tied


def test_equal_sizes_and_features_are_compared() -> None:
    worse = summary(
        "b", "measure", results={"frechet_distance": Measure(0.9, 0.8, 1.0, 400, **said(DISTANCE))},
        spec={"generated": "h"},
    )  # fmt: skip
    runs = [measurement("a", DISTANCE), worse]
    assert unlike_conditions(runs) == []
    assert result_rows(runs)[0].best == {"a"}
    assert [item.title for item in unlike_conditions([runs[0], measurement("c", DISTANCE, near_copy=0.1)])] == [
        "difference of near copies"
    ]


def scored(run_id: str, data_set: str, kind: str = "evaluate", value: float = 0.5) -> RunSummary:
    spec = {"classifier": run_id, "sigma": 0.25} if kind == "certify" else {"classifier": run_id}
    described = "unattacked, 50 test images" + (f"; data set: {data_set}" if data_set else "")
    result = Measure(value, value - 0.01, value + 0.01, 50, unit="share", **said(described))
    return summary(run_id, kind, RunState.FINISHED, results={"clean_accuracy": result}, spec=spec)


@pytest.mark.parametrize("kind", ["evaluate", "certify"])
@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("digits (d15b1ecc2d01)", "cifar10 (0123456789ab)", False),
        ("digits (d15b1ecc2d01)", "digits (0123456789ab)", False),
        ("digits (d15b1ecc2d01)", "digits (d15b1ecc2d01)", True),
        ("mnist (d15b1ecc2d01)", "mnist-official (d15b1ecc2d01)", True),
        ("", "digits (d15b1ecc2d01)", True),
        ("", "", True),
    ],
)
def test_numbers_of_two_data_sets_are_never_alike(kind: str, first: str, second: str, alike: bool) -> None:
    runs = [scored("a", first, kind), scored("b", second, kind, 0.9)]
    unlike = unlike_conditions(runs)
    assert [(item.title, list(item.values.values())) for item in unlike] == (
        [] if alike else [("data set", [first, second])]
    )
    (row,) = result_rows(runs)
    assert row.best == ({"b"} if alike else frozenset())


def test_among_runs_that_name_their_data_set_an_old_one_hides_no_difference() -> None:
    runs = [scored("a", ""), scored("b", "digits (d15b1ecc2d01)"), scored("c", "cifar10 (0123456789ab)")]
    (item,) = unlike_conditions(runs)
    assert item.title == "data set" and set(item.values) == {"b", "c"}


@pytest.mark.parametrize("kind", ["train_classifier", "train_denoiser"])
def test_a_data_set_that_the_specification_names_is_told_once(kind: str) -> None:
    def trained(run_id: str, name: str, described: str) -> RunSummary:
        result = Measure(0.5, **said(f"validation images; data set: {described}"))
        return summary(run_id, kind, results={"validation_loss": result}, spec={"data": {"dataset": name}})

    runs = [trained("a", "digits", "digits (d15b1ecc2d01)"), trained("b", "mnist", "mnist (0123456789ab)")]
    assert [(item.title, list(item.values.values())) for item in unlike_conditions(runs)] == [
        ("data set", ["digits", "mnist"])
    ]
    changed = [runs[1], trained("c", "mnist", "mnist (ba9876543210)")]
    assert [item.title for item in unlike_conditions(changed)] == ["data set"]


def test_what_a_check_found_is_no_condition() -> None:
    def checked(run_id: str, message: str) -> RunSummary:
        return evaluation(run_id, {"check/more_steps": Measure(1.0, n=90, unit="passed", description=message)})

    old = "6 steps leave 52.8% standing, 24 finer steps 40.0%; the attack has not converged: raise its steps"
    assert unlike_conditions([checked("a", old), checked("b", "6 steps leave 50.0 % standing")]) == []


def test_old_and_new_words_for_one_restart_are_alike() -> None:
    def described(run_id: str, words: str) -> RunSummary:
        return evaluation(run_id, {"robust_accuracy": share(0.5 if run_id == "a" else 0.9, **said(words))})

    runs = [described("a", "PGD, 1 restarts per loss"), described("b", "PGD, 1 restart per loss; data set: digits")]
    assert unlike_conditions(runs) == [] and result_rows(runs)[0].best == {"b"}


def test_a_condition_is_named_once_and_only_among_runs_that_have_the_result() -> None:
    other = DISTANCE.replace("400", "900")
    runs = [
        summary(name, "measure", results={"kernel_distance": Measure(1, **said(text)), "frechet_distance":
                Measure(1, **said(text))}, spec={"generated": "g"})
        for name, text in (("a", DISTANCE), ("b", other))
    ]  # fmt: skip
    assert [item.title for item in unlike_conditions(runs)] == ["generated"]
    silent = summary("c", "measure", results={"memorised_share": share(0.1)}, spec={"generated": "g"})
    assert unlike_conditions([runs[0], silent]) == []


def test_old_distances_that_state_nothing_must_rest_on_equally_many_images() -> None:
    runs = [
        summary(name, "generate", results={"frechet_distance": Measure(0.4, n=count, description="to 200 images")})
        for name, count in (("a", 2000), ("b", 500))
    ]
    said = "Generated set runs differ in images (2,000 · 500). Their numbers do not compare."
    assert warning_text(unlike_conditions(runs)) == said
    state = {"run": "m", "weights": "last", "step": 3, "finished": True, "digest": "ab"}
    stating = replace(runs[0].results["frechet_distance"], conditions={"inputs": {"denoiser": state}})
    runs[0] = replace(runs[0], results={"frechet_distance": stating})  # what it rests on says nothing of how many
    assert warning_text(unlike_conditions(runs)) == said


def test_flattening_keeps_order_and_paths() -> None:
    spec = {"a": 1, "b": {"c": None, "d": {"e": [1, 2.5]}}, "f": True, "g": []}
    assert flatten(spec) == {"a": "1", "b.c": "none", "b.d.e": "1, 2.5", "f": "yes", "g": "none"}


def test_differences_name_only_what_differs() -> None:
    specs = [evaluation("a").spec, evaluation("b", attack=attack(eps=0.1), seed=4).spec]
    differing = {row.path: row.values for row in spec_differences(specs) if row.differs}
    assert differing == {"seed": ("0", "4"), "attack.eps": ("0.15", "0.1")}
    everything = [row.path for row in spec_differences(specs)]
    assert "attack.norm" in everything and "restarts" in everything
    assert "name" not in everything and "version" not in everything


def test_a_field_that_another_kind_lacks_is_no_difference() -> None:
    rows = {row.path: row for row in spec_differences([evaluation("a").spec, certificate("b").spec])}
    assert rows["sigma"].values == (MISSING, "0.25") and not rows["sigma"].differs
    assert rows["kind"].differs


def names_of(row_names: frozenset[str]) -> set[str]:
    return set(row_names)


def test_the_best_and_those_that_cannot_be_told_from_it() -> None:
    runs = [
        evaluation("a", {"robust_accuracy": share(0.60)}),
        evaluation("b", {"robust_accuracy": share(0.58)}),
        evaluation("c", {"robust_accuracy": share(0.40)}),
    ]
    (row,) = result_rows(runs)
    assert names_of(row.best) == {"a"} and names_of(row.tied) == {"b"}


def test_smaller_is_better_for_losses_and_distances() -> None:
    runs = [
        summary(name, "generate", results={"frechet_distance": Measure(value)})
        for name, value in (("a", 3.0), ("b", 2.0))
    ]
    (row,) = result_rows(runs)
    assert names_of(row.best) == {"b"} and not row.tied


@pytest.mark.parametrize("change", [{"attack": attack(eps=0.1)}, {"images": 10}])
def test_nothing_is_best_among_unlike(change: dict) -> None:
    runs = [
        evaluation("a", {"robust_accuracy": share(0.6)}), evaluation("b", {"robust_accuracy": share(0.9)}, **change)
    ]  # fmt: skip
    (row,) = result_rows(runs)
    assert not row.best and not row.tied and set(row.measures) == {"a", "b"}


def test_nothing_is_best_across_kinds_alone_or_in_a_draw() -> None:
    accuracy = {"clean_accuracy": share(0.9)}
    across = [evaluation("a", accuracy), summary("b", "train_classifier", results={"clean_accuracy": share(0.8)})]
    alone = [evaluation("a", accuracy), evaluation("b")]
    draw = [evaluation("a", accuracy), evaluation("b", accuracy)]
    nan = [evaluation("a", accuracy), evaluation("b", {"clean_accuracy": Measure(float("nan"))})]
    for runs in (across, alone, draw, nan):
        assert all(not row.best for row in result_rows(runs))


def test_shared_names_are_those_of_two_runs_most_common_first() -> None:
    assert shared_names([["a", "b"], ["b", "c"], ["c", "b"]]) == ["b", "c"]
    assert shared_names([["a", "b"]]) == ["a", "b"]
    assert shared_names([]) == []


def test_what_does_not_fit_is_said() -> None:
    assert without("Loss", [True, False, False], ["a", "b", "c"]) == "Loss was not recorded by b, c."
    assert without("Loss", [True], ["a"]) == ""


def test_results_of_before_inputs_were_stated_are_not_unlike_for_that() -> None:
    state = {"run": "x", "weights": "best", "step": 3, "finished": True, "digest": "ab"}
    said = [{"inputs": {"classifier": state}}, {}, {"inputs": {"classifier": {**state, "step": 4, "digest": "cd"}}}]
    runs = [
        replace(evaluation(name), results={"clean_accuracy": Measure(0.5, conditions=conditions)})
        for name, conditions in zip("abc", said, strict=True)
    ]
    assert unlike_conditions(runs[:2]) == []
    assert [item.sentence for item in unlike_conditions(runs)] == [
        "inputs (classifier of step 3 (best weights) · classifier of step 4 (best weights))"
    ]
