"""Which metrics share a chart, and how they are called."""

from __future__ import annotations

import numpy as np
import pytest
from support.gui_fakes import summary

from difrob.runs import FeedUpdate, Series
from difrob_gui.charts.ticks import Scale
from difrob_gui.models.metric_groups import full_name, interval_of, label_of, plan_charts
from difrob_gui.models.run_data import RunData

TRAINING = [
    "loss", "loss/clean", "gradient_norm", "loss/robust", "train/attack_success", "learning_rate",
    "validation/clean_accuracy", "validation/robust_accuracy", "train/robust_accuracy",
]  # fmt: skip


def test_a_training_run_gets_the_charts_that_a_person_would_draw() -> None:
    plans = plan_charts(TRAINING)
    assert [plan.title for plan in plans] == ["Accuracy", "Loss", "Shares", "Gradient norm", "Learning rate"]
    accuracy, loss, *_ = plans
    assert accuracy.names == ("validation/robust_accuracy", "validation/clean_accuracy", "train/robust_accuracy")
    assert accuracy.scale is Scale.SHARE and loss.scale is Scale.NUMBER
    assert loss.names == ("loss", "loss/clean", "loss/robust")


def test_no_metric_is_lost_or_drawn_twice() -> None:
    names = [*TRAINING, "images_per_second", "a/b/odd", "odd", "validation/loss", "abstentions"]
    planned = [name for plan in plan_charts(names) for name in plan.names]
    assert sorted(planned) == sorted(names)


def test_many_losses_are_split_into_whole_and_parts() -> None:
    names = ["loss", "loss/sigma_low", "loss/sigma_mid", "loss/sigma_high", "train/loss", "validation/loss"]
    plans = {plan.title: plan.names for plan in plan_charts(names)}
    assert plans == {
        "Loss": ("validation/loss", "loss", "train/loss"),
        "Parts of the loss": ("loss/sigma_high", "loss/sigma_low", "loss/sigma_mid"),
    }


def test_what_ends_alike_shares_a_chart() -> None:
    plans = {plan.key: plan.names for plan in plan_charts(["train/entropy", "validation/entropy"])}
    assert set(plans["entropy"]) == {"train/entropy", "validation/entropy"}


@pytest.mark.parametrize(
    ("name", "label", "full"),
    [
        ("validation/robust_accuracy", "robust, validation", "Robust accuracy (validation)"),
        ("loss", "loss", "Loss"),
        ("loss/clean", "clean part", "Clean (loss)"),
        ("gradient_norm", "gradient norm", "Gradient norm"),
        ("robust_accuracy", "robust", "Robust accuracy"),
    ],
)
def test_names(name: str, label: str, full: str) -> None:
    assert (label_of(name), full_name(name)) == (label, full)


def test_bands_are_named_for_what_they_are() -> None:
    assert interval_of("validation/robust_accuracy") == "Wilson 95 %"
    assert interval_of("validation/loss") == "Student t 95 %"


def test_nothing_makes_no_charts() -> None:
    assert plan_charts([]) == []


def test_the_file_knows_better_than_the_name() -> None:
    columns = [np.array([1]), np.array([0.0]), np.array([0.1]), np.array([0.05]), np.array([0.2])]
    run = RunData("run")
    run.apply(FeedUpdate(summary("run"), metrics={"abstentions": Series(*columns, interval="Clopper-Pearson 95 %")}))
    assert run.interval("abstentions") == "Clopper-Pearson 95 %" and run.interval("loss") == "Student t 95 %"
    run.apply(FeedUpdate(summary("run"), metrics={"abstentions": Series(*columns)}))
    assert run.interval("abstentions") == "Clopper-Pearson 95 %"
