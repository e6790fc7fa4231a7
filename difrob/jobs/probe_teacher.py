"""Probe the blocks of a diffusion model at several noise levels: where its features tell the classes, and how robustly.

Every cell of the sweep is a row of the run's samples, so that an interrupted sweep goes on with the next cell. Probes are
fitted to training images and scored on validation images; block and noise level can be chosen by the scores, test images
are never seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from difrob.data import ImageSet, load_split
from difrob.diffusion.features import block_names, chosen_block
from difrob.diffusion.parameterisations import TrainedDenoiser
from difrob.inputs.misfits import refuse, too_many_learnt_from
from difrob.jobs.feature_pictures import accuracy_map, map_range
from difrob.jobs.measured_set import balanced_part
from difrob.jobs.micro_batches import sampling_pieces
from difrob.jobs.per_image import ResultTable, Rows, chosen_images
from difrob.jobs.sweep_images import sweep_images
from difrob.memory import MicroBatches
from difrob.metrics.accuracy import share_measure
from difrob.metrics.conditions import counted, stated
from difrob.metrics.intervals import wilson
from difrob.metrics.probes import AveragedFeatures, ProbedNetwork, attacked_probe, fit_probe
from difrob.runs.interface import Measure, Recorder
from difrob.specs import AttackSpec, ProbeTeacherSpec, parse_spec
from difrob.specs.denoiser_runs import denoiser_run
from difrob.specs.probe_teacher import LinearProbeSpec
from difrob.training.teachers import DenoiserTeacher, Source, Teacher, open_classifier_teacher, open_denoiser

CLASSIFIERS = ("classifier", "second_classifier")


def run(spec: ProbeTeacherSpec, recorder: Recorder, device: torch.device) -> None:
    """Probe every cell, then name the best one.

    Raises:
        UserError: for a run of another kind, a block or noise level that the denoiser does not have, or unfit images.
    """
    trained = denoiser_run(parse_spec(recorder.input_run(spec.denoiser).spec), spec.denoiser)
    known = load_split(recorder, trained.data, "train")
    refuse(too_many_learnt_from(spec.train_images, len(known), spec.denoiser))
    training = balanced_part(known, spec.train_images or len(known), spec.seed)
    validation = chosen_images(recorder, trained.data, "validation", spec.images)
    denoiser = open_denoiser(recorder, spec.denoiser, spec.weights, training.shape, spec.seed, device)
    prober = Prober(spec.probe, training, validation, sampling_pieces(recorder, spec.batch_size), recorder, device)
    sweep = Sweep.of(spec, denoiser, recorder, training, device)
    recorder.attribute("blocks", list(sweep.blocks))

    def probed(positions: range) -> dict[str, np.ndarray]:
        cell = sweep.cells[positions.start]
        clean, robust, penalty = prober.score(spec, sweep.teacher(cell))
        return {
            "block": np.array([cell.block]),
            "sigma": np.array([cell.sigma]),
            "images": np.array([len(clean)]),
            "clean_right": np.array([int(clean.sum())]),
            "robust_right": np.array([int(robust.sum())]),
            "penalty": np.array([penalty]),
        }

    table = ResultTable(recorder, range(len(sweep.cells)))
    with table.saved_when_stopped():
        # A map shows all cells so far, and there are few; so it is drawn from them instead of from totals.
        sweep_images(
            recorder, table, 1, probed, report=lambda done: draw(spec, recorder, sweep, table.rows(0, done)),
            unit="probes",
        )  # fmt: skip
        report(spec, recorder, sweep, prober, table)


@dataclass(frozen=True)
class Cell:
    """One probe: the number of a block and a noise level; for a classifier -1 or -2 and NaN."""

    block: int
    sigma: float


@dataclass(frozen=True)
class Sweep:
    """All probes of a run in order: level by level, then the classifiers.

    Attributes:
        blocks: names of the blocks.
        cells: what is probed.
        classifiers: teachers behind the negative block numbers, -1 first.
    """

    denoiser: TrainedDenoiser
    weights: Source
    blocks: tuple[str, ...]
    cells: tuple[Cell, ...]
    classifiers: tuple[Teacher, ...]

    @classmethod
    def of(
        cls,
        spec: ProbeTeacherSpec,
        denoiser: TrainedDenoiser,
        recorder: Recorder,
        training: ImageSet,
        device: torch.device,
    ) -> Sweep:
        """The sweep of a specification; whatever cannot be probed is refused now."""
        blocks = tuple(chosen_block(denoiser, name) for name in spec.blocks) or tuple(block_names(denoiser))
        for sigma in spec.sigmas:
            DenoiserTeacher(denoiser, blocks[0], sigma, spec.weights)
        named = [run_id for name in CLASSIFIERS if (run_id := getattr(spec, name))]
        classifiers = tuple(open_classifier_teacher(recorder, run_id, training.shape, device) for run_id in named)
        cells = [Cell(block, sigma) for sigma in spec.sigmas for block in range(len(blocks))]
        cells += [Cell(-1 - number, float("nan")) for number in range(len(classifiers))]
        return cls(denoiser, spec.weights, blocks, tuple(cells), classifiers)

    def teacher(self, cell: Cell) -> Teacher:
        """The features of a cell."""
        if cell.block < 0:
            return self.classifiers[-1 - cell.block]
        return DenoiserTeacher(self.denoiser, self.blocks[cell.block], cell.sigma, self.weights)


@dataclass(frozen=True)
class Prober:
    """Fits linear classifiers to features of training images, and scores them on other images.

    Attributes:
        spec: how they are fitted.
        training: what they are fitted to.
        scored: what they are scored on.
        pieces: how many images go through a network at once, each in all of its noise draws.
    """

    spec: LinearProbeSpec
    training: ImageSet
    scored: ImageSet
    pieces: MicroBatches
    recorder: Recorder
    device: torch.device

    def probed(self, teacher: Teacher, seed: int) -> tuple[ProbedNetwork, float]:
        """A probe on a teacher's features as a classifier of images, and its penalty."""
        draws = self.spec.noise_draws if teacher.takes_noise else 0
        features = AveragedFeatures(teacher, self.training.shape, draws, seed, self.device)
        stop = self.recorder.check_stop
        known = self.pieces.attempt(
            lambda: features.of_images(self.training.images, self.pieces.size, self.device, stop)
        )
        probe = fit_probe(known, self.training.labels, self.training.num_classes, self.spec.rule, self.spec.penalty)
        return ProbedNetwork(features, probe, self.device), probe.penalty

    def score(self, spec: ProbeTeacherSpec, teacher: Teacher) -> tuple[np.ndarray, np.ndarray, float]:
        """Which of the scored images are right, and right under attack, two bool [N]; and the penalty."""
        network, penalty = self.probed(teacher, spec.seed)
        rows = np.arange(len(self.scored))

        def attacked() -> list[tuple[np.ndarray, np.ndarray]]:
            return [
                attacked_probe(
                    network, self.scored.take(rows[part]), spec.attack, spec.seed, self.device, self.recorder.check_stop
                )
                for part in self.pieces.slices(len(rows))
            ]

        found = self.pieces.attempt(attacked)
        return np.concatenate([clean for clean, _ in found]), np.concatenate([robust for _, robust in found]), penalty

    def conditions(self) -> dict[str, str]:
        """How descriptions name the fitting."""
        return {
            "probe": probe_words(self.spec),
            "fitted_to": f"{counted(len(self.training), 'training image')} of {self.training.name}",
        }


