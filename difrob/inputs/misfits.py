"""Why inputs do not fit a job, in words: one sentence that names both sides and the mend, or "" where they fit.

Asked before a run exists by :mod:`difrob.inputs.fitting`, of what is on record, and by the jobs, of what they have opened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from difrob.errors import UserError
from difrob.runs.datasets import DataSetRecord
from difrob.specs import GenerateSpec, TrainClassifierSpec, default_at

if TYPE_CHECKING:
    import numpy as np

NAMED = 10  # so many classes are told by name


def refuse(*sentences: str) -> None:
    """Raise UserError with the first sentence that is not empty; none is raised where all fit."""
    for sentence in sentences:
        if sentence:
            raise UserError(sentence)


def missing_split(record: DataSetRecord, split: str) -> str:
    """Why a data set cannot give a split; validation images are made when a data set is added."""
    if split in record.splits:
        return ""
    sentence = f"data set '{record.name}' has no split '{split}'; it has: {', '.join(record.splits)}"
    if split != "validation" or "train" not in record.splits:
        return sentence
    count = max(1, record.splits["train"].images // 10)
    return (
        f"{sentence}. Hold some training images out: 'difrob data rm {record.name}', then 'difrob data add "
        f"{record.source_path or 'PATH'} --name {record.name} --validation {count}'"
    )


def empty_classes(record: DataSetRecord) -> str:
    """Why no classifier can learn all classes of a data set: it has no training image of some."""
    counts = record.splits["train"].per_class if "train" in record.splits else []
    absent = [name for name, count in zip(record.class_names, counts, strict=False) if count == 0]
    if not absent:
        return ""
    named = f"{', '.join(absent[:NAMED])}{', ...' if len(absent) > NAMED else ''}"
    return (
        f"data set '{record.name}' has no training image of {len(absent)} of its {record.num_classes} classes ({named}), "
        f"which no classifier can learn then; add images of them to its files, or add it anew with the other classes alone: "
        f"'difrob data rm {record.name}', then 'difrob data add {record.source_path or 'PATH'} --name {record.name} "
        "--classes' and their names"
    )


def generated_set(
    run_id: str,
    dtype: np.dtype,
    shape: Sequence[int],
    labels: np.ndarray,
    *,
    real: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
) -> str:
    """Why a generated set cannot be mixed with the real images of a data set.

    Args:
        run_id: of the run that holds it.
        dtype: type of its images.
        shape: of its images, [N, H, W, C].
        labels: its labels, [N].
        real: name of the data set.
        image_shape: (C, H, W) of the real images.
        num_classes: K of the data set.
    """
    import numpy as np  # not above: a window and a listing of fields know this module, and may never judge a set

    name = f"generated set '{run_id}'"
    channels, height, width = image_shape
    if dtype != np.uint8 or len(shape) != 4 or shape[0] != len(labels) or len(labels) == 0:
        return (
            f"{name} holds {dtype} images of shape {list(shape)} and {len(labels)} labels; "
            "uint8 [N, height, width, channels] with one label each is needed: generate it anew"
        )
    if tuple(shape[1:]) != (height, width, channels):
        theirs, ours = (" x ".join(map(str, edges)) for edges in (shape[1:], (height, width, channels)))
        return (
            f"{name} has images of {theirs} (height x width x channels), '{real}' has {ours}; "
            "choose a set that was generated for this data"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= num_classes:
        return (
            f"{name} has labels {labels.min()}..{labels.max()} of type {labels.dtype}, '{real}' has classes "
            f"0..{num_classes - 1}; choose a set that was generated for this data"
        )
    absent = np.flatnonzero(np.bincount(labels, minlength=num_classes) == 0)
    if len(absent):
        return (
            f"{name} holds {num_classes - len(absent)} of the {num_classes} classes of '{real}' "
            f"(no image of {', '.join(map(str, absent))}); generate a set with all classes"
        )
    return ""


def too_many(field: str, wanted: int | None, available: int, of_what: str) -> str:
    """Why a number of images cannot be met.

    Args:
        field: of the specification that asks for them.
        wanted: how many; None for all.
        available: how many there are.
        of_what: e.g. ``training images of 'digits'``.
    """
    if wanted is None or wanted <= available:
        return ""
    return f"{field} = {wanted} is more than the {available} {of_what}; lower it, or leave it empty for all"


def too_large_subset(train_size: int | None, available: int, data_set: str) -> str:
    """Why a data set cannot give as many training images as its subset is to have."""
    return too_many("train_size", train_size, available, f"training images of '{data_set}'")


def too_large_part(images: int | None, available: int, split: str, data_set: str) -> str:
    """Why a split cannot give as many images as are looked at."""
    return too_many("images", images, available, f"images of the {split} split of '{data_set}'")


def too_many_learnt_from(train_images: int | None, available: int, run_id: str) -> str:
    """Why there are not as many of the training images that a network learnt from."""
    return too_many("train_images", train_images, available, f"images that '{run_id}' learnt from")


def too_many_measured(images: int | None, available: int, generated: str) -> str:
    """Why a generated or imported set cannot give as many images as are measured."""
    return too_many("images", images, available, f"in the set '{generated}'")


def too_many_references(reference_images: int | None, available: int, split: str, data_set: str) -> str:
    """Why a split cannot give as many real images as a set is measured against."""
    return too_many("reference_images", reference_images, available, f"in the {split} images of '{data_set}'")


def mirrored(record: DataSetRecord, flips: bool) -> str:
    """Why the images of a data set cannot be mirrored."""
    if not flips or (record.flips and not record.is_points):
        return ""
    if record.is_points:
        return f"'{record.name}' holds points, which have no mirror images; switch flips off"
    return (
        f"'{record.name}' says that its mirror images do not show the same; switch flips off, or add the data set with "
        "--flips"
    )


def shifted(image_shape: tuple[int, int, int], padding: int, cutout: int) -> str:
    """Why images (C, H, W) cannot be shifted by so many pixels, or lose a square of this side."""
    _, height, width = image_shape
    if max(padding, cutout) < min(height, width):
        return ""
    return f"images of {height}x{width} pixels cannot be shifted by {padding} or lose a square of {cutout}"


def missing_patch(data_set: str, image_shape: tuple[int, int, int], patch: int) -> str:
    """Why images (C, H, W), or points, cannot have a square of this side blanked."""
    _, height, width = image_shape
    if height == 1 and width == 1:
        return f"'{data_set}' holds points, which have no pixels to blank; choose noise or outliers"
    if patch > min(height, width):
        return (
            f"a missing patch of {patch} pixels does not fit images of {height}x{width} pixels; give at most "
            f"{min(height, width)}"
        )
    return ""


def schedule_grid(denoiser: str, grid: str, sampling_steps: int, schedule_steps: int) -> str:
    """Why a denoiser cannot be sampled at the noise levels of a schedule.

    Args:
        denoiser: its run.
        grid: ``auto``, ``karras`` or ``schedule``.
        sampling_steps: how many levels are stepped through.
        schedule_steps: how many its own schedule has; 0 for an EDM, which has none.
    """
    if grid == "karras" or (grid == "auto" and schedule_steps == 0):
        return ""
    if schedule_steps == 0:
        return (
            f"grid = 'schedule' takes the noise levels of a DDPM, but '{denoiser}' is an EDM; choose 'karras' or 'auto'"
        )
    if sampling_steps > schedule_steps:
        return (
            f"sampling_steps = {sampling_steps} is more than the {schedule_steps} steps of the schedule that '{denoiser}' was "
            "trained with; lower it, or choose grid = 'karras'"
        )
    return ""


def class_shares(weights: Sequence[float], num_classes: int) -> str:
    """Why numbers cannot be the shares of K classes; none at all stand for even shares."""
    if len(weights) == 0 or (len(weights) == num_classes and min(weights) >= 0 and sum(weights) > 0):
        return ""
    return f"class_weights = {tuple(weights)} must be {num_classes} numbers, one per class, not negative and not all 0"


def network_images(
    what: str, run_id: str, theirs: tuple[int, int, int] | None, ours: tuple[int, int, int] | None
) -> str:
    """Why a network is not for such images, both (C, H, W); None where a shape is not known.

    Args:
        what: ``denoiser`` or ``classifier``.
        run_id: of its run.
        theirs: what it was trained on.
        ours: what it is to see.
    """
    if theirs is None or ours is None or tuple(theirs) == tuple(ours):
        return ""
    theirs_said, ours_said = (" x ".join(map(str, shape)) for shape in (theirs, ours))
    return (
        f"{what} '{run_id}' is for images of {theirs_said}, here they have {ours_said} (channels x height x width); choose one "
        "that was trained on this data"
    )


def classless_teacher(run_id: str, class_conditional: bool | None, label_dropout: float) -> str:
    """Why the features of a denoiser cannot be read without the class of the image."""
    if not class_conditional or label_dropout > 0:
        return ""
    return (
        f"denoiser '{run_id}' was trained with label_dropout = 0 and has no null class; with the class of each image its "
        "features would be a code of the label: train one with label_dropout = 0.1, or without classes"
    )


def null_class(run_id: str, class_conditional: bool | None, label_dropout: float) -> str:
    """Why a denoiser cannot work where the class must not, or need not, be given."""
    if not class_conditional or label_dropout > 0:
        return ""
    return (
        f"denoiser '{run_id}' was trained with label_dropout = 0 and cannot work without a class, which guidance "
        "and denoised smoothing need; train one with label_dropout = 0.1"
    )


def unknown_block(block: str, names: Sequence[str]) -> str:
    """Why a block of a denoiser cannot be read; "" stands for the one in the middle, which every denoiser has."""
    return "" if not block or block in names else f"this denoiser has no block '{block}'; it has {', '.join(names)}"


def generation(spec: GenerateSpec, class_conditional: bool | None, label_dropout: float) -> str:
    """Why a denoiser of images cannot give the labelled images that are asked for."""
    if class_conditional is None:
        return ""
    is_conditional = class_conditional and label_dropout < 1
    if spec.labels == "condition" and not is_conditional:
        return (
            f"denoiser '{spec.denoiser}' was trained without classes, but the class it is given is the label of the "
            "image; choose one trained with class_conditional = true and label_dropout below 1, or labels = judge"
        )
    if spec.guidance_scale == 1:
        return ""
    if not is_conditional:
        return f"denoiser '{spec.denoiser}' knows no classes to guide to; leave guidance_scale at 1"
    return null_class(spec.denoiser, class_conditional, label_dropout)


def drawn_points(denoiser: str, data_set: str) -> str:
    """Why nothing can be generated for training: the denoiser learnt from a toy distribution."""
    return f"denoiser '{denoiser}' draws points of '{data_set}', not images; its own run measures them"


def judged_classes(judge: str, theirs: int | None, ours: int | None) -> str:
    """Why a classifier cannot judge what a denoiser draws; the number of classes of either is None where not known."""
    if theirs is None or not ours or ours == theirs:
        return ""
    return f"judge '{judge}' knows {theirs} classes, the denoiser {ours}; choose a classifier of the same data"


def measured_against(generated: str, data_set: str | None, learnt_from: str | None) -> str:
    """Why it cannot be told which real images a set is to be measured against.

    Args:
        generated: run of the set.
        data_set: what the specification names; None for nothing.
        learnt_from: what the denoiser that drew the set learnt from; None for an imported set.
    """
    if learnt_from is None and not data_set:
        return (
            f"the set '{generated}' was imported, which does not tell the real images that it is to be measured "
            "against; name their data set in 'dataset'"
        )
    if learnt_from is not None and data_set and data_set != learnt_from:
        return (
            f"the set '{generated}' was drawn by a denoiser that learnt from '{learnt_from}', not from '{data_set}'; leave "
            "'dataset' empty, which is for imported sets"
        )
    return ""


def idle_mixture(spec: TrainClassifierSpec) -> str:
    """What the share of generated images does not do in a training; "" where it does what it says."""
    share = f"generated_fraction = {spec.generated_fraction:g}"
    if not spec.generated_sets and spec.generated_fraction > 0:
        return f"no generated set is given: all images are real ones, {share} has no effect"
    if spec.generated_sets and spec.generated_fraction == 0:
        return f"{share}: no image of the generated sets that are given is used, all images are real ones"
    images = spec.batch_size // max(spec.augmentation.cutmix, 1)
    if spec.generated_sets and generated_per_batch(images, spec.generated_fraction) == 0:
        return (
            f"{share} of a batch of {images} is less than one image: no image of the generated sets that are given is used, "
            "all images are real ones"
        )
    return ""


def generated_per_batch(images: int, fraction: float) -> int:
    """How many of the images of a batch are generated ones: floor(images * fraction)."""
    # 0.29 * 100 is 28.999999999999996 in binary; such a product means 29.
    return math.floor(images * fraction + 1e-9)


def is_default_mixture(spec: TrainClassifierSpec) -> bool:
    """Whether the share of generated images is what it is where nobody says anything about it."""
    return bool(spec.generated_fraction == default_at(TrainClassifierSpec, "generated_fraction"))
