"""Accuracy of a trained classifier on clean images, under a union of projected-gradient attacks, and under corruptions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from difrob.attacks.attack import Draws
from difrob.attacks.masking import Probe, masking_checks
from difrob.attacks.union import SURVIVED, WRONG_UNATTACKED, UnionVerdict, attack_with_each, pgd_attacks
from difrob.data import ImageSet, as_float, as_uint8
from difrob.errors import UserError
from difrob.jobs.corrupted_accuracy import CorruptedAccuracy, corrupted_images
from difrob.jobs.micro_batches import sampling_pieces
from difrob.jobs.per_image import ResultTable, Rows, chosen_images
from difrob.jobs.running_totals import RunningShare
from difrob.jobs.sweep_images import sweep_images
from difrob.memory import MicroBatches
from difrob.metrics.accuracy import share_measure
from difrob.metrics.conditions import attack_conditions, measured_images, stated
from difrob.metrics.intervals import wilson
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import Measure, Recorder
from difrob.specs import AttackSpec, EvaluateSpec
from difrob.specs.classifier_runs import ClassifierRun
from difrob.training.loading import load_classifier

PICTURED_IMAGES = 16
CHECKED_IMAGES = 100


def run(spec: EvaluateSpec, recorder: Recorder, device: torch.device) -> None:
    """Attack every image that is classified rightly, batch by batch; verdicts belong to the image, not to its batch.

    Raises:
        UserError: when the classifier does not fit the images, corrupted ones included, or its logits are not finite.
    """
    classifier, training = load_classifier(recorder.input_run(spec.classifier), spec.weights, device)
    images = chosen_images(recorder, training.data, spec.split, spec.images)
    check_radii(spec)
    warn_of_another_ball(spec, recorder, training)
    corrupted = corrupted_images(spec, recorder, classifier, training.data)
    assault = Assault(classifier, spec, recorder, device)
    pieces = sampling_pieces(recorder, spec.batch_size)
    table = ResultTable(recorder, range(len(images)), indices=images.indices)
    under_corruption = (
        None if corrupted is None else CorruptedAccuracy(classifier, corrupted, recorder, device, table, pieces)
    )
    total = len(images) + (0 if corrupted is None else len(corrupted))
    first = range(min(spec.batch_size, len(images)))

    def attacked(positions: range) -> dict[str, np.ndarray]:
        batch, pictured = images.take(np.array(positions)), positions == first and table.reported_rows == 0
        return pieces.attempt(partial(assault.attack_in_pieces, batch, pieces, with_pictures=pictured))

    so_far = AccuracySoFar(spec, recorder)
    with table.saved_when_stopped():
        if len(table) >= len(first) and table.reported_rows == 0:
            attacked(first)  # its rows are there, but the pictures were taken back with the interruption
        sweep_images(
            recorder, table, spec.batch_size, attacked, take_in=so_far.take_in, report=so_far.record, total=total
        )
        if under_corruption is not None:
            under_corruption.measure(spec.batch_size, total)
        if spec.sanity_checks:
            recorder.check_stop()
            check_for_masking(spec, recorder, classifier, images, table, device)
    record = recorder.data_set(training.data.dataset)
    report(spec, recorder, table, measured_images(table["index"], spec.split, record))
    if under_corruption is not None:
        under_corruption.report()


def check_radii(spec: EvaluateSpec) -> None:
    """Refuse a grid of radii that the norm has no meaning for."""
    for eps in spec.eps_grid:
        if eps < 0 or (spec.attack.norm == "linf" and eps > 1):
            raise UserError(
                f"eps_grid holds {eps:g}; a radius of the {spec.attack.norm} norm lies in [0, 1] or above 0"
            )


def warn_of_another_ball(spec: EvaluateSpec, recorder: Recorder, training: ClassifierRun) -> None:
    """Say beforehand that a classifier is attacked in another ball than the one that it was trained in."""
    learnt, attack = training.attack, spec.attack
    if not training.is_adversarial or (attack.norm, attack.eps) == (learnt.norm, learnt.eps):
        return
    asked = f"attack.eps = {spoken_radius(attack.eps)}"
    if attack.norm != learnt.norm:
        asked = f"attack.norm = {attack.norm}, {asked}"
    recorder.note(f"{asked}; this classifier was trained at {learnt.norm} {spoken_radius(learnt.eps)}", "warning")


def spoken_radius(eps: float) -> str:
    """A radius as ``0.15``; one that is a whole number of grey levels, and no short decimal, as ``0.0314 (8/255)``."""
    levels = round(255 * eps)
    is_whole = levels > 0 and abs(255 * eps - levels) < 0.01
    return f"{eps:.3g} ({levels}/255)" if is_whole and abs(eps - round(eps, 2)) > 1e-9 else f"{eps:g}"


@dataclass
class Assault:
    """The attacks of one evaluation, ready to be run on a batch."""

    classifier: Classifier
    spec: EvaluateSpec
    recorder: Recorder
    device: torch.device

    def attack_in_pieces(self, batch: ImageSet, pieces: MicroBatches, *, with_pictures: bool) -> dict[str, np.ndarray]:
        """:meth:`attack` with as many images at once as memory allows."""
        rows = np.arange(len(batch))
        found = [
            self.attack(batch.take(rows[part]), with_pictures=with_pictures and part.start == 0)
            for part in pieces.slices(len(batch))
        ]
        return {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}

    def attack(self, batch: ImageSet, *, with_pictures: bool) -> dict[str, np.ndarray]:
        """All verdicts on a batch, as columns of per-image results.

        ``breaking_eps`` is the smallest of the radii tried that broke the image: 0 where it is wrong unattacked, infinity
        where none did. As the balls are nested, an image broken at one radius counts as broken at every larger one, and
        one that holds at the main radius, against more restarts, as holding at every smaller one.
        """
        images, labels = as_float(batch.images, self.device), torch.from_numpy(np.array(batch.labels)).to(self.device)
        with torch.no_grad():
            logits = self.classifier(images)
        if not bool(logits.isfinite().all()):
            raise UserError("the classifier's logits are not finite on clean images; its training diverged")
        predictions = logits.argmax(1)
        clean_correct = (predictions == labels).cpu().numpy()
        right = np.flatnonzero(clean_correct)

        def union(rows: np.ndarray, attack: AttackSpec, restarts: int) -> UnionVerdict:
            on_device = torch.from_numpy(rows).to(self.device)
            return attack_with_each(
                self.classifier, images[on_device], labels[on_device], Draws(self.spec.seed, batch.indices[rows]),
                pgd_attacks(attack, self.spec.losses, restarts, self.recorder.check_stop), self.recorder.check_stop,
            )  # fmt: skip

        main = union(right, self.spec.attack, self.spec.restarts)
        broken = np.ones((len(self.spec.losses), len(batch)), dtype=bool)
        broken[:, right] = main.broken
        broken_by = np.full(len(batch), WRONG_UNATTACKED, dtype=np.int8)
        broken_by[right] = main.broken_by
        forward, backward = np.ones(len(batch), dtype=np.int64), np.zeros(len(batch), dtype=np.int64)
        forward[right] += main.forward
        backward[right] += main.backward

        eps = self.spec.attack.eps
        breaking_eps = np.where(clean_correct, np.where(broken.any(axis=0), eps, np.inf), 0.0)
        for radius in sorted(set(self.spec.eps_grid) - {0.0, eps}):
            rows = np.flatnonzero(breaking_eps == (eps if radius < eps else np.inf))
            if len(rows):
                found = union(rows, at_radius(self.spec.attack, radius), 1)
                breaking_eps[rows[~found.held_out]] = radius

        if with_pictures:
            self._picture(batch, right, main)
        return {
            "index": batch.indices,
            "label": batch.labels,
            "prediction": predictions.cpu().numpy(),
            "clean_correct": clean_correct,
            "robust_correct": ~broken.any(axis=0),
            "broken_by": broken_by,
            **{f"robust_{name}": ~broken[number] for number, name in enumerate(self.spec.losses)},
            "breaking_eps": breaking_eps,
            "forward_passes": forward,
            "backward_passes": backward,
        }

    def _picture(self, batch: ImageSet, right: np.ndarray, verdict: UnionVerdict) -> None:
        """Clean and adversarial images side by side, of the first ones that are right unattacked."""
        adversarial = verdict.adversarial[:PICTURED_IMAGES]
        with torch.no_grad():
            predictions = self.classifier(adversarial).argmax(1).tolist()
        shown = right[:PICTURED_IMAGES]
        pairs = np.stack([batch.images[shown], as_uint8(adversarial)], axis=1).reshape(-1, *batch.images.shape[1:])
        captions = []
        for label, prediction, by in zip(batch.labels[shown], predictions, verdict.broken_by, strict=False):
            how = "held out" if by == SURVIVED else f"broken by {self.spec.losses[by]}"
            captions += [f"label {label}", f"label {label} -> {prediction}, {how}"]
        if captions:
            self.recorder.images("adversarial", 0, pairs, captions)


def at_radius(attack: AttackSpec, eps: float) -> AttackSpec:
    """The same attack in a ball of another radius; a step length that was given is scaled with it."""
    scaled = attack.step_size * eps / attack.eps if attack.step_size is not None and attack.eps > 0 else None
    return attack.model_copy(update={"eps": eps, "step_size": scaled})


class AccuracySoFar:
    """The accuracies over the images done so far, at the radii tried, 0 and the main one included."""

    def __init__(self, spec: EvaluateSpec, recorder: Recorder) -> None:
        self._norm = spec.attack.norm
        self._recorder = recorder
        self._radii = np.array(sorted({0.0, spec.attack.eps, *spec.eps_grid}))
        self._held_out = np.zeros(len(self._radii), dtype=np.int64)
        self._shares = {"clean": RunningShare(), "robust": RunningShare()}

    def take_in(self, rows: Rows) -> None:
        """Add the verdicts of a batch."""
        for name, share in self._shares.items():
            share.add(rows[f"{name}_correct"])
        held_out = rows["breaking_eps"] > self._radii[:, None]
        # At radius 0 only what is wrong unattacked counts, even if the main radius is 0.
        held_out[0] = rows["clean_correct"]
        self._held_out += held_out.sum(axis=1)

    def record(self, done: int) -> None:
        """Metrics and curve over the first ``done`` images, which have been taken in."""
        for name, share in self._shares.items():
            share.record(self._recorder, f"{name}_accuracy", done)
        band = wilson(self._held_out, done)
        self._recorder.curve(
            "robust_accuracy_over_eps", done, self._radii, self._held_out / done, band.low, band.high,
            x_label=f"{self._norm} radius eps ([0,1] intensity)", y_label="robust accuracy", interval="Wilson 95 %",
        )  # fmt: skip


def check_for_masking(
    spec: EvaluateSpec, recorder: Recorder, classifier: Classifier, images: ImageSet, table: ResultTable,
    device: torch.device,
) -> None:  # fmt: skip
    """Run the masking checks on the first images that are right unattacked, and say what they found."""
    rows = np.flatnonzero(table["clean_correct"])[:CHECKED_IMAGES]
    if len(rows) == 0 or spec.attack.eps == 0:
        recorder.note("no masking checks: there is nothing to attack", "warning")
        return
    probe = Probe(
        as_float(images.images[rows], device),
        torch.from_numpy(images.labels[rows]).to(device),
        images.indices[rows],
    )
    checks = masking_checks(classifier, probe, attack=spec.attack, losses=spec.losses, seed=spec.seed)
    for check in checks:
        recorder.note(f"{check.name}: {check.message}", "info" if check.passed else "warning")
        recorder.result(
            f"check/{check.name}",
            Measure(value=float(check.passed), n=len(rows), unit="passed", description=check.message),
        )
    recorder.attribute("masking_checks", {c.name: {"passed": c.passed, **c.numbers} for c in checks})


def report(spec: EvaluateSpec, recorder: Recorder, table: ResultTable, measured_on: dict[str, Any]) -> None:
    """The final numbers; each states its attack, and the images, so that those of two sets are never taken for alike."""

    def under(*losses: str) -> dict[str, Any]:
        return {**attack_conditions(spec.attack, losses, spec.restarts), **measured_on}

    recorder.result("clean_accuracy", share_measure(table["clean_correct"], **stated("unattacked", **measured_on)))
    recorder.result("robust_accuracy", share_measure(table["robust_correct"], **stated("", **under(*spec.losses))))
    for name in spec.losses:
        recorder.result(f"robust_accuracy_{name}", share_measure(table[f"robust_{name}"], **stated("", **under(name))))
    recorder.attribute(
        "passes_per_image",
        {name: float(table[f"{name}_passes"].mean()) for name in ("forward", "backward")},
    )
    meanings = {WRONG_UNATTACKED: "wrong unattacked", SURVIVED: "held out", **dict(enumerate(spec.losses))}
    recorder.attribute(
        "broken_by",
        {meaning: int((table["broken_by"] == code).sum()) for code, meaning in meanings.items()},
    )
    recorder.attribute("broken_by_codes", {str(code): meaning for code, meaning in meanings.items()})
