"""Quantities of generated and imported sets, of their measurement, and of imported diffusion models."""

from __future__ import annotations

from difrob.quantities.quantity import SHARE, Better, Place, Quantity
from difrob.quantities.registry import declare
from difrob.quantities.training import STUDENT, WILSON


def _share(name: str, title: str, better: Better, *, label: str = "", rank: int = 100) -> Quantity:
    return Quantity(
        name, title, SHARE, better, label=label, chart="shares", place=Place.SHARES, rank=rank, interval=WILSON
    )


declare(
    # How near a set is to real images; both rest on the sizes of the sets.
    Quantity(
        "frechet_distance",
        "Fréchet distance",
        "squared feature unit",
        Better.DOWN,
        rank=45,
        needs_equal_n=True,
        interval="delta method 95 %",
    ),
    Quantity(
        "kernel_distance",
        "kernel distance (KID)",
        "squared kernel unit",
        Better.DOWN,
        rank=55,
        needs_equal_n=True,
        interval=STUDENT,
    ),
    Quantity("precision", "precision", SHARE, Better.UP, interval=WILSON),
    Quantity("recall", "recall", SHARE, Better.UP, interval=WILSON),
    Quantity("density", "density", "balls / k", interval=STUDENT),
    Quantity("coverage", "coverage", SHARE, Better.UP, interval=WILSON),
    # Whether images show what their labels say.
    _share("label_agreement", "label agreement", Better.UP, rank=50),
    Quantity("label_agreement_class_{label}", "label agreement, class {label}", SHARE, Better.UP, interval=WILSON),
    Quantity(
        "label_agreement_by_class", "label agreement by class", SHARE, Better.UP, place=Place.RESULT, interval=WILSON
    ),
    Quantity("mean_confidence", "mean confidence", "probability", interval=STUDENT),
    # Memories and repetitions. The two kinds of exact copies are two quantities: of each other, and of what was learnt from
    # as well.
    _share("memorised_share", "memorised share", Better.DOWN),
    _share("near_copy_share", "share of near copies of training images", Better.DOWN),
    _share("exact_copy_share", "share of exact copies of training images or each other", Better.DOWN),
    _share("duplicate_share", "share of exact copies of each other", Better.DOWN),
    _share("near_duplicate_share", "share of near copies of each other", Better.DOWN),
    # 1 and 0.5 are right; both sides of them are wrong.
    Quantity("training_to_held_out_ratio", "distance to training / held-out images", "ratio"),
    Quantity("copying_probability", "copying probability", "probability", interval="DeLong 95 %"),
    Quantity(
        "distance_to_training_{set}",
        "distance to training, {set}",
        SHARE,
        place=Place.RESULT,
        interval="Wilson 95 %, pointwise",
    ),
    # How a set came to be. Many dropped images are neither good nor bad.
    Quantity("exact_duplicates_dropped", "exact duplicates dropped", "images"),
    Quantity("near_duplicates_dropped", "near duplicates dropped", "images"),
    Quantity("memories_dropped", "memories of training images dropped", "images"),
    Quantity("missing_images", "images missing", "images", Better.DOWN),
    Quantity("images", "images", "images", rank=90),
    Quantity("rarest_class", "images of the rarest class", "images"),
    # Imported diffusion models.
    Quantity("parameters", "parameters", "weights", rank=90),
    Quantity(
        "denoising_error_at_{sigma}",
        "denoising error at {sigma}",
        "[-1,1] range, squared",
        Better.DOWN,
        interval=STUDENT,
    ),
    Quantity(
        "denoising_error",
        "denoising error",
        "[-1,1] range, squared",
        Better.DOWN,
        log=True,
        place=Place.RESULT,
        interval=STUDENT,
    ),
    Quantity(
        "denoising_error_without_network",
        "denoising error without network",
        "[-1,1] range, squared",
        log=True,
        place=Place.RESULT,
    ),
)
