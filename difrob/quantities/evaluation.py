"""Quantities of evaluations under attack, under common corruptions, and of certification."""

from __future__ import annotations

from difrob.quantities.quantity import PASSED, SHARE, Better, Place, Quantity
from difrob.quantities.registry import declare
from difrob.quantities.training import STUDENT, WILSON

CLOPPER_PEARSON = "Clopper-Pearson 95 %"


def _accuracy(
    name: str, title: str, *, label: str = "", place: Place = Place.OTHER, chart: str = "", order: int = 100,
    rank: int = 100, interval: str = WILSON,
) -> Quantity:  # fmt: skip
    return Quantity(
        name, title, SHARE, Better.UP, label=label, place=place, chart=chart, order=order, rank=rank, interval=interval
    )


declare(
    _accuracy(
        "robust_accuracy", "robust accuracy", label="robust", place=Place.ACCURACY, chart="accuracy", order=20, rank=0
    ),
    _accuracy(
        "clean_accuracy", "clean accuracy", label="clean", place=Place.ACCURACY, chart="accuracy", order=35, rank=30
    ),
    _accuracy("robust_accuracy_{loss}", "robust accuracy, {loss} alone"),
    _accuracy("robust_accuracy_over_eps", "robust accuracy over eps", place=Place.RESULT),
    Quantity("check/{check}", "{check}", PASSED, rank=None),
    # Common corruptions.
    _accuracy("mean_corruption_accuracy", "mean corruption accuracy", interval=STUDENT),
    _accuracy("corruption/{corruption}_accuracy", "accuracy under {corruption}", interval=STUDENT),
    _accuracy(
        "mean_corruption_accuracy_over_severity",
        "mean corruption accuracy over severity",
        place=Place.RESULT,
        interval=STUDENT,
    ),
    _accuracy(
        "corruption/{corruption}_accuracy_over_severity",
        "accuracy under {corruption} over severity",
        place=Place.RESULT,
    ),
    # Randomised smoothing.
    _accuracy("certified_accuracy", "certified accuracy", place=Place.RESULT, interval=CLOPPER_PEARSON),
    _accuracy("certified_accuracy_at_{radius}", "certified accuracy at {radius}", interval=CLOPPER_PEARSON),
    _accuracy("smoothed_accuracy", "smoothed accuracy"),
    Quantity(
        "average_certified_radius",
        "average certified radius",
        "[0,1] intensity, l2",
        Better.UP,
        rank=15,
        interval=STUDENT,
    ),
    Quantity(
        "abstentions", "abstentions", SHARE, Better.DOWN, chart="shares", place=Place.SHARES, interval=CLOPPER_PEARSON
    ),
)
