"""Quantities of trainings: of classifiers and of diffusion models."""

from __future__ import annotations

from difrob.quantities.quantity import SHARE, SHARE_DIFFERENCE, Better, Place, Quantity
from difrob.quantities.registry import declare

WILSON = "Wilson 95 %"
STUDENT = "Student t 95 %"
NEWCOMBE = "Newcombe 95 %"


def _accuracy(name: str, title: str, label: str, order: int, rank: int) -> Quantity:
    return Quantity(
        name, title, SHARE, Better.UP, label=label, chart="accuracy", place=Place.ACCURACY, order=order, rank=rank,
        interval=WILSON,
    )  # fmt: skip


def _loss(name: str, title: str, label: str, order: int, *, rank: int = 70, interval: str = "") -> Quantity:
    return Quantity(
        name, title, better=Better.DOWN, label=label, chart="loss", place=Place.LOSS, order=order, rank=rank,
        interval=interval,
    )  # fmt: skip


def _part(name: str, title: str, label: str) -> Quantity:
    return Quantity(
        name, title, better=Better.DOWN, label=label, chart="loss_parts", place=Place.LOSS, order=200, rank=80
    )


def _technical(name: str, title: str, unit: str = "", order: int = 100) -> Quantity:
    return Quantity(name, title, unit, place=Place.TECHNICAL, order=order, rank=None)


declare(
    # Accuracies along the training, the first colours to what matters most.
    _accuracy("validation/robust_accuracy", "robust accuracy (validation)", "robust, validation", 10, 10),
    _accuracy("validation/clean_accuracy", "clean accuracy (validation)", "clean, validation", 30, 30),
    _accuracy("validation/noisy_accuracy", "noisy accuracy (validation)", "noisy, validation", 40, 40),
    _accuracy("train/robust_accuracy", "robust accuracy (train)", "robust, train", 50, 50),
    Quantity(
        "robust_generalisation_gap", "robust generalisation gap", SHARE_DIFFERENCE, Better.DOWN, interval=NEWCOMBE
    ),
    Quantity("robust_overfitting", "robust overfitting", SHARE_DIFFERENCE, Better.DOWN, interval=NEWCOMBE),
    Quantity(
        "train/attack_success",
        "attack success (train)",
        SHARE,
        Better.DOWN,
        label="attack success, train",
        chart="shares",
        place=Place.SHARES,
        interval=WILSON,
    ),
    # Losses.
    _loss("validation/loss", "loss (validation)", "loss, validation", 10, rank=65, interval=STUDENT),
    _loss("loss", "loss", "loss", 20),
    _loss("train/loss", "loss (train)", "loss, train", 30, interval=STUDENT),
    _part("loss/clean", "clean part of the loss", "clean part"),
    _part("loss/robust", "robust part of the loss", "robust part"),
    _part("loss/alignment", "alignment part of the loss", "alignment part"),
    _part("loss/sigma_{band}", "loss at {band} noise", "sigma {band} part"),
    # In units of its own: beside the parts of the loss its curve would be flat, or theirs.
    Quantity("loss/penalty", "penalty of the regulariser", better=Better.DOWN, rank=85),
    Quantity("alignment/cosine", "cosine to the teacher's features", better=Better.UP, rank=85),
    # How the optimiser does.
    _technical("gradient_norm", "gradient norm", order=10),
    _technical("learning_rate", "learning rate", order=20),
    _technical("momentum", "momentum", order=30),
    _technical("distance_to_average", "distance to the weight average", order=40),
    _technical("images_per_second", "images per second", "images / s", order=50),
    # Curves of one moment.
    Quantity(
        "validation/robust_accuracy_by_class",
        "robust accuracy by class",
        SHARE,
        Better.UP,
        place=Place.MOMENT,
        interval=WILSON,
    ),
    Quantity(
        "train/attack_success_by_step",
        "attack success by step",
        SHARE,
        Better.DOWN,
        place=Place.MOMENT,
        interval=WILSON,
    ),
    # Final numbers of a classifier.
    Quantity(
        "best_validation_robust_accuracy", "best validation robust accuracy", SHARE, Better.UP, rank=5, interval=WILSON
    ),
    Quantity(
        "best_validation_clean_accuracy", "best validation clean accuracy", SHARE, Better.UP, rank=31, interval=WILSON
    ),
    Quantity(
        "best_validation_noisy_accuracy", "best validation noisy accuracy", SHARE, Better.UP, rank=4, interval=WILSON
    ),
    Quantity("best_train_robust_accuracy", "best train robust accuracy", SHARE, Better.UP, interval=WILSON),
    Quantity("last_validation_robust_accuracy", "last validation robust accuracy", SHARE, Better.UP, interval=WILSON),
    Quantity("last_train_robust_accuracy", "last train robust accuracy", SHARE, Better.UP, interval=WILSON),
    Quantity("best_step", "best step", "steps"),
    # Final numbers of a diffusion model; the unit of its loss depends on the parameterisation.
    Quantity("validation_loss", "validation loss", better=Better.DOWN, rank=60, interval=STUDENT),
    Quantity("training_images", "training images", "images"),
    # Of drawn points against the distribution that they should come from. Near to the centres is no merit: a model that
    # has collapsed onto them is nearest of all.
    Quantity("off_support_rms", "distance off the support, rms", "unit of the points", Better.DOWN),
    Quantity("projection_psnr", "projection PSNR", "dB", Better.UP),
    Quantity("principal_angle", "principal angle", "degrees", Better.DOWN),
    Quantity("centre_distance_rms", "distance to the centres, rms", "unit of the points"),
    Quantity("stray_share", "share of stray points", SHARE, Better.DOWN, interval=WILSON),
    Quantity("smallest_mode_share", "share of the rarest mode", SHARE),
    Quantity("relative_spread", "relative spread"),
)