def probe_words(spec: LinearProbeSpec) -> str:
    """``ridge, penalty by generalised cross-validation, 10 noise draws``."""
    chosen = {"ridge": "by generalised cross-validation", "logistic": "0.001"}[spec.rule]
    penalty = chosen if spec.penalty is None else f"{spec.penalty:g}"
    return f"{spec.rule}, penalty {penalty}, {counted(spec.noise_draws, 'noise draw')}"


def attack_words(attack: AttackSpec, losses: Sequence[str] = ("cross-entropy", "margin")) -> str:
    """How descriptions name an attack that climbs these losses in turn: here the one on a probe."""
    step = "" if attack.step_size is None else f" of {attack.step_size:g}"
    start = "1 random start" if attack.random_start else "a start at the image"
    each = " each" if len(losses) > 1 else ""
    return f"{attack.label()}{step}, {' and '.join(losses)} loss, {start}{each}"


def draw(spec: ProbeTeacherSpec, recorder: Recorder, sweep: Sweep, table: Rows) -> None:
    """The curves of every block over the noise level, and the maps, as far as the sweep has come."""
    step, block, sigma, images = len(table), table["block"], table["sigma"], table["images"]
    said = {"clean": "unattacked", "robust": f"under {spec.attack.label()}"}
    shares = {name: table[f"{name}_right"] for name in said}
    for name, right in shares.items():
        how = f"probe accuracy, {said[name]}"
        for number, block_name in enumerate(sweep.blocks):
            rows = _sorted(block == number, sigma, right, images)
            _curve(recorder, step, f"{name}_probe_accuracy_{block_name}", how, *rows)
        for number in range(len(sweep.classifiers)):
            for row in np.flatnonzero(block == -1 - number):
                ends = np.array(sorted({min(spec.sigmas), max(spec.sigmas)}))
                alike = np.full(len(ends), row)
                whose = f"{name}_probe_accuracy_{CLASSIFIERS[number]}"
                _curve(recorder, step, whose, how, ends, right[alike], images[alike])

    levels = sorted(spec.sigmas)
    maps = np.full((2, len(sweep.blocks), len(levels)), np.nan)
    for row in np.flatnonzero(block >= 0):
        for number, right in enumerate(shares.values()):
            maps[number, block[row], levels.index(sigma[row])] = right[row] / images[row]
    where = f"rows {', '.join(sweep.blocks)}; columns sigma {', '.join(f'{level:g}' for level in levels)}"
    captions = []
    for how, cells in zip(("clean", spec.attack.label()), maps, strict=True):
        low, high = map_range(cells)
        captions.append(f"{how}: {low} to {high} %, from dark to white; {where}")
    recorder.images("probe_accuracy", step, np.stack([accuracy_map(cells) for cells in maps]), captions)


