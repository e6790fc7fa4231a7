"""A diffusion model that others have trained becomes a run with all that its users need, checked on real images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from difrob.data import as_uint8, load_split
from difrob.data.points import in_diffusion_range
from difrob.data.toy_names import TOYS
from difrob.diffusion.denoiser import largest_sigma
from difrob.diffusion.described import described_denoiser, description_of
from difrob.diffusion.features import block_names
from difrob.diffusion.importing import FoundModel, file_digests, read_model
from difrob.diffusion.parameterisations import TrainedDenoiser, grid_of, schedule_of
from difrob.diffusion.samplers import sample, starting_noise
from difrob.errors import UserError
from difrob.inputs.facts import BLOCKS
from difrob.jobs.micro_batches import sampling_pieces
from difrob.metrics.accuracy import mean_measure
from difrob.nets.storage import load_weights, pack, part_of, unpack
from difrob.randomness import normal_per_sample
from difrob.runs.datasets import DataSetRecord
from difrob.runs.interface import Checkpoint, Measure, Recorder
from difrob.runs.journal import MAX_FRAME
from difrob.specs import ImportDenoiserSpec

CHECKED_SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
IMAGES_AT_ONCE = 64

# The noise of the check is about the same for all runs, whatever their seeds.
CHECK_SEED = 0


def run(spec: ImportDenoiserSpec, recorder: Recorder, device: torch.device) -> None:
    """Read the model, keep it, draw a few images from it, and measure how well it denoises real ones.

    From the first checkpoint on the files are no longer needed, also not by a resumed run.

    Raises:
        UserError: for files that hold no such model, or one that does not fit the data set.
        Stopped: when asked to; once it is kept, the model can be used.
    """
    record = recorder.data_set(spec.data.dataset)
    kept = recorder.resumed_from or bring_in(spec, recorder, record)
    # What is checked is what was kept, and the files may go: weights that were mapped from them are no longer used.
    denoiser = described_denoiser(kept.state)
    load_weights(denoiser, part_of(unpack(kept.weights), "average"), assign=True)
    denoiser.to(device).eval().requires_grad_(False)
    total = spec.preview_images + spec.checked_images
    recorder.progress(0, total, "images")
    if spec.preview_images:
        draw(spec, recorder, denoiser, device)
        recorder.progress(spec.preview_images, total, "images")
    if spec.checked_images:
        check_denoising(spec, recorder, denoiser, device)
    # Behind the errors, the first of which stands for the run in tables.
    parameters = sum(parameter.numel() for parameter in denoiser.parameters())
    recorder.result("parameters", Measure(parameters, unit="weights", description="weights of the network"))
    recorder.progress(total, total, "images")


def bring_in(spec: ImportDenoiserSpec, recorder: Recorder, record: DataSetRecord) -> Checkpoint:
    """Read the model, see that it fits, and make it and its origin durable; what was kept."""
    if spec.data.dataset in TOYS:
        raise UserError(f"'{spec.data.dataset}' holds points; models from elsewhere are for images")
    record.require_fit_for("images")
    found = read_model(Path(spec.path).expanduser(), spec, record.image_shape[1])
    check_fit(spec, found.denoiser, record)
    check_numbers(spec, found.denoiser)
    for note in found.notes:
        recorder.note(note)
    record_facts(spec, recorder, found)
    weights = pack(average=found.denoiser.state_dict())
    if len(weights) >= MAX_FRAME:
        raise UserError(
            f"the weights of '{spec.path}' take {len(weights) / 2**30:.1f} GiB, more than the {MAX_FRAME / 2**30:.0f} GiB that "
            "a run can hold"
        )
    kept = Checkpoint(0, weights, description_of(found.denoiser))
    recorder.checkpoint(kept.step, kept.weights, kept.state)
    return kept


def check_fit(spec: ImportDenoiserSpec, denoiser: TrainedDenoiser, record: DataSetRecord) -> None:
    """Refuse a model for other images or classes than those of the data set.

    Raises:
        UserError: naming both sides.
    """
    theirs, ours = denoiser.image_shape, tuple(record.image_shape)
    if theirs != ours:
        has, wants = " x ".join(map(str, ours)), " x ".join(map(str, theirs))
        raise UserError(
            f"the model '{spec.path}' is for images of {wants}, the data set '{record.name}' has {has} (channels x height x "
            "width); name what it was trained on"
        )
    classes = len(record.class_names)
    if denoiser.num_classes not in (0, classes):
        hint = "" if spec.label_dropout else ", unless the last one is the null class, as label_dropout above 0 says"
        raise UserError(
            f"the model '{spec.path}' knows {denoiser.num_classes} classes, the data set '{record.name}' has {classes}; name "
            f"what it was trained on{hint}"
        )


def check_numbers(spec: ImportDenoiserSpec, denoiser: TrainedDenoiser) -> None:
    """Refuse weights that were spoiled in training or on the way.

    Raises:
        UserError: naming the first tensor that is not finite.
    """
    for name, tensor in denoiser.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"the model '{spec.path}' is of no use: '{name}' holds numbers that are not finite")


def record_facts(spec: ImportDenoiserSpec, recorder: Recorder, found: FoundModel) -> None:
    """Where the model comes from, and what it is."""
    denoiser, schedule = found.denoiser, schedule_of(found.denoiser)
    sigma_range = None if schedule is None else [schedule.sigma_min, schedule.sigma_max]
    facts: dict[str, Any] = {
        "format": found.format,
        "files": file_digests(found.files, recorder.check_stop),
        "parameters": sum(parameter.numel() for parameter in denoiser.parameters()),
        "image_shape": list(denoiser.image_shape),
        "num_classes": denoiser.num_classes,
        "knows_null_class": denoiser.has_null_class,
        BLOCKS: block_names(denoiser),
        "parameterisation": "edm" if schedule is None else "ddpm",
        "sigma_range": sigma_range,  # of an EDM: none, it takes every noise level
    }
    for name, value in facts.items():
        recorder.attribute(name, value)


def draw(spec: ImportDenoiserSpec, recorder: Recorder, denoiser: TrainedDenoiser, device: torch.device) -> None:
    """A contact sheet in a few steps: a model that was read wrongly draws noise or grey."""
    if denoiser.image_shape[0] not in (1, 3):
        recorder.note(f"images of {denoiser.image_shape[0]} channels cannot be shown", "warning")
        return
    index = np.arange(spec.preview_images)
    classes = index % denoiser.num_classes if denoiser.num_classes else None
    grid, pieces = grid_of(denoiser, spec.preview_steps), sampling_pieces(recorder, spec.preview_images)

    def drawn(rows: slice) -> np.ndarray:
        noise = starting_noise(spec.seed, index[rows], denoiser.image_shape, device)
        labels = None if classes is None else torch.from_numpy(classes[rows]).to(device)
        u = sample(
            denoiser,
            noise,
            labels,
            grid,
            sampler="dpm_solver_2m",
            callback=lambda step, sigma, state: recorder.check_stop(),
        )
        return as_uint8((u + 1) / 2)

    images = pieces.attempt(lambda: np.concatenate([drawn(rows) for rows in pieces.slices(len(index))]))
    captions = None if classes is None else [str(label) for label in classes]
    recorder.images("generated", 1, images, captions)


def check_denoising(
    spec: ImportDenoiserSpec, recorder: Recorder, denoiser: TrainedDenoiser, device: torch.device
) -> None:
    """The squared error of denoised validation images over the noise level, beside that without any network.

    The latter is the best that can be done pixel by pixel knowing no more than mean and variance s^2 of all pixels: its error
    is s^2 sigma^2 / (s^2 + sigma^2). A network that does no better was read wrongly, or was trained on something else.
    """
    held = load_split(recorder, spec.data, "validation")
    images = held.take(np.arange(min(spec.checked_images, len(held))))
    limit = largest_sigma(denoiser)
    sigmas = [sigma for sigma in CHECKED_SIGMAS if sigma <= limit] or [limit]
    variance = float(in_diffusion_range(images).double().var())
    pieces = sampling_pieces(recorder, min(IMAGES_AT_ONCE, len(images)))
    measures: list[Measure] = []
    for number, sigma in enumerate(sigmas):

        def errors(sigma: float = sigma) -> np.ndarray:
            parts = pieces.slices(len(images))
            return np.concatenate([denoising_errors(recorder, denoiser, images, rows, sigma, device) for rows in parts])

        described = f"mean squared error of a pixel after denoising, sigma {sigma:g}, {len(images)} validation images"
        measures.append(mean_measure(pieces.attempt(errors), described, unit="[-1,1] range, squared"))
        recorder.result(f"denoising_error_at_{sigma:g}", measures[-1])
        done = spec.checked_images * (number + 1) // len(sigmas)
        recorder.progress(spec.preview_images + done, spec.preview_images + spec.checked_images, "images")
    report_check(spec, recorder, np.array(sigmas), measures, variance)


def report_check(
    spec: ImportDenoiserSpec, recorder: Recorder, sigmas: np.ndarray, measures: list[Measure], variance: float
) -> None:
    """The errors as a curve, and a warning where they are no smaller than without a network."""
    found = np.array([measure.value for measure in measures])
    low = np.array([measure.value if measure.low is None else measure.low for measure in measures])
    high = np.array([measure.value if measure.high is None else measure.high for measure in measures])
    without = variance * sigmas**2 / (variance + sigmas**2)
    x_label, y_label = "sigma ([-1,1] range)", "mean squared error of a pixel"
    recorder.curve(
        "denoising_error", 1, sigmas, found, low, high, x_label=x_label, y_label=y_label, interval=measures[0].interval
    )
    recorder.curve("denoising_error_without_network", 1, sigmas, without, x_label=x_label, y_label=y_label)
    poor = [f"{sigma:g}" for sigma, here, there in zip(sigmas, found, without, strict=True) if not here < there]
    if poor:
        recorder.note(
            f"at the noise levels {', '.join(poor)} it denoises '{spec.data.dataset}' no better than no network would: its "
            "settings (noise schedule, heads, time steps, sigma_data) or the data set may not be those it was trained with",
            "warning",
        )


@torch.no_grad()
def denoising_errors(
    recorder: Recorder, denoiser: TrainedDenoiser, images: Any, rows: slice, sigma: float, device: torch.device
) -> np.ndarray:
    """Squared error of each image, averaged over its pixels, under noise that never changes, float64 [n]."""
    recorder.check_stop()
    part = images.take(np.arange(rows.start, rows.stop))
    u = in_diffusion_range(part, device)
    noise = normal_per_sample(CHECK_SEED, "import_check", range(rows.start, rows.stop), tuple(u.shape[1:])).to(device)
    labels = torch.from_numpy(part.labels.copy()).to(device) if denoiser.num_classes else None
    estimate = denoiser.denoise(u + sigma * noise, torch.full((len(u),), sigma, device=device), labels)
    # Devices without float64 (MPS) are why the difference goes to the CPU first.
    errors: np.ndarray = (estimate - u).cpu().double().square().flatten(1).mean(dim=1).numpy()
    return errors
