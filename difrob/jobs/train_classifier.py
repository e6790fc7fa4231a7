"""Train a robust classifier on real and generated images (Wang et al. 2023; Gowal et al. 2020).

The step itself is in :mod:`difrob.training.classifying`, what is measured in :mod:`difrob.jobs.classifier_measures`; here is
the order in which it all happens, and what is kept.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

import torch

from difrob.data import Augmentation, load_split
from difrob.errors import Stopped
from difrob.inputs.misfits import empty_classes, idle_mixture, is_default_mixture, refuse
from difrob.inputs.training_notes import idle_alignment, large_batch, unfamiliar_level
from difrob.jobs.classifier_measures import (
    Examiner,
    Measurement,
    Progress,
    record_attack,
    record_step,
    report,
    validation_attack,
)
from difrob.jobs.learning_words import learning_words
from difrob.jobs.micro_batches import measuring_pieces, training_pieces
from difrob.nets.storage import pack, unpack
from difrob.ranks.shares import Ranks
from difrob.runs.interface import Recorder
from difrob.specs import TrainClassifierSpec, parse_spec
from difrob.training.alignment import open_alignment
from difrob.training.classifying import ClassifierTraining, passes_per_image
from difrob.training.mixing import MixedBatches, read_generated_set
from difrob.training.optimisers import LossWatch
from difrob.training.validation import FixedImages, training_probe


def run(spec: TrainClassifierSpec, recorder: Recorder, device: torch.device) -> None:
    """Train, measure the averaged weights on the validation images, and keep the best of them.

    Raises:
        UserError: when network, augmentation or generated sets do not fit the data, or the loss diverges.
        Stopped: when asked to; a checkpoint has then been written unless the run was to be aborted.
    """
    batches = training_batches(spec, recorder, device)
    real, validation = batches.real, load_split(recorder, spec.data, "validation")
    ranks = Ranks.here()
    pieces = training_pieces(recorder, spec.memory, spec.batch_size, ranks)
    model = ClassifierTraining(
        spec, real, device, pieces, lambda text: recorder.note(text, "warning"),
        align=lambda network, autocast: open_alignment(
            spec.alignment, recorder, real, network, spec.seed, device, augmented=spec.augmentation.varies,
            autocast=autocast,
        ),
        ranks=ranks,
    )  # fmt: skip
    progress = Progress()
    store = Store(recorder, model, progress)
    if recorder.resumed_from is not None:
        store.restore(device)

    measuring = measuring_pieces(recorder, spec.memory, pieces, ranks.largest_share(spec.batch_size))
    examiner = Examiner(
        FixedImages(validation, device, pieces=measuring, ranks=ranks),
        FixedImages(training_probe(real, len(validation)), device, pieces=measuring, ranks=ranks),
        validation_attack(spec),
        spec,
    )
    describe(spec, recorder, model, batches, device)
    watch = LossWatch()
    clock, clocked = time.perf_counter(), progress.step

    while progress.step < spec.steps and not progress.out_of_patience(spec.patience):
        try:
            recorder.check_stop()
        except Stopped as stopped:
            if stopped.grade == "stop":
                watch.check()
                store.save()
            raise

        step = progress.step
        progress.step = done = step + 1
        last = done == spec.steps
        measured = done % spec.validate_every == 0 or last
        rows = batches.rows(step)
        record = model.step(step, *batches.batch(step), rows, counts=measured and spec.is_adversarial)
        watch.add(step, model.rate(step), record.terms.loss, record.gradient_norm)

        if done % spec.log_every == 0 or step == 0 or last:
            watch.check()
            record_step(recorder, done, record, model.rate(step), model.recorded_momentum(step))
            now = time.perf_counter()
            recorder.metric("images_per_second", done, (done - clocked) * spec.batch_size / (now - clock))
            clock, clocked = now, done
        is_best = False
        if measured:
            watch.check()
            record_attack(recorder, done, record)
            model.check_agreement()
            is_best = examiner.examine(model.average.module, recorder, progress)
        if is_best or done % spec.checkpoint_every == 0 or last:
            watch.check()
            store.save(best=is_best)
        if measured:  # measuring is no part of the throughput
            clock, clocked = time.perf_counter(), done
        recorder.progress(done, spec.steps)

    store.save()
    if progress.step < spec.steps:
        recorder.note(
            f"stopped after {progress.step} steps: no gain in {spec.patience} measurements in a row (patience)"
        )
    report(spec, recorder, progress)


def training_batches(spec: TrainClassifierSpec, recorder: Recorder, device: torch.device) -> MixedBatches:
    """The batches that a specification asks for.

    Raises:
        UserError: when an augmentation or a generated set does not fit the data, or a class has no training images.
    """
    varied = spec.augmentation
    augmentation = Augmentation(padding=varied.padding, flips=varied.flips, cutout=varied.cutout)
    record = recorder.data_set(spec.data.dataset)
    augmentation.check_fit(record)
    refuse(empty_classes(record))
    real = load_split(recorder, spec.data, "train")
    return MixedBatches(
        real,
        [read_generated_set(recorder.input_run(name), real) for name in spec.generated_sets],
        batch_size=spec.batch_size,
        generated_fraction=spec.generated_fraction,
        seed=spec.seed,
        device=device,
        augmentation=augmentation,
        draws=varied.cutmix,
        balanced=spec.generated_balanced,
    )


def describe(
    spec: TrainClassifierSpec,
    recorder: Recorder,
    model: ClassifierTraining,
    batches: MixedBatches,
    device: torch.device,
) -> None:
    """Facts about the run that its curves do not show."""
    recorder.attribute("parameters", sum(parameter.numel() for parameter in model.network.parameters()))
    recorder.attribute(
        "batches",
        {
            "real_images": len(batches.real),
            "generated_images": sum(len(images) for images in batches.generated),
            "real_per_batch": batches.real_per_batch,
            "generated_per_batch": batches.generated_per_batch,
        },
    )
    generated_share = batches.generated_per_batch / (batches.real_per_batch + batches.generated_per_batch)
    recorder.attribute("passes_per_image_and_step", passes_per_image(spec, generated_share))
    recorder.attribute("devices", model.ranks.world)
    if recorder.resumed_from is not None:
        return  # the log has the rest already
    learns = learning_words(
        batches.real.name, len(batches.real), "training image", device, model.ranks,
        generated=[(images.name, len(images)) for images in batches.generated], generated_share=generated_share,
    )  # fmt: skip
    recorder.note(f"{learns}; under {spec.attack.label()}" if spec.is_adversarial else learns)
    # A specification from a file, a form or the queue names every field: there the default may not have been meant.
    is_stated = "generated_fraction" in spec.model_fields_set
    if is_stated and (idle := idle_mixture(spec)):
        recorder.note(idle, "info" if is_default_mixture(spec) else "warning")
    for sentence in doubtful(spec, recorder, batches):
        recorder.note(sentence, "warning")


def doubtful(spec: TrainClassifierSpec, recorder: Recorder, batches: MixedBatches) -> list[str]:
    """A sentence for each setting that is allowed, but does nothing sensible with these data and this teacher."""
    part = spec.alignment
    found = [large_batch(batches.real_per_batch, len(batches.real), is_real_part=True), idle_alignment(part)]
    if part.teacher == "denoiser" and part.denoiser:
        found.append(unfamiliar_level(part, parse_spec(recorder.input_run(part.denoiser).spec)))
    return [sentence for sentence in found if sentence]


@dataclass
class Store:
    """Writes checkpoints from which the training goes on bit for bit, and reads them back."""

    recorder: Recorder
    model: ClassifierTraining
    progress: Progress
    saved_step: int = field(default=0, init=False)

    def save(self, *, best: bool = False) -> None:
        """Write a checkpoint, unless this step has one already, or none has been made."""
        step = self.progress.step
        if step == self.saved_step or not self.model.ranks.leads:
            return
        parts, state = self.model.tensors()
        found = self.progress.best
        facts = {
            "step": step,
            "best_robust_accuracy": found.robust[0] / found.robust[1] if found else None,
            "progress": asdict(self.progress),
        }
        self.recorder.checkpoint(step, pack(**parts), {**state, **facts}, best=best)
        self.saved_step = step

    def restore(self, device: torch.device) -> None:
        """Go on from the checkpoint of the interrupted run."""
        checkpoint = self.recorder.resumed_from
        assert checkpoint is not None
        self.model.restore(unpack(checkpoint.weights, device), checkpoint.state)
        kept = checkpoint.state["progress"]
        self.progress.step = kept["step"]
        self.progress.best = Measurement(**kept["best"]) if kept["best"] else None
        self.progress.last = Measurement(**kept["last"]) if kept["last"] else None
        self.progress.measurements_without_gain = kept["measurements_without_gain"]
        self.saved_step = checkpoint.step
