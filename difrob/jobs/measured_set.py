"""What a measurement looks at: a generated set, the real images beside it, and a classifier that may judge it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from difrob.data import ImageSet, load_split
from difrob.data.splitting import balanced_order
from difrob.errors import UserError
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import InputRun, Recorder
from difrob.specs import (
    DataSpec,
    GenerateSpec,
    ImportDenoiserSpec,
    MeasureSpec,
    TrainDenoiserSpec,
    input_runs,
    parse_spec,
)
from difrob.training.loading import load_classifier


@dataclass(frozen=True)
class MeasuredSet:
    """A generated set beside real images of its kind.

    Attributes:
        run_id: the run that generated it.
        images: uint8 [n,H,W,C].
        labels: the classes that the images were conditioned on, int64 [n].
        index: numbers of the images in their run, int64 [n].
        training: the images that the denoiser learnt from.
        held_out: images that it has never seen; None where memorisation is not asked for.
        reference: real images that distances are measured against.
        denoiser: the run that generated them.
        data: what the denoiser was trained on.
    """

    run_id: str
    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    training: ImageSet
    held_out: ImageSet | None
    reference: ImageSet
    denoiser: str
    data: DataSpec

    def __len__(self) -> int:
        return len(self.images)


def open_set(spec: MeasureSpec, recorder: Recorder) -> MeasuredSet:
    """The set of the specification and the real images that its denoiser's data set offers.

    Raises:
        UserError: when the run is no generated set, is empty, or there are fewer images than asked for.
    """
    run = recorder.input_run(spec.generated)
    generation = parse_spec(run.spec)
    if not isinstance(generation, GenerateSpec):
        raise UserError(
            f"run '{spec.generated}' is of kind '{generation.kind}'; a run of kind 'generate' is needed here"
        )
    trained = parse_spec(recorder.input_run(generation.denoiser).spec)
    if not isinstance(trained, TrainDenoiserSpec | ImportDenoiserSpec):
        raise UserError(
            f"run '{generation.denoiser}', from which the set was drawn, is of kind '{trained.kind}' instead of "
            "'train_denoiser' or 'import_denoiser'; what it learnt from cannot be told"
        )
    images, labels, index = (run.array(f"samples/{column}") for column in ("images", "label", "index"))
    chosen = slice(_count(spec.images, len(images), "images", f"the set '{spec.generated}'"))
    training = load_split(recorder, trained.data, "train")
    if images.shape[1:] != training.images.shape[1:]:
        raise UserError(
            f"the set '{spec.generated}' has images of shape {list(images.shape[1:])}, the data set '{training.name}' of "
            f"{list(training.images.shape[1:])} (height, width, channels); they cannot be compared"
        )
    reference = training if spec.reference == "train" else load_split(recorder, trained.data, spec.reference)
    where = f"the {spec.reference} images of '{reference.name}'"
    count = _count(spec.reference_images, len(reference), "reference_images", where)
    held_out = load_split(recorder, trained.data, spec.held_out) if "memorisation" in spec.measures else None
    return MeasuredSet(
        run_id=spec.generated,
        images=images[chosen],
        labels=labels[chosen],
        index=index[chosen],
        training=training,
        held_out=held_out,
        reference=balanced_part(reference, count, spec.seed),
        denoiser=generation.denoiser,
        data=trained.data,
    )


def balanced_part(images: ImageSet, count: int, seed: int) -> ImageSet:
    """A class-balanced part of this size, in the order of the set; the set itself if it is no larger."""
    if count >= len(images):
        return images
    return images.take(np.sort(balanced_order(images.labels, seed)[:count]))


def open_classifier(
    spec: MeasureSpec, recorder: Recorder, measured: MeasuredSet, device: torch.device
) -> tuple[Classifier, str]:
    """The classifier of the specification, and how descriptions call it.

    Raises:
        UserError: when it is for other images, or is to judge labels that it has learnt from.
    """
    assert spec.classifier is not None
    run = recorder.input_run(spec.classifier)
    classifier, trained = load_classifier(run, spec.weights, device)
    channels, height, width = classifier.image_shape
    if (height, width, channels) != measured.images.shape[1:]:
        raise UserError(
            f"the classifier '{spec.classifier}' is for images of shape {[height, width, channels]}, the set "
            f"'{measured.run_id}' has {list(measured.images.shape[1:])} (height, width, channels); choose two that fit"
        )
    if "label_agreement" in spec.measures:
        if trained.data.dataset != measured.data.dataset or measured.labels.max() >= classifier.num_classes:
            raise UserError(
                f"the classifier '{spec.classifier}' knows {classifier.num_classes} classes of '{trained.data.dataset}', the "
                f"set '{measured.run_id}' shows '{measured.data.dataset}'; choose one of the same data set"
            )
        require_independence(recorder, run, measured)
    elif measured.run_id in ancestors(recorder, input_runs(trained).values())[0]:
        recorder.note(
            f"the classifier '{spec.classifier}' was trained on the set that its features measure; distances are too small",
            "warning",
        )
    return classifier, f"run {spec.classifier}, {spec.weights} weights"


def require_independence(recorder: Recorder, classifier: InputRun, measured: MeasuredSet) -> None:
    """Refuse a classifier that learnt the set's labels, or chose its images: it would only repeat itself.

    One that learnt from another set of the same denoiser shares the denoiser's mistakes, which a warning says.

    Raises:
        UserError: naming both runs.
    """
    learnt_from, lost = ancestors(recorder, input_runs(parse_spec(classifier.spec)).values())
    made_from, lost_too = ancestors(recorder, [measured.run_id])
    if measured.run_id in learnt_from:
        raise UserError(
            f"the classifier '{classifier.run_id}' was trained on the set '{measured.run_id}', so it cannot judge its labels; "
            "choose one trained on real images"
        )
    if classifier.run_id in made_from:
        raise UserError(
            f"the set '{measured.run_id}' was made with the classifier '{classifier.run_id}', so it cannot judge its labels; "
            "choose another one"
        )
    if measured.denoiser in learnt_from:
        recorder.note(
            f"the classifier was trained on images of the denoiser '{measured.denoiser}', too: where that draws a class "
            "wrongly, the classifier may have learnt it so, and agreement is too high",
            "warning",
        )
    for run_id in sorted(lost | lost_too):
        recorder.note(
            f"run '{run_id}' cannot be read, so whether the classifier is independent cannot be told", "warning"
        )


def ancestors(recorder: Recorder, run_ids: Iterable[str]) -> tuple[set[str], set[str]]:
    """These runs and all that went into them, and those of them that cannot be read any more."""
    waiting, found, lost = list(run_ids), set[str](), set[str]()
    while waiting:
        run_id = waiting.pop()
        if run_id in found:
            continue
        found.add(run_id)
        try:
            waiting += input_runs(parse_spec(recorder.input_run(run_id).spec)).values()
        except UserError:
            lost.add(run_id)
    return found, lost


def _count(wanted: int | None, available: int, field: str, where: str) -> int:
    if available == 0:
        raise UserError(f"there is nothing in {where}; finish the run first")
    if wanted is not None and wanted > available:
        raise UserError(
            f"{field} = {wanted} is more than the {available} in {where}; lower it, or leave it empty for all"
        )
    return available if wanted is None else wanted
