"""Which metrics share a chart, and in which order charts stand."""

from __future__ import annotations

import numpy as np
from support.gui_fakes import summary
from support.icon_names import icon_names

from difrob.quantities import quantity_of
from difrob.runs import FeedUpdate, Series
from difrob.specs import KINDS
from difrob.words import kind_icon, kind_word
from difrob_gui.charts.ticks import Scale
from difrob_gui.models.chart_plans import ChartPlan, plan_charts
from difrob_gui.models.run_data import RunData

TRAINING = [
    "loss", "loss/clean", "gradient_norm", "loss/robust", "train/attack_success", "learning_rate",
    "validation/clean_accuracy", "validation/robust_accuracy", "train/robust_accuracy",
]  # fmt: skip


def plans_of(names: list[str]) -> list[ChartPlan]:
    return plan_charts([quantity_of(name) for name in names])


def test_a_training_run_gets_the_charts_that_a_person_would_draw() -> None:
    plans = plans_of(TRAINING)
    assert [plan.title for plan in plans] == [
        "Accuracy",
        "Loss",
        "Attack success (train)",
        "Gradient norm",
        "Learning rate",
    ]
    accuracy, loss, *_ = plans
    assert accuracy.names == ("validation/robust_accuracy", "validation/clean_accuracy", "train/robust_accuracy")
    assert accuracy.scale is Scale.SHARE and loss.scale is Scale.NUMBER
    assert loss.names == ("loss", "loss/clean", "loss/robust")


def test_no_metric_is_lost_or_drawn_twice() -> None:
    names = [*TRAINING, "images_per_second", "a/b/odd", "odd", "validation/loss", "abstentions"]
    planned = [name for plan in plans_of(names) for name in plan.names]
    assert sorted(planned) == sorted(names)


def test_many_losses_are_split_into_whole_and_parts() -> None:
    names = ["loss", "loss/sigma_low", "loss/sigma_mid", "loss/sigma_high", "train/loss", "validation/loss"]
    plans = {plan.title: plan.names for plan in plans_of(names)}
    assert plans == {
        "Loss": ("validation/loss", "loss", "train/loss"),
        "Parts of the loss": ("loss/sigma_high", "loss/sigma_low", "loss/sigma_mid"),
    }


def test_nothing_makes_no_charts() -> None:
    assert plans_of([]) == []


def test_the_file_knows_better_than_the_declaration() -> None:
    columns = [np.array([1]), np.array([0.0]), np.array([0.1]), np.array([0.05]), np.array([0.2])]
    run = RunData("run")
    run.apply(FeedUpdate(summary("run"), metrics={"abstentions": Series(*columns, interval="Clopper-Pearson 95 %")}))
    assert run.interval("abstentions") == "Clopper-Pearson 95 %" and run.interval("validation/loss") == "Student t 95 %"
    run.apply(FeedUpdate(summary("run"), metrics={"abstentions": Series(*columns)}))
    assert run.interval("abstentions") == "Clopper-Pearson 95 %"


def test_the_penalty_of_a_regulariser_has_a_chart_of_its_own() -> None:
    names = ["loss", "validation/loss", "loss/sigma_low", "loss/sigma_mid", "loss/sigma_high", "loss/penalty",
             "distance_to_average", "frechet_distance", "momentum", "learning_rate"]  # fmt: skip
    charts = {plan.key: plan for plan in plans_of(names)}
    assert charts["loss"].names == ("validation/loss", "loss")
    assert "loss/penalty" not in charts["loss_parts"].names
    assert charts["loss/penalty"].title == "Penalty of the regulariser"
    assert charts["frechet_distance"].title == "Fréchet distance"
    assert list(charts)[-3:] == ["learning_rate", "momentum", "distance_to_average"]


def test_every_kind_has_a_word_and_an_icon_of_its_own() -> None:
    assert len({kind_word(kind) for kind in KINDS}) == len({kind_icon(kind) for kind in KINDS}) == len(KINDS)
    assert all(kind_icon(kind) in icon_names() for kind in KINDS)
    assert not [kind for kind in KINDS if kind_icon(kind) == "spec"], "the icon of kinds that nobody has thought of"


def test_features_have_charts_of_their_own_behind_how_training_goes() -> None:
    names = ["features/high_frequency_share", "features/effective_rank", "train/attack_success", "robust_generalisation_gap",
             "loss", "learning_rate"]  # fmt: skip
    assert [plan.names for plan in plans_of(names)] == [
        ("loss",), ("train/attack_success",), ("robust_generalisation_gap",), ("features/effective_rank",),
        ("features/high_frequency_share",), ("learning_rate",),
    ]  # fmt: skip


def test_the_cosine_of_an_alignment_has_a_chart_beside_its_loss() -> None:
    names = ["loss", "loss/clean", "loss/robust", "loss/alignment", "alignment/cosine", "learning_rate"]
    charts = {plan.key: plan for plan in plans_of(names)}
    assert charts["loss_parts"].names == ("loss/alignment", "loss/clean", "loss/robust")
    assert (
        charts["alignment/cosine"].names == ("alignment/cosine",) and charts["alignment/cosine"].scale is Scale.NUMBER
    )
    assert charts["alignment/cosine"].title == "Cosine to the teacher's features"
