"""Whether the inputs of a run fit together, asked before the run exists: by the command line, the queue and the window.

What is on record is compared, no weights and no pixels are read. Where nothing is on record, e.g. of a run that waits in
the queue itself or was made by an older difrob, nothing is said, and the job refuses what it finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from difrob.errors import UserError
from difrob.inputs import corrupted_misfits, misfits
from difrob.inputs.checks import Found, fits
from difrob.inputs.facts import ImageShape, InputFacts, NetworkFacts
from difrob.runs.workspace import Workspace
from difrob.specs import (
    AnalyseSpec,
    CertifySpec,
    DataSpec,
    EvaluateSpec,
    GenerateSpec,
    ImportDenoiserSpec,
    JobSpec,
    MeasureSpec,
    ProbeTeacherSpec,
    TrainClassifierSpec,
    TrainDenoiserSpec,
)
from difrob.specs.takes import LABELLED_IMAGES

GENERATED = ("generated", "generated_2", "generated_3")


@dataclass(frozen=True)
class Misfit:
    """What does not fit: the dotted field that names the input, and a sentence with the mend."""

    field: str
    sentence: str


def check_inputs(
    workspace: Workspace, spec: JobSpec, waiting: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Misfit]:
    """What the runs and data sets that a specification names lack, as far as is on record; empty when all fit.

    Args:
        workspace: where they are.
        spec: of the run that is to be.
        waiting: specifications of runs in the queue that have not ended, by run id; those inputs are judged by them.
    """
    return check_against(InputFacts(workspace, waiting), spec)


def check_against(facts: InputFacts, spec: JobSpec) -> list[Misfit]:
    """:func:`check_inputs` for several specifications, whose inputs are looked up once."""
    found: dict[str, str] = {}
    for field, sentence in fits.of(type(spec))(spec, facts):
        if sentence:
            found.setdefault(field, sentence)
    return [Misfit(field, sentence) for field, sentence in found.items()]


def require_fitting_inputs(facts: InputFacts, spec: JobSpec) -> None:
    """Raise UserError naming each field whose input does not fit; see :func:`check_inputs`."""
    problems = check_against(facts, spec)
    if problems:
        raise UserError("; ".join(f"'{problem.field}': {problem.sentence}" for problem in problems))


@fits(TrainDenoiserSpec)
def _train_denoiser(spec: TrainDenoiserSpec, facts: InputFacts) -> Found:
    yield from _splits(facts, spec.data.dataset, "data.dataset", "train", "validation")
    yield from _subset(facts, spec.data)
    record = facts.any_data_set(spec.data.dataset)
    if record is not None:
        yield "flips", misfits.mirrored(record, spec.flips)
        if spec.corruption.kind == "patches":
            yield "corruption.patch", misfits.missing_patch(record.name, record.image_shape, spec.corruption.patch)


@fits(ImportDenoiserSpec)
def _import_denoiser(spec: ImportDenoiserSpec, facts: InputFacts) -> Found:
    if spec.checked_images:
        yield from _splits(facts, spec.data.dataset, "data.dataset", "validation")
    yield from _subset(facts, spec.data)


@fits(TrainClassifierSpec)
def _train_classifier(spec: TrainClassifierSpec, facts: InputFacts) -> Found:
    yield from _splits(facts, spec.data.dataset, "data.dataset", "train", "validation")
    record = facts.data_set(spec.data.dataset)
    if record is None:
        return
    yield "data.dataset", misfits.empty_classes(record)
    yield from _subset(facts, spec.data)
    varied = spec.augmentation
    yield "augmentation.flips", misfits.mirrored(record, varied.flips)
    field = "augmentation.padding" if varied.padding >= varied.cutout else "augmentation.cutout"
    yield field, misfits.shifted(record.image_shape, varied.padding, varied.cutout)
    for field in GENERATED:
        run_id = getattr(spec, field)
        made = facts.generated_set(run_id) if run_id else None
        if made is not None:
            yield field, misfits.generated_set(
                run_id, made.dtype, made.shape, made.labels,
                real=record.name, image_shape=record.image_shape, num_classes=record.num_classes,
            )  # fmt: skip
    part = spec.alignment
    if part.teacher == "classifier":
        yield from _classifier(facts, part.classifier, "alignment.classifier", record.image_shape)
    elif part.is_on:
        yield from _teacher(facts, part.denoiser, "alignment.denoiser", record.image_shape)
        yield from _block(facts, part.denoiser, "alignment.block", part.block)


@fits(ProbeTeacherSpec)
def _probe_teacher(spec: ProbeTeacherSpec, facts: InputFacts) -> Found:
    denoiser = facts.network(spec.denoiser)
    record = facts.data_set(denoiser.data_set) if denoiser is not None else None
    if denoiser is None or record is None:
        return
    yield from _splits(facts, record.name, "denoiser", "train", "validation")
    yield from _learnt_from(facts, denoiser, spec.denoiser, spec.train_images)
    yield from _looked_at(facts, denoiser, "validation", spec.images)
    yield from _teacher(facts, spec.denoiser, "denoiser", record.image_shape)
    for block in spec.blocks:
        yield from _block(facts, spec.denoiser, "blocks", block)
    for field in ("classifier", "second_classifier"):
        yield from _classifier(facts, getattr(spec, field), field, record.image_shape)


@fits(AnalyseSpec)
def _analyse(spec: AnalyseSpec, facts: InputFacts) -> Found:
    classifier = facts.network(spec.classifier)
    if classifier is None:
        return
    yield from _splits(facts, classifier.data_set, "classifier", spec.split, "train")
    yield from _learnt_from(facts, classifier, spec.classifier, spec.train_images)
    yield from _looked_at(facts, classifier, spec.split, spec.images)
    missing = facts.missing_checkpoint(spec.classifier)
    yield "classifier", missing
    if spec.step is not None and not missing:
        yield "step", facts.missing_checkpoint(spec.classifier, spec.step)
    if "kernel_alignment" in spec.measures:
        yield from _classifier(facts, spec.second, "second", classifier.image_shape)
    if "probes" in spec.measures:
        yield from _teacher(facts, spec.denoiser, "denoiser", classifier.image_shape)
        yield from _block(facts, spec.denoiser, "block", spec.block)


@fits(EvaluateSpec)
def _evaluate(spec: EvaluateSpec, facts: InputFacts) -> Found:
    classifier = facts.network(spec.classifier)
    if classifier is None:
        return
    yield from _splits(facts, classifier.data_set, "classifier", spec.split)
    yield "classifier", facts.missing_checkpoint(spec.classifier)
    yield from _looked_at(facts, classifier, spec.split, spec.images)
    record = facts.any_data_set(spec.corruptions) if spec.corruptions else None
    if record is None or record.unfit_for("corruptions"):
        return
    unequal = corrupted_misfits.unequal_versions(record, with_extras=spec.corruption_extras)
    yield "corruptions", unequal
    if not unequal:
        many = corrupted_misfits.too_many_versions(record, spec.corruption_images, with_extras=spec.corruption_extras)
        yield "corruption_images", many
    if classifier.image_shape is not None:
        yield "corruptions", corrupted_misfits.other_shape(record, classifier.image_shape)
    learnt = facts.data_set(classifier.data_set)
    if learnt is not None and classifier.num_classes is not None:
        yield "corruptions", corrupted_misfits.other_classes(record, classifier.num_classes, learnt.class_names)


@fits(CertifySpec)
def _certify(spec: CertifySpec, facts: InputFacts) -> Found:
    classifier, denoiser = facts.network(spec.classifier), facts.network(spec.denoiser)
    if classifier is not None:
        yield from _splits(facts, classifier.data_set, "classifier", spec.split)
        yield "classifier", facts.missing_checkpoint(spec.classifier)
        yield from _looked_at(facts, classifier, spec.split, spec.images)
    if denoiser is not None and spec.denoiser:
        ours = None if classifier is None else classifier.image_shape
        yield "denoiser", misfits.network_images("denoiser", spec.denoiser, denoiser.image_shape, ours)
        yield "denoiser", misfits.null_class(spec.denoiser, denoiser.class_conditional, denoiser.label_dropout)
        yield "denoiser", facts.missing_checkpoint(spec.denoiser)


@fits(GenerateSpec)
def _generate(spec: GenerateSpec, facts: InputFacts) -> Found:
    denoiser = facts.network(spec.denoiser)
    if denoiser is None:
        return
    if facts.is_points(denoiser.data_set):
        yield "denoiser", misfits.drawn_points(spec.denoiser, denoiser.data_set)
        return
    yield from _splits(facts, denoiser.data_set, "denoiser", "train")
    yield "denoiser", misfits.generation(spec, denoiser.class_conditional, denoiser.label_dropout)
    yield "denoiser", facts.missing_checkpoint(spec.denoiser)
    if denoiser.schedule_steps is not None:
        field = "sampling_steps" if denoiser.schedule_steps else "grid"
        yield field, misfits.schedule_grid(spec.denoiser, spec.grid, spec.sampling_steps, denoiser.schedule_steps)
    if denoiser.num_classes:
        yield "class_weights", misfits.class_shares(spec.class_weights, denoiser.num_classes)
    judge = facts.network(spec.selection.judge)
    is_asked = spec.selection.keep_share < 1 or spec.labels == "judge"
    if judge is not None and spec.selection.judge and is_asked:
        yield "selection.judge", misfits.judged_classes(spec.selection.judge, judge.num_classes, denoiser.num_classes)
        yield from _classifier(facts, spec.selection.judge, "selection.judge", denoiser.image_shape)


@fits(MeasureSpec)
def _measure(spec: MeasureSpec, facts: InputFacts) -> Found:
    made = facts.spec(spec.generated)
    if made is not None and made.holds == LABELLED_IMAGES and not isinstance(made, GenerateSpec):
        yield "dataset", misfits.measured_against(spec.generated, spec.dataset, None)
    denoiser = facts.network(made.denoiser) if isinstance(made, GenerateSpec) else None
    learnt_from = spec.dataset if denoiser is None else denoiser.data_set
    if denoiser is not None:
        yield "dataset", misfits.measured_against(spec.generated, spec.dataset, denoiser.data_set)
    held_out = [spec.held_out] if "memorisation" in spec.measures else []
    field = "dataset" if denoiser is None else "generated"
    yield from _splits(facts, learnt_from, field, "train", spec.reference, *held_out)
    if facts.network(spec.classifier) is not None:
        yield "classifier", facts.missing_checkpoint(spec.classifier)
    made_of = facts.set_size(spec.generated)
    if made_of:
        yield "images", misfits.too_many_measured(spec.images, made_of, spec.generated)
    there = facts.images_in(learnt_from or "", spec.reference, None if denoiser is None else denoiser.train_size)
    if there is not None and learnt_from:
        yield "reference_images", misfits.too_many_references(spec.reference_images, there, spec.reference, learnt_from)


def _splits(facts: InputFacts, name: str | None, field: str, *splits: str) -> Found:
    """The splits that a data set of images must have."""
    record = facts.data_set(name)
    if record is not None:
        for split in splits:
            yield field, misfits.missing_split(record, split)


def _subset(facts: InputFacts, data: DataSpec) -> Found:
    """As many training images as a subset is to have; of a toy distribution as many as are asked for can be drawn."""
    record = facts.any_data_set(data.dataset)
    if record is not None and "train" in record.splits:
        yield "data.train_size", misfits.too_large_subset(data.train_size, record.splits["train"].images, record.name)


def _looked_at(facts: InputFacts, network: NetworkFacts, split: str, images: int | None) -> Found:
    """As many images as are to be looked at, of what a network learnt from."""
    there = facts.images_in(network.data_set, split, network.train_size)
    if there is not None:
        yield "images", misfits.too_large_part(images, there, split, network.data_set)


def _learnt_from(facts: InputFacts, network: NetworkFacts, run_id: str, images: int | None) -> Found:
    """As many training images as are to be taken of those that a network learnt from."""
    there = facts.images_in(network.data_set, "train", network.train_size)
    if there is not None:
        yield "train_images", misfits.too_many_learnt_from(images, there, run_id)


def _teacher(facts: InputFacts, run_id: str | None, field: str, ours: ImageShape | None) -> Found:
    """A denoiser whose features are read, of images of this shape."""
    denoiser = facts.network(run_id)
    if denoiser is not None and run_id:
        yield field, misfits.network_images("denoiser", run_id, denoiser.image_shape, ours)
        yield field, misfits.classless_teacher(run_id, denoiser.class_conditional, denoiser.label_dropout)
        yield field, facts.missing_checkpoint(run_id)


def _block(facts: InputFacts, run_id: str | None, field: str, block: str) -> Found:
    denoiser = facts.network(run_id)
    if denoiser is not None and denoiser.blocks is not None:
        yield field, misfits.unknown_block(block, denoiser.blocks)


def _classifier(facts: InputFacts, run_id: str | None, field: str, ours: ImageShape | None) -> Found:
    """A classifier that is to see images of this shape."""
    network: NetworkFacts | None = facts.network(run_id)
    if network is not None and run_id:
        yield field, misfits.network_images("classifier", run_id, network.image_shape, ours)
        yield field, facts.missing_checkpoint(run_id)