def _sorted(
    chosen: np.ndarray, sigma: np.ndarray, right: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(sigma[rows])]
    return sigma[rows], right[rows], images[rows]


def _curve(
    recorder: Recorder, step: int, name: str, how: str, x: np.ndarray, right: np.ndarray, images: np.ndarray
) -> None:
    if not len(x):
        return
    band = wilson(right, images)
    recorder.curve(
        name, step, x, right / images, band.low, band.high, x_label="noise level sigma ([-1,1] range)",
        y_label=how, interval="Wilson 95 %",
    )  # fmt: skip


@dataclass(frozen=True)
class Winner:
    """The best cell of a denoiser by one accuracy, of equals the one that is best by the other.

    Attributes:
        by: ``clean`` or ``robust``.
        row: of the table.
        of: how many cells it is the best of.
    """

    by: str
    row: int
    block: str
    sigma: float
    of: int

    @classmethod
    def by_accuracy(cls, by: str, table: ResultTable, blocks: Sequence[str]) -> Winner:
        """Look through the cells of the denoiser; classifiers stand beside them."""
        other = "robust" if by == "clean" else "clean"
        rows = np.flatnonzero(table["block"] >= 0)
        row = int(rows[np.lexsort((table[f"{other}_right"][rows], table[f"{by}_right"][rows]))[-1]])
        return cls(by, row, blocks[table["block"][row]], float(table["sigma"][row]), len(rows))

    @property
    def place(self) -> str:
        """``block2 at sigma 0.3``."""
        return f"{self.block} at sigma {self.sigma:g}"

    @property
    def among(self) -> str:
        """What choosing it among several does to its own accuracy."""
        if self.of == 1:
            return "the only cell"
        return f"the best by {self.by} accuracy on these validation images, an optimistic choice"

    @property
    def chosen(self) -> str:
        """The condition that comparisons read. Of a single cell both accuracies are those of the one that is best by clean."""
        by = self.by if self.of > 1 else "clean"
        return f"best of {counted(self.of, 'cell')} by {by} accuracy on the same images"

    def fact(self) -> dict[str, str | float | int]:
        """For the run's record."""
        return {"block": self.block, "sigma": self.sigma, "of": self.of}


