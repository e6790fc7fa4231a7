"""Quantities of features: of analyses, of probes, and along a training.

Papers disagree on which way many of them are better, and several are best in between; only where it follows from the
definition does a direction stand here.
"""

from __future__ import annotations

from dataclasses import replace

from difrob.quantities.quantity import SHARE, Better, Place, Quantity
from difrob.quantities.registry import declare
from difrob.quantities.training import WILSON

FEATURES_IN_TRAINING = "numbers of features in training"
_BOOTSTRAP = "bootstrap over images 95 %, 1,000 resamples"


def _probe(name: str, title: str, rank: int | None) -> Quantity:
    return Quantity(name, title, SHARE, Better.UP, rank=rank, interval=WILSON)


OF_FEATURES = (
    Quantity("effective_rank", "effective rank", "directions"),
    Quantity("participation_ratio", "participation ratio", "directions"),
    Quantity("alignment_adversarial", "alignment adversarial", "squared length"),
    Quantity("uniformity", "uniformity", "nats"),
    Quantity("classification_dimension_{share}", "classification dimension {share}", "components"),
    Quantity("autoencoder_loss", "autoencoder loss", "share of variance", Better.DOWN, interval=_BOOTSTRAP),
    Quantity("high_frequency_share", "high frequency share", SHARE),
)

declare(
    *OF_FEATURES,
    Quantity(
        "classification_dimension_{share}_refitted", "classification dimension {share}, refitted head", "components"
    ),
    Quantity("alignment_class", "alignment class", "squared length"),
    Quantity("kernel_alignment", "kernel alignment"),
    Quantity("kernel_alignment_debiased", "kernel alignment, debiased"),
    # The same along a training: curves, and results of its last measurement, which stand for no run.
    *(replace(each, name=f"features/{each.name}", place=Place.FEATURES, rank=None) for each in OF_FEATURES),
    *(
        replace(
            each, name=f"features_{each.name}", title=f"features {each.title}", rank=None, concerns=FEATURES_IN_TRAINING
        )
        for each in OF_FEATURES
    ),
    Quantity("features/feature_spectrum", "feature spectrum", SHARE, narrow=True, place=Place.MOMENT),
    Quantity("feature_spectrum", "feature spectrum", SHARE, narrow=True, place=Place.RESULT),
    Quantity("gradient_spectrum", "gradient spectrum", SHARE, narrow=True, place=Place.RESULT),
    Quantity(
        "accuracy_over_components_{head}",
        "accuracy over components, {head} head",
        SHARE,
        Better.UP,
        place=Place.RESULT,
        interval=WILSON,
    ),
    # Linear probes: a choice that only some analyses make, so that other numbers stand for these.
    _probe("feature_probe_accuracy", "feature probe accuracy", None),
    _probe("feature_probe_robust_accuracy", "feature probe robust accuracy", None),
    _probe("teacher_probe_accuracy", "teacher probe accuracy", None),
    _probe("teacher_probe_robust_accuracy", "teacher probe robust accuracy", None),
    _probe("best_robust_probe_accuracy", "best robust probe accuracy", 20),
    _probe("best_clean_probe_accuracy", "best clean probe accuracy", 32),
    _probe("robust_probe_accuracy_of_best_clean", "robust probe accuracy of best clean", 33),
    _probe("{classifier}_clean_probe_accuracy", "{classifier} clean probe accuracy", 34),
    _probe("{classifier}_robust_probe_accuracy", "{classifier} robust probe accuracy", 34),
    Quantity("clean_probe_accuracy_{place}", "clean probe accuracy, {place}", SHARE, Better.UP, place=Place.RESULT),
    Quantity("robust_probe_accuracy_{place}", "robust probe accuracy, {place}", SHARE, Better.UP, place=Place.RESULT),
    Quantity("best_sigma", "best sigma", "[-1,1] range"),
    Quantity("best_robust_sigma", "best robust sigma", "[-1,1] range"),
)
