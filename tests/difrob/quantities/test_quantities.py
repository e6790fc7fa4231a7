"""What is measured is declared once, for all jobs."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from difrob.quantities import (
    CHARTS,
    SHARE,
    Better,
    Quantity,
    Scale,
    all_quantities,
    declare,
    declared_quantity,
    most_telling,
    quantity_of,
)


def test_a_name_has_one_definition() -> None:
    assert max(Counter(quantity.name for quantity in all_quantities()).values()) == 1
    with pytest.raises(ValueError, match="'precision' is declared already, as something else"):
        declare(Quantity("precision", "precision", "images"))
    declare(*all_quantities())  # the same once more is no contradiction


def test_no_two_quantities_of_one_chart_have_the_same_legend() -> None:
    for chart in CHARTS:
        legends = Counter(quantity.legend for quantity in all_quantities() if quantity.chart == chart)
        assert max(legends.values()) == 1, legends.most_common(1)


@pytest.mark.parametrize("quantity", all_quantities(), ids=lambda quantity: quantity.name)
def test_a_declaration_makes_sense(quantity: Quantity) -> None:
    assert quantity.title and not quantity.title[0].isspace()
    assert "_" not in quantity.title.replace("{", "").replace("}", "")
    assert not quantity.narrow or quantity.unit == SHARE
    assert not quantity.chart or quantity.chart in CHARTS
    assert set(Quantity(quantity.title, "x").holes) <= set(quantity.holes)


def test_an_unknown_chart_is_refused() -> None:
    with pytest.raises(ValueError, match="chart 'acuracy'; known: accuracy, loss"):
        declare(Quantity("a/new/one", "new one", chart="acuracy"))
    assert declared_quantity("a/new/one") is None


@pytest.mark.parametrize(
    ("name", "better"),
    [("robust_accuracy", "up"), ("robust_accuracy_margin", "up"), ("average_certified_radius", "up"),
     ("validation_loss", "down"), ("frechet_distance", "down"), ("memorised_share", "down"), ("abstentions", "down"),
     ("near_copy_share", "down"), ("duplicate_share", "down"), ("exact_copy_share", "down"), ("precision", "up"),
     ("label_agreement_class_3", "up"), ("density", "neither"), ("copying_probability", "neither"),
     ("training_to_held_out_ratio", "neither"), ("best_step", "neither"), ("training_images", "neither"),
     # A collapsed distribution is nearest to the centres, and dropping many images is no fault.
     ("centre_distance_rms", "neither"), ("near_duplicates_dropped", "neither"), ("exact_duplicates_dropped", "neither"),
     ("robust_generalisation_gap", "down"), ("train/attack_success", "down"), ("projection_psnr", "up"),
     ("check/more_steps_are_not_weaker", "neither"), ("nobody/has_declared", "neither")],
)  # fmt: skip
def test_directions(name: str, better: str) -> None:
    assert quantity_of(name).better == better


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("certified_accuracy_at_0.25", "certified accuracy at 0.25"),
        ("corruption/gaussian_noise_accuracy", "accuracy under gaussian noise"),
        ("corruption/fog_accuracy_over_severity", "accuracy under fog over severity"),
        ("classification_dimension_95", "classification dimension 95"),
        ("classification_dimension_95_refitted", "classification dimension 95, refitted head"),
        ("robust_accuracy_over_eps", "robust accuracy over eps"),  # no loss is called over_eps
        ("loss/sigma_low", "loss at low noise"),
        ("off_support_rms", "distance off the support, rms"),
        ("distance_to_average", "distance to the weight average"),
        ("frechet_distance", "Fréchet distance"),
        ("validation/robust_accuracy", "robust accuracy (validation)"),
    ],
)
def test_a_family_is_declared_once_and_named_for_each_member(name: str, title: str) -> None:
    quantity = declared_quantity(name)
    assert quantity is not None and (quantity.name, quantity.title) == (name, title)


def test_two_kinds_of_exact_copies_are_two_quantities() -> None:
    assert quantity_of("duplicate_share").title != quantity_of("exact_copy_share").title


def test_shares_are_drawn_in_per_cent_everywhere() -> None:
    assert quantity_of("certified_accuracy").scale is Scale.SHARE
    assert quantity_of("train/attack_success_by_step").scale is Scale.SHARE
    assert quantity_of("distance_to_training_generated").scale is Scale.SHARE
    assert quantity_of("feature_spectrum").scale is Scale.PART
    assert quantity_of("robust_overfitting").scale is Scale.POINTS
    assert quantity_of("denoising_error").scale is Scale.LOG


def test_a_record_of_an_undeclared_quantity_explains_itself() -> None:
    stated = SimpleNamespace(title="clean margin", unit="share", better="up")
    quantity = quantity_of("newer/clean_margin", stated)
    assert (quantity.title, quantity.unit, quantity.better) == ("clean margin", "share", Better.UP)
    assert quantity.scale is Scale.SHARE
    nothing = SimpleNamespace(title="", unit="", better="sideways")
    assert quantity_of("newer/clean_margin", nothing).title == "newer, clean margin"
    assert quantity_of("newer/clean_margin", nothing).better is Better.NEITHER


def test_of_a_declared_one_only_the_unit_may_be_the_records_own() -> None:
    stated = SimpleNamespace(title="something else", unit="EDM loss", better="up")
    quantity = quantity_of("validation_loss", stated)
    assert (quantity.title, quantity.unit, quantity.better) == ("validation loss", "EDM loss", Better.DOWN)


def test_robust_before_clean_before_the_rest() -> None:
    assert most_telling(["loss", "clean_accuracy", "robust_accuracy"]) == "robust_accuracy"
    assert most_telling(["clean_accuracy", "average_certified_radius"]) == "average_certified_radius"
    assert most_telling(["x"]) == "x" and most_telling([]) is None
    assert most_telling(["x", "robust_accuracy_margin", "best_validation_robust_accuracy"]) == (
        "best_validation_robust_accuracy"
    )
    # What is told of features while a classifier learns stands for no run; its accuracies are to come.
    assert most_telling(["features_effective_rank", "features_autoencoder_loss", "check/x", "learning_rate"]) is None
    assert most_telling(["features_autoencoder_loss", "loss"]) == "loss"