def report(spec: ProbeTeacherSpec, recorder: Recorder, sweep: Sweep, prober: Prober, table: ResultTable) -> None:
    """The best cells by clean and by robust accuracy, the classifiers beside them, and all cells by name."""
    block, images = table["block"], table["images"]
    clean, robust = (Winner.by_accuracy(by, table, sweep.blocks) for by in ("clean", "robust"))
    recorder.attribute("best_cell", clean.fact())
    recorder.attribute("best_robust_cell", robust.fact())
    recorder.attribute("cells", cells(sweep, table))
    say_winners(recorder, table, clean, robust)

    scored = f"{counted(len(prober.scored), 'validation image')} of {prober.scored.name}"
    conditions = {**prober.conditions(), "scored_on": scored}
    of_denoiser = f"linear probe of a {spec.weights} denoiser"
    of_classifier = "linear probe of a classifier's penultimate features"
    reported: list[tuple[str, str, str, int, Winner | None]] = [
        ("best_clean_probe_accuracy", "clean", f"{of_denoiser}, {clean.place}, {clean.among}", clean.row, clean),
        ("best_robust_probe_accuracy", "robust", f"{of_denoiser}, {robust.place}, {robust.among}", robust.row, robust),
        (
            "robust_probe_accuracy_of_best_clean", "robust",
            f"{of_denoiser}, {clean.place}, the best by clean accuracy", clean.row, clean,
        ),
    ]  # fmt: skip
    for number in range(len(sweep.classifiers)):
        (row,) = np.flatnonzero(block == -1 - number).tolist()
        for kind in ("clean", "robust"):
            reported.append((f"{CLASSIFIERS[number]}_{kind}_probe_accuracy", kind, of_classifier, row, None))
    attack = {"clean": {}, "robust": {"attack": attack_words(spec.attack)}}
    for name, kind, what, row, winner in reported:
        under = attack[kind] | ({} if winner is None else {"chosen": winner.chosen})
        right = np.arange(images[row]) < table[f"{kind}_right"][row]
        recorder.result(name, share_measure(right, **stated(f"{kind} accuracy, {what}", **conditions, **under)))
    for name, winner in (("best_sigma", clean), ("best_robust_sigma", robust)):
        said = stated(
            f"noise level of the best cell by {winner.by} accuracy, {winner.block}", **conditions, **attack[winner.by],
            chosen=winner.chosen,
        )  # fmt: skip
        recorder.result(name, Measure(winner.sigma, unit="[-1,1] range", **said))


def cells(sweep: Sweep, table: ResultTable) -> list[dict[str, str | float]]:
    """All cells of the denoiser with the names of their blocks and both accuracies, in the order of the sweep."""
    return [
        {
            "block": sweep.blocks[table["block"][row]],
            "sigma": float(table["sigma"][row]),
            "clean_accuracy": float(table["clean_right"][row] / table["images"][row]),
            "robust_accuracy": float(table["robust_right"][row] / table["images"][row]),
        }
        for row in np.flatnonzero(table["block"] >= 0).tolist()
    ]


def say_winners(recorder: Recorder, table: ResultTable, clean: Winner, robust: Winner) -> None:
    """A line for each winner, with what aligns a classifier with that cell."""
    for winner in (clean,) if clean.row == robust.row else (clean, robust):
        titles = "clean and robust" if clean.row == robust.row else winner.by
        shares = [100 * table[f"{by}_right"][winner.row] / table["images"][winner.row] for by in ("clean", "robust")]
        recorder.note(
            f"best by {titles} accuracy of {counted(winner.of, 'cell')}: {winner.place}, {shares[0]:.1f} % clean, "
            f"{shares[1]:.1f} % robust; --set alignment.block={winner.block} --set alignment.sigma={winner.sigma:g}"
        )
