"""What a measurement looks at: a generated or imported set, the real images beside it, and a classifier that may judge it.

A generated set leads to its denoiser, and that to what it learnt from. An imported set leads nowhere: the specification names
the data set beside it, whose training images stand for those that its generator learnt from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from difrob.data import ImageSet, load_split
from difrob.data.splitting import balanced_order
from difrob.errors import UserError
from difrob.inputs.misfits import measured_against, refuse, too_many_measured, too_many_references
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import InputRun, Recorder
from difrob.specs import (
    DataSpec,
    GenerateSpec,
    ImportImagesSpec,
    JobSpec,
    MeasureSpec,
    input_runs,
    kinds_holding,
    parse_spec,
)
from difrob.specs.denoiser_runs import as_denoiser_run
from difrob.specs.kinds import require_holding
from difrob.specs.takes import DENOISER, LABELLED_IMAGES
from difrob.training.loading import load_classifier


@dataclass(frozen=True)
class MeasuredSet:
    """A generated or imported set beside real images of its kind.

    Attributes:
        run_id: the run that generated or imported it.
        images: uint8 [n,H,W,C].
        labels: the classes that the images were conditioned on, or were imported with, int64 [n].
        index: numbers of the images in their run, int64 [n].
        training: the images that the denoiser learnt from; for an imported set all training images of its data set.
        held_out: images that it has never seen; None where memorisation is not asked for.
        reference: real images that distances are measured against.
        denoiser: the run whose weights generated them; None for an imported set.
        data: what the denoiser was trained on, or what an imported set is held against.
    """

    run_id: str
    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    training: ImageSet
    held_out: ImageSet | None
    reference: ImageSet
    denoiser: str | None
    data: DataSpec

    def __len__(self) -> int:
        return len(self.images)


def open_set(spec: MeasureSpec, recorder: Recorder) -> MeasuredSet:
    """The set of the specification and the real images of its data set.

    Raises:
        UserError: when the run is no set of images, is empty, or there are fewer images than asked for; when an imported
            set comes without a data set, or with one that it does not fit, and a generated set with another one than its own.
    """
    run = recorder.input_run(spec.generated)
    denoiser, data = _origin(spec, recorder, run)
    images, labels, index = (run.array(f"samples/{column}") for column in ("images", "label", "index"))
    _require_some(images, f"the set '{spec.generated}'")
    refuse(too_many_measured(spec.images, len(images), spec.generated))
    chosen = slice(spec.images)
    training = load_split(recorder, data, "train")
    belonging = "name in 'dataset' the one that the set belongs to"
    if images.shape[1:] != training.images.shape[1:]:
        raise UserError(
            f"the set '{spec.generated}' has images of shape {list(images.shape[1:])}, the data set '{training.name}' of "
            f"{list(training.images.shape[1:])} (height, width, channels); "
            + (belonging if denoiser is None else "generate the set anew")
        )
    if denoiser is None and labels.max() >= training.num_classes:
        raise UserError(
            f"the imported set '{spec.generated}' has labels up to {labels.max()}, the data set '{training.name}' has "
            f"{training.num_classes} classes; {belonging}"
        )
    reference = training if spec.reference == "train" else load_split(recorder, data, spec.reference)
    _require_some(reference.images, f"the {spec.reference} images of '{reference.name}'")
    refuse(too_many_references(spec.reference_images, len(reference), spec.reference, reference.name))
    count = spec.reference_images or len(reference)
    held_out = load_split(recorder, data, spec.held_out) if "memorisation" in spec.measures else None
    if denoiser is None and held_out is not None:
        recorder.note(
            f"the set '{spec.generated}' was imported, so what its generator learnt from is not known here: memories and "
            f"copies are looked for among all {len(training)} training images of '{training.name}'"
        )
    return MeasuredSet(
        run_id=spec.generated,
        images=images[chosen],
        labels=labels[chosen],
        index=index[chosen],
        training=training,
        held_out=held_out,
        reference=balanced_part(reference, count, spec.seed),
        denoiser=denoiser,
        data=data,
    )


def _origin(spec: MeasureSpec, recorder: Recorder, run: InputRun) -> tuple[str | None, DataSpec]:
    """The denoiser that drew the set, and what it learnt from; for an imported set None, and what the specification names."""
    made = parse_spec(run.spec)
    require_holding(made, spec.generated, LABELLED_IMAGES)
    if not isinstance(made, GenerateSpec):
        refuse(measured_against(spec.generated, spec.dataset, None))
        assert spec.dataset is not None
        recorder.data_set(spec.dataset)  # an unknown name is told as such
        return None, DataSpec(dataset=spec.dataset)
    drawn_from = parse_spec(recorder.input_run(made.denoiser).spec)
    trained = as_denoiser_run(drawn_from)
    if trained is None:
        needed = " or ".join(f"'{kind}'" for kind in kinds_holding(DENOISER))
        raise UserError(
            f"run '{made.denoiser}', from which the set was drawn, is of kind '{drawn_from.kind}' instead of {needed}; what it "
            "learnt from cannot be told"
        )
    refuse(measured_against(spec.generated, spec.dataset, trained.data.dataset))
    return made.denoiser, trained.data


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
    elif measured.run_id in ancestors(recorder, input_runs(parse_spec(run.spec)).values()):
        recorder.note(
            f"the classifier '{spec.classifier}' was trained on the set that its features measure; distances are too small",
            "warning",
        )
    return classifier, f"run {spec.classifier}, {spec.weights} weights"


def require_independence(recorder: Recorder, classifier: InputRun, measured: MeasuredSet) -> None:
    """Refuse a classifier that learnt the set's labels, or chose its images: it would only repeat itself.

    One that learnt from another set of the same denoiser shares the denoiser's mistakes, which a warning says. Of an
    imported set only the files are known that it was read from.

    Raises:
        UserError: naming both runs.
    """
    learnt_from = ancestors(recorder, input_runs(parse_spec(classifier.spec)).values())
    made_from = ancestors(recorder, [measured.run_id])
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
    files = _files_of(made_from[measured.run_id])
    for run_id, spec in sorted(learnt_from.items()):
        if shared := sorted(files & _files_of(spec)):
            raise UserError(
                f"the classifier '{classifier.run_id}' was trained on '{run_id}', which was read from '{shared[0][0]}' like "
                f"the set '{measured.run_id}', so it cannot judge its labels; choose one trained on real images"
            )
    if measured.denoiser is None:
        recorder.note(
            f"the set '{measured.run_id}' was imported, so whether the classifier '{classifier.run_id}', or what that learnt "
            "from, had a part in making it cannot be told",
            "warning",
        )
    elif measured.denoiser in learnt_from:
        recorder.note(
            f"the classifier was trained on images of the denoiser '{measured.denoiser}', too: where that draws a class "
            "wrongly, the classifier may have learnt it so, and agreement is too high",
            "warning",
        )
    for run_id in sorted(run_id for run_id, spec in {**learnt_from, **made_from}.items() if spec is None):
        recorder.note(
            f"run '{run_id}' cannot be read, so whether the classifier is independent cannot be told", "warning"
        )


def ancestors(recorder: Recorder, run_ids: Iterable[str]) -> dict[str, JobSpec | None]:
    """The specifications of these runs and of all that went into them; None for those that cannot be read any more."""
    waiting, found = list(run_ids), dict[str, JobSpec | None]()
    while waiting:
        run_id = waiting.pop()
        if run_id in found:
            continue
        found[run_id] = None
        try:
            spec = parse_spec(recorder.input_run(run_id).spec)
        except UserError:
            continue
        found[run_id] = spec
        waiting += input_runs(spec).values()
    return found


def _files_of(spec: JobSpec | None) -> set[tuple[str, str]]:
    """(path, split) of the files that a set was imported from; none for other runs."""
    return {(path, spec.split) for path in spec.paths} if isinstance(spec, ImportImagesSpec) else set()


def _require_some(images: np.ndarray, where: str) -> None:
    if len(images) == 0:
        raise UserError(f"there is nothing in {where}; finish the run first")
