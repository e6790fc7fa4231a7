"""What is measured and shown while a classifier learns, and when its weights are the best so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from difrob.data import as_uint8
from difrob.jobs.live_features import features_are_due, record_features
from difrob.metrics.accuracy import share_measure
from difrob.metrics.conditions import NOTHING, Stated, attack_conditions, data_set_condition, stated
from difrob.metrics.intervals import newcombe, newcombe_paired, wilson
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import Measure, Recorder
from difrob.specs import AttackSpec, TrainClassifierSpec
from difrob.training.classifying import StepRecord
from difrob.training.validation import FixedImages, Scores

PICTURED_IMAGES = 8
MOST_FLAGS = 10_000  # of as many validation images a checkpoint says one by one which were right


@dataclass
class Measurement:
    """One measurement of the averaged weights; the four in the middle are pairs (successes, images).

    Attributes:
        robust_flags: which validation images were right under attack, a bit each, in hexadecimal digits; "" for more than
            10,000 images, and where a checkpoint of an older version knows none.
    """

    step: int
    clean: tuple[int, int]
    robust: tuple[int, int]
    train_robust: tuple[int, int]
    selected_by: tuple[int, int]
    robust_flags: str = ""

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

    def take(self, found: Measurement) -> bool:
        """Note a measurement; True when it is the best so far (the newest of equals, as Wang et al.)."""
        best = self.best
        is_gain = best is None or found.selected_by[0] > best.selected_by[0]
        is_best = is_gain or (best is not None and found.selected_by[0] == best.selected_by[0])
        self.last = found
        self.best = found if is_best else best
        self.measurements_without_gain = 0 if is_gain else self.measurements_without_gain + 1
        return is_best

    def out_of_patience(self, patience: int | None) -> bool:
        """Whether the selecting accuracy has failed to rise for ``patience`` measurements in a row."""
        return patience is not None and self.measurements_without_gain >= patience


def validation_attack(spec: TrainClassifierSpec) -> AttackSpec:
    """The attack that chooses the best checkpoint: the training ball with more steps and the margin loss."""
    return spec.attack.model_copy(update={"steps": spec.validation_attack_steps})


@dataclass
class Examiner:
    """Measures the averaged weights on the validation images and on as many training images; never on test images."""

    validation: FixedImages
    train: FixedImages
    attack: AttackSpec
    spec: TrainClassifierSpec

    def examine(self, network: Classifier, recorder: Recorder, progress: Progress) -> bool:
        """Measure and record; True when these weights are the best so far."""
        step = progress.step
        scores = self.validation.measure(network, self.attack)
        train_scores = self.train.measure(network, self.attack)
        record_share(recorder, "validation/clean_accuracy", step, scores.clean)
        record_share(recorder, "validation/robust_accuracy", step, scores.robust)
        record_share(recorder, "train/robust_accuracy", step, train_scores.robust)
        # Training minus validation: what has been learnt by heart (Wang et al. 2023 report 60 points without generated data).
        gap = _difference(_count(train_scores.robust), _count(scores.robust))
        recorder.metric("robust_generalisation_gap", step, gap.value, gap.low, gap.high, interval=gap.interval)
        record_classes(recorder, step, self.validation, scores)
        self._picture(network, recorder, step, scores)
        if features_are_due(self.spec, step) and self.validation.ranks.leads:
            record_features(
                network, recorder, step, self.validation, self.train, scores.adversarial, self.attack, self.spec
            )

        selected_by = self._selecting(network, recorder, step, scores)
        found = Measurement(
            step, _count(scores.clean), _count(scores.robust), _count(train_scores.robust), _count(selected_by),
            packed(scores.robust),
        )  # fmt: skip
        return progress.take(found)

    def _selecting(self, network: torch.nn.Module, recorder: Recorder, step: int, scores: Scores) -> np.ndarray:
        """Each objective is judged by what it is for."""
        if self.spec.is_adversarial:
            return scores.robust
        if self.spec.objective == "standard":
            return scores.clean
        noisy = self.validation.right_under_noise(network, self.spec.noise_sigma)
        record_share(recorder, "validation/noisy_accuracy", step, noisy)
        return noisy

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
    measure = share_measure(flags)
    recorder.metric(name, step, measure.value, measure.low, measure.high, interval=measure.interval)


def record_classes(recorder: Recorder, step: int, images: FixedImages, scores: Scores) -> None:
    """Robust accuracy of each class, with Wilson 95 % bands; classes without a validation image are left out."""
    labels = images.labels.cpu().numpy()
    counts = np.bincount(labels)
    right = np.bincount(labels, weights=scores.robust).astype(np.int64)
    shown = np.flatnonzero(counts)
    counts, right = counts[shown], right[shown]
    interval = wilson(right, counts)
    recorder.curve(
        "validation/robust_accuracy_by_class", step, shown.astype(np.float64), right / counts,
        np.asarray(interval.low), np.asarray(interval.high),
        x_label="class", y_label="robust accuracy", interval="Wilson 95 %",
    )  # fmt: skip


def record_step(recorder: Recorder, step: int, record: StepRecord, rate: float, momentum: float | None) -> None:
    """The curves of the training loss; everything is read from the device at once.

    Args:
        recorder: takes the points.
        step: how many steps have been made.
        record: what the newest found.
        rate: its learning rate.
        momentum: its momentum; None where that never changes.
    """
    terms = record.terms
    named = {
        "loss": terms.loss.detach(),
        "loss/clean": terms.clean,
        "loss/robust": terms.robust,
        "loss/alignment": terms.alignment,
        "gradient_norm": record.gradient_norm,
        "train/attack_success": terms.flips,
    }
    known = {name: value.reshape(-1) for name, value in named.items() if value is not None}
    numbers = iter(torch.cat([value.float() for value in known.values()]).tolist())
    for name, value in known.items():
        found = [next(numbers) for _ in value]
        if name == "train/attack_success":
            _record_success(recorder, name, step, *found)
        else:
            recorder.metric(name, step, found[0])
        if name == "loss/alignment":
            recorder.metric("alignment/cosine", step, 1 - found[0])
    recorder.metric("learning_rate", step, rate)
    if momentum is not None:
        recorder.metric("momentum", step, momentum)


def _record_success(recorder: Recorder, name: str, step: int, right: float, flipped: float) -> None:
    """The share of the rightly classified images of a batch that the attack flipped; without any, it may be anything."""
    ends = wilson(flipped, right) if right else (0.0, 1.0)
    low, high = (float(end) for end in ends)
    recorder.metric(name, step, flipped / max(right, 1.0), low, high, interval="Wilson 95 %")


def record_attack(recorder: Recorder, step: int, record: StepRecord) -> None:
    """How the attack of the newest step went on: the share of its batch that was misclassified after each of its steps."""
    if record.terms.wrong_by_step is not None:
        wrong = record.terms.wrong_by_step.double().cpu().numpy()
        interval = wilson(np.rint(wrong * record.images), record.images)
        recorder.curve(
            "train/attack_success_by_step", step, np.arange(len(wrong), dtype=np.float64), wrong, interval.low, interval.high,
            x_label="attack steps", y_label="misclassified share of the batch", interval="Wilson 95 %",
        )  # fmt: skip


def report(spec: TrainClassifierSpec, recorder: Recorder, progress: Progress) -> None:
    """The final numbers: those of the best checkpoint, and what the last one lost against it."""
    best, last = progress.best, progress.last
    assert best is not None and last is not None  # the last step is always measured, and so is the first
    attack = validation_conditions(spec)
    of = {"data_set": data_set_condition(recorder.data_set(spec.data.dataset), "validation")}
    shares = {
        "best_validation_robust_accuracy": (best.robust, stated("best checkpoint, validation images", **attack, **of)),
        "best_validation_clean_accuracy": (best.clean, stated("best checkpoint, validation images", **of)),
        "best_train_robust_accuracy": (best.train_robust, stated("best checkpoint, training images", **attack, **of)),
        "last_validation_robust_accuracy": (last.robust, stated("last measurement, validation images", **attack, **of)),
        "last_train_robust_accuracy": (last.train_robust, stated("last measurement, training images", **attack, **of)),
    }
    if spec.objective == "gaussian":
        noise = stated("best checkpoint, validation images under Gaussian noise", noise_sigma=spec.noise_sigma, **of)
        shares["best_validation_noisy_accuracy"] = (best.selected_by, noise)
    for name, ((successes, images), said) in shares.items():
        recorder.result(name, share_measure(np.arange(images) < successes, **said))
    gap = stated("last measurement, training minus validation accuracy", **attack, **of)
    recorder.result("robust_generalisation_gap", _difference(last.train_robust, last.robust, gap))
    lost = stated("validation accuracy, best checkpoint minus last measurement, on the same images", **attack, **of)
    recorder.result("robust_overfitting", _paired_difference(best, last, lost))
    recorder.result(
        "best_step", Measure(value=float(best.step), unit="steps", description="step of the best checkpoint")
    )


def validation_conditions(spec: TrainClassifierSpec) -> dict[str, Any]:
    """The attack of the validation as conditions; its steps are other ones than those of the training."""
    found = attack_conditions(validation_attack(spec), ("margin",), restarts=1)
    found["validation_attack_steps"] = found.pop("attack_steps")
    found["attack_step_size"] = found.pop("step_size")
    return found


def _difference(first: tuple[int, int], second: tuple[int, int], said: Stated = NOTHING) -> Measure:
    low, high = newcombe(*first, *second)
    value = first[0] / first[1] - second[0] / second[1]
    return Measure(
        value, float(low), float(high), n=min(first[1], second[1]), interval="Newcombe 95 %", unit="share difference",
        **said,
    )  # fmt: skip


def _paired_difference(best: Measurement, last: Measurement, said: Stated) -> Measure:
    """Robust accuracy at best minus at last. Without a word on single images the two count as independent."""
    if not (best.robust_flags and last.robust_flags and best.robust[1] == last.robust[1]):
        measure = _difference(best.robust, last.robust, said)
        return replace(measure, interval="Newcombe 95 %, as if of independent images")
    first, second = (unpacked(found.robust_flags, found.robust[1]) for found in (best, last))
    both, best_only, last_only = (int(flags.sum()) for flags in (first & second, first & ~second, second & ~first))
    n = len(first)
    low, high = newcombe_paired(both, best_only, last_only, n - both - best_only - last_only)
    return Measure(
        (best_only - last_only) / n, float(low), float(high), n=n, interval="Newcombe 95 %, paired", unit="share difference",
        **said,
    )  # fmt: skip


def packed(flags: np.ndarray) -> str:
    """A bit for each flag, in hexadecimal digits; "" for more than :data:`MOST_FLAGS`."""
    return np.packbits(flags).tobytes().hex() if len(flags) <= MOST_FLAGS else ""


def unpacked(digits: str, count: int) -> np.ndarray:
    """The flags that :func:`packed` made into digits, bool [count]."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(digits), dtype=np.uint8), count=count)
    return bits.astype(bool)


def _count(flags: np.ndarray) -> tuple[int, int]:
    return int(flags.sum()), int(flags.size)
