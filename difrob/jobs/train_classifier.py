"""Train a robust classifier on real and generated images (Wang et al. 2023; Gowal et al. 2020)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from difrob.data import as_uint8, load_split
from difrob.errors import Stopped
from difrob.jobs.pieces import training_pieces
from difrob.memory import MicroBatches
from difrob.metrics.accuracy import share_measure
from difrob.nets.classifiers import Classifier, build_classifier
from difrob.nets.storage import load_weights, pack, pack_optimiser, part_of, restore_optimiser, unpack
from difrob.randomness import generator, seeded_globally
from difrob.runs.interface import Measure, Recorder
from difrob.specs import AttackSpec, TrainClassifierSpec
from difrob.training.mixing import MixedBatches, read_generated_set
from difrob.training.objectives import Terms, gaussian_loss, standard_loss, weighted_terms
from difrob.training.optimisers import LossWatch, decay_groups
from difrob.training.schedules import warmup_cosine
from difrob.training.trades import draw_start_noise, trades_loss
from difrob.training.validation import FixedImages, Scores, training_probe
from difrob.training.weight_averaging import WarmedUpAverage

PICTURED_IMAGES = 8


def run(spec: TrainClassifierSpec, recorder: Recorder, device: torch.device) -> None:
    """Train, measure the averaged weights on the validation images, and keep the best of them.

    Raises:
        UserError: when the generated set does not fit the data, or the loss diverges.
    """
    real = load_split(recorder, spec.data, "train")
    validation = load_split(recorder, spec.data, "validation")
    generated = read_generated_set(recorder.input_run(spec.generated), real) if spec.generated else None
    batches = MixedBatches(
        real,
        generated,
        batch_size=spec.batch_size,
        generated_fraction=spec.generated_fraction,
        seed=spec.seed,
    )

    with seeded_globally(torch.device("cpu"), spec.seed, "weights"):
        network = build_classifier(spec.network, real.shape, real.num_classes)
    network.to(device).train()
    warmup_steps = int(spec.warmup_fraction * spec.steps)
    average = WarmedUpAverage(network, spec.averaging_decay, warmup_steps)
    optimiser = torch.optim.SGD(
        decay_groups(network, spec.weight_decay),
        lr=spec.learning_rate,
        momentum=spec.momentum,
        nesterov=spec.momentum > 0,
    )
    progress = Progress()
    pieces = training_pieces(recorder, spec.memory, spec.batch_size)
    store = Store(recorder, network, average, optimiser, pieces, progress)
    if recorder.resumed_from is not None:
        store.restore()

    examiner = Examiner(
        FixedImages(validation, device),
        FixedImages(training_probe(real, len(validation)), device),
        validation_attack(spec),
        spec,
    )
    describe(spec, recorder, network, batches)
    watch = LossWatch()

    while progress.step < spec.steps and not out_of_patience(spec, progress):
        try:
            recorder.check_stop()
        except Stopped as stopped:
            if stopped.grade == "stop":
                watch.check()
                store.save()
            raise

        step = progress.step
        rate = warmup_cosine(step, spec.steps, peak=spec.learning_rate, warmup_steps=warmup_steps)
        for group in optimiser.param_groups:
            group["lr"] = rate

        images, labels = batches.batch(step, device)
        work = partial(leave_gradients, spec, network, pieces, images, labels, step)
        terms = pieces.attempt(work)
        gradient_norm = clip_gradients(network, spec.gradient_clip)
        optimiser.step()
        average.update(network)

        progress.step = step = step + 1
        watch.add(step, rate, terms.loss, gradient_norm)
        if step % spec.log_every == 0 or step in (1, spec.steps):
            watch.check()
            record_terms(recorder, step, terms, rate, gradient_norm)

        is_best = False
        if step % spec.validate_every == 0 or step == spec.steps:
            watch.check()
            is_best = examiner.examine(average.module, recorder, progress)
        if is_best or step % spec.checkpoint_every == 0 or step == spec.steps:
            watch.check()
            store.save(best=is_best)
        recorder.progress(step, spec.steps)

    store.save()
    if progress.step < spec.steps:
        recorder.note(
            f"stopped after {progress.step} steps: no gain in {spec.patience} measurements in a row (patience)"
        )
    report(spec, recorder, progress)


def leave_gradients(
    spec: TrainClassifierSpec, network: Classifier, pieces: MicroBatches, images: Tensor, labels: Tensor, step: int
) -> Terms:
    """Leave the gradient of one step in the parameters. Its randomness is a function of (seed, step).

    The attack on an image and its loss do not depend on the other images, so the pieces of a batch add up to the batch.
    """
    noise = draw_noise(spec, images.shape, generator(spec.seed, spec.objective, step))
    network.zero_grad(set_to_none=True)
    found = []
    for part in pieces.slices(len(images)):
        part_noise = None if noise is None else noise[part].to(images.device)
        terms = objective(spec, network, images[part], labels[part], part_noise)
        share = len(labels[part]) / len(labels)
        (terms.loss * share).backward()
        found.append((share, terms))
    return weighted_terms(found)


def draw_noise(spec: TrainClassifierSpec, shape: torch.Size, source: torch.Generator) -> Tensor | None:
    """The random numbers of one step, on the CPU; None for an objective without any."""
    if spec.objective == "trades":
        return draw_start_noise(spec.attack, shape, source)
    return torch.randn(shape, generator=source) if spec.objective == "gaussian" else None


def objective(
    spec: TrainClassifierSpec, network: Classifier, images: Tensor, labels: Tensor, noise: Tensor | None
) -> Terms:
    """The objective on a batch, or on a piece of one, with its part of :func:`draw_noise`."""
    smoothing = spec.label_smoothing
    if spec.objective == "trades" and noise is not None:
        return trades_loss(
            network,
            images,
            labels,
            attack=spec.attack,
            beta=spec.beta,
            label_smoothing=smoothing,
            start_noise=noise,
        )
    if spec.objective == "gaussian" and noise is not None:
        return gaussian_loss(network, images, labels, noise=noise, sigma=spec.noise_sigma, label_smoothing=smoothing)
    return standard_loss(network, images, labels, label_smoothing=smoothing)


def clip_gradients(network: Classifier, largest_norm: float | None) -> Tensor:
    """Scale the gradients down to ``largest_norm`` if they exceed it; the norm they had, as a device scalar."""
    return torch.nn.utils.clip_grad_norm_(network.parameters(), math.inf if largest_norm is None else largest_norm)


def validation_attack(spec: TrainClassifierSpec) -> AttackSpec:
    """The attack that chooses the best checkpoint: the training ball with more steps and the margin loss."""
    return spec.attack.model_copy(update={"steps": spec.validation_attack_steps})


# Measuring ------------------------------------------------------------------------------------------------------------


@dataclass
class Measurement:
    """One measurement of the averaged weights; each entry is a pair (successes, images)."""

    step: int
    clean: tuple[int, int]
    robust: tuple[int, int]
    train_robust: tuple[int, int]
    selected_by: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("clean", "robust", "train_robust", "selected_by"):  # JSON has lists only
            setattr(self, name, tuple(getattr(self, name)))


@dataclass
class Progress:
    """Where the training stands: all that a checkpoint holds besides tensors."""

    step: int = 0
    best: Measurement | None = None
    last: Measurement | None = None
    measurements_without_gain: int = 0


def out_of_patience(spec: TrainClassifierSpec, progress: Progress) -> bool:
    """Whether the selecting accuracy has failed to rise for ``patience`` measurements in a row."""
    return spec.patience is not None and progress.measurements_without_gain >= spec.patience


@dataclass
class Examiner:
    """Measures the averaged weights on the validation images and on as many training images; never on test images."""

    validation: FixedImages
    train: FixedImages
    attack: AttackSpec
    spec: TrainClassifierSpec

    def examine(self, network: torch.nn.Module, recorder: Recorder, progress: Progress) -> bool:
        """Measure and record; True when these weights are the best so far (the newest of equals, as Wang et al.)."""
        scores = self.validation.measure(network, self.attack)
        train_scores = self.train.measure(network, self.attack)
        record_share(recorder, "validation/clean_accuracy", progress.step, scores.clean)
        record_share(recorder, "validation/robust_accuracy", progress.step, scores.robust)
        record_share(recorder, "train/robust_accuracy", progress.step, train_scores.robust)
        self._picture(network, recorder, progress.step, scores)

        # Each objective is judged by what it is for.
        selected_by = {"trades": scores.robust, "standard": scores.clean}.get(self.spec.objective)
        if selected_by is None:
            selected_by = self.validation.right_under_noise(network, self.spec.noise_sigma)
            record_share(recorder, "validation/noisy_accuracy", progress.step, selected_by)

        found = Measurement(
            progress.step, *(_count(flags) for flags in (scores.clean, scores.robust, train_scores.robust, selected_by))
        )
        best = progress.best
        is_gain = best is None or found.selected_by[0] > best.selected_by[0]
        is_best = is_gain or (best is not None and found.selected_by[0] == best.selected_by[0])
        progress.last = found
        progress.best = found if is_best else best
        progress.measurements_without_gain = 0 if is_gain else progress.measurements_without_gain + 1
        return is_best

    def _picture(self, network: torch.nn.Module, recorder: Recorder, step: int, scores: Scores) -> None:
        """Clean and adversarial images side by side, the same ones each time."""
        clean, adversarial = self.validation.images[:PICTURED_IMAGES], scores.adversarial[:PICTURED_IMAGES]
        with torch.no_grad():
            predictions = network(adversarial).argmax(1).tolist()
        labels = self.validation.labels[:PICTURED_IMAGES].tolist()
        pairs = torch.stack([clean, adversarial], dim=1).flatten(0, 1)
        captions = [
            caption
            for label, prediction in zip(labels, predictions, strict=True)
            for caption in (f"label {label}", f"label {label} -> {prediction}")
        ]
        recorder.images("adversarial", step, as_uint8(pairs), captions)


def record_share(recorder: Recorder, name: str, step: int, flags: np.ndarray) -> None:
    """One point of an accuracy curve with its Wilson 95 % band."""
    measure = share_measure(flags, name)
    recorder.metric(name, step, measure.value, measure.low, measure.high, interval=measure.interval)


def record_terms(recorder: Recorder, step: int, terms: Terms, rate: float, gradient_norm: Tensor) -> None:
    """The curves of the training loss; everything is read from the device at once."""
    named = {"loss": terms.loss.detach(), "loss/clean": terms.clean, "gradient_norm": gradient_norm}
    if terms.robust is not None:
        named["loss/robust"] = terms.robust
    if terms.attack_success is not None:
        named["train/attack_success"] = terms.attack_success
    values = torch.stack([value.float() for value in named.values()]).tolist()
    for name, value in zip(named, values, strict=True):
        recorder.metric(name, step, value)
    recorder.metric("learning_rate", step, rate)


def _count(flags: np.ndarray) -> tuple[int, int]:
    return int(flags.sum()), int(flags.size)


# Keeping --------------------------------------------------------------------------------------------------------------


@dataclass
class Store:
    """Writes checkpoints from which the training goes on bit for bit, and reads them back."""

    recorder: Recorder
    network: Classifier
    average: WarmedUpAverage
    optimiser: torch.optim.Optimizer
    pieces: MicroBatches
    progress: Progress
    saved_step: int = field(default=0, init=False)

    def save(self, *, best: bool = False) -> None:
        """Write a checkpoint, unless this step has one already, or none has been made."""
        step = self.progress.step
        if step == self.saved_step:
            return
        momentum, optimiser_state = pack_optimiser(self.optimiser)
        weights = pack(network=self.network.state_dict(), average=self.average.state_dict(), optimiser=momentum)
        best_found = self.progress.best
        state: dict[str, Any] = {
            "step": step,
            "image_shape": list(self.network.image_shape),
            "num_classes": self.network.num_classes,
            "best_robust_accuracy": best_found.robust[0] / best_found.robust[1] if best_found else None,
            "optimiser": optimiser_state,
            "average": self.average.counters(),
            "micro_batch": self.pieces.size,
            "progress": asdict(self.progress),
        }
        self.recorder.checkpoint(step, weights, state, best=best)
        self.saved_step = step

    def restore(self) -> None:
        """Go on from the checkpoint of the interrupted run."""
        checkpoint = self.recorder.resumed_from
        assert checkpoint is not None
        parts = unpack(checkpoint.weights)
        load_weights(self.network, part_of(parts, "network"))
        self.average.restore(part_of(parts, "average"), checkpoint.state["average"])
        restore_optimiser(self.optimiser, parts.get("optimiser", {}), checkpoint.state["optimiser"])
        kept = checkpoint.state["progress"]
        self.progress.step = kept["step"]
        self.progress.best = Measurement(**kept["best"]) if kept["best"] else None
        self.progress.last = Measurement(**kept["last"]) if kept["last"] else None
        self.progress.measurements_without_gain = kept["measurements_without_gain"]
        self.saved_step = checkpoint.step


# Reporting ------------------------------------------------------------------------------------------------------------


def describe(spec: TrainClassifierSpec, recorder: Recorder, network: Classifier, batches: MixedBatches) -> None:
    """Facts about the run that its curves do not show."""
    recorder.attribute("parameters", sum(parameter.numel() for parameter in network.parameters()))
    recorder.attribute(
        "batches",
        {
            "real_images": len(batches.real),
            "generated_images": len(batches.generated) if batches.generated is not None else 0,
            "real_per_batch": batches.real_per_batch,
            "generated_per_batch": batches.generated_per_batch,
        },
    )
    steps = spec.attack.steps
    recorder.attribute(
        "passes_per_image_and_step",
        {"forward": steps + 3, "backward_to_input": steps, "backward": 2}
        if spec.objective == "trades"
        else {"forward": 1, "backward_to_input": 0, "backward": 1},
    )


def report(spec: TrainClassifierSpec, recorder: Recorder, progress: Progress) -> None:
    """The final numbers: those of the best checkpoint, and what the last one lost against it."""
    best, last = progress.best, progress.last
    assert best is not None and last is not None  # the last step is always measured, and so is the first
    attack = f"{validation_attack(spec).label()}, margin loss, 1 restart"
    shares = {
        "best_validation_robust_accuracy": (best.robust, f"validation images under {attack}; best checkpoint"),
        "best_validation_clean_accuracy": (best.clean, "validation images; best checkpoint"),
        "best_train_robust_accuracy": (best.train_robust, f"training images under {attack}; best checkpoint"),
        "last_validation_robust_accuracy": (last.robust, f"validation images under {attack}; last measurement"),
    }
    if spec.objective == "gaussian":
        noise = f"validation images under Gaussian noise of sigma {spec.noise_sigma:g}; best checkpoint"
        shares["best_validation_noisy_accuracy"] = (best.selected_by, noise)
    for name, ((successes, images), description) in shares.items():
        recorder.result(name, share_measure(np.arange(images) < successes, description))
    recorder.result(
        "best_step", Measure(value=float(best.step), unit="steps", description="step of the best checkpoint")
    )
