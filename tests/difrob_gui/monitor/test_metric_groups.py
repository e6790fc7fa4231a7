"""Which metrics share a chart, and how they are called."""

from __future__ import annotations

import numpy as np
import pytest
from support.gui_fakes import summary

from difrob.runs import FeedUpdate, Series
from difrob.specs import KINDS
from difrob.words import kind_icon, kind_word
from difrob_gui.charts.ticks import Scale
from difrob_gui.icons import icon_names
from difrob_gui.models.metric_groups import full_name, interval_of, label_of, plan_charts, words
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
        ("features/effective_rank", "effective rank, features", "Effective rank"),
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


def test_the_penalty_of_a_regulariser_has_a_chart_of_its_own() -> None:
    names = ["loss", "validation/loss", "loss/sigma_low", "loss/sigma_mid", "loss/sigma_high", "loss/penalty",
             "distance_to_average", "frechet_distance", "momentum", "learning_rate"]  # fmt: skip
    charts = {plan.key: plan for plan in plan_charts(names)}
    assert charts["loss"].names == ("validation/loss", "loss")
    assert "loss/penalty" not in charts["loss parts"].names
    assert charts["loss/penalty"].title == "Penalty of the regulariser"
    assert label_of("loss/penalty") == "penalty of the regulariser"
    assert charts["frechet_distance"].title == "Fréchet distance"
    assert list(charts)[-3:] == ["learning_rate", "momentum", "distance_to_average"]


def test_names_that_say_too_little_are_put_into_words() -> None:
    assert words("off_support_rms") == "Distance off the support, rms"
    assert words("distance_to_average") == "Distance to the weight average"
    assert words("check/rmse_of_clean") == "RMSE of clean"


def test_every_kind_has_a_word_and_an_icon_of_its_own() -> None:
    assert len({kind_word(kind) for kind in KINDS}) == len({kind_icon(kind) for kind in KINDS}) == len(KINDS)
    assert all(kind_icon(kind) in icon_names() for kind in KINDS)
    assert not [kind for kind in KINDS if kind_icon(kind) == "spec"], "the icon of kinds that nobody has thought of"


def test_features_have_charts_of_their_own_behind_how_training_goes() -> None:
    names = ["features/high_frequency_share", "features/effective_rank", "train/attack_success", "robust_generalisation_gap",
             "loss", "learning_rate"]  # fmt: skip
    assert [plan.names for plan in plan_charts(names)] == [
        ("loss",), ("train/attack_success",), ("robust_generalisation_gap",), ("features/effective_rank",),
        ("features/high_frequency_share",), ("learning_rate",),
    ]  # fmt: skip


def test_the_cosine_of_an_alignment_has_a_chart_beside_its_loss() -> None:
    names = ["loss", "loss/clean", "loss/robust", "loss/alignment", "alignment/cosine", "learning_rate"]
    charts = {plan.key: plan for plan in plan_charts(names)}
    assert charts["loss parts"].names == ("loss/alignment", "loss/clean", "loss/robust")
    assert charts["cosine"].names == ("alignment/cosine",) and charts["cosine"].scale is Scale.NUMBER
    assert charts["cosine"].title == "Cosine to the teacher's features"
    assert label_of("alignment/cosine") == "cosine to the teacher's features"
    assert full_name("alignment/cosine") == charts["cosine"].title, "the place behind it would be cut in a narrow chart"
