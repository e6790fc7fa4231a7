"""What a training step costs beside the passes that it cannot do without. Run as ``python tests/benchmarks/bench_training.py``.

Every number stands beside a floor measured in turns with it, on the same network in the same process: bare passes of the same
size, without losses, projections, optimiser or data. On a CPU the clock is the processor time of the process with one thread,
so that other work on the machine counts as little as it can; on a GPU it is the time until the device is done. Shown are the
medians of the turns, the median of the ratios of neighbouring turns, by which a goal is met or missed, and the ratio of the
fastest turns, which tells what other work on the machine has added. The exit status is 1 when a goal is missed.

The share of the data is shown twice: with sets that lie on the device, as those do that fit, and with sets that are mapped from
files and collected on the host, as large ones are.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from difrob.data import Augmentation, ImageSet, device_images
from difrob.diffusion.samplers import sample, sigma_grid, starting_noise
from difrob.memory import MicroBatches
from difrob.nets.classifiers import build_classifier
from difrob.specs import ClassifierNetworkSpec, DenoiserNetworkSpec, TrainClassifierSpec, TrainDenoiserSpec
from difrob.specs.diffusion_parts import RegulariserSpec
from difrob.specs.parts import AttackSpec
from difrob.training.classifying import ClassifierTraining
from difrob.training.denoising import DenoiserTraining, NoisyBatches
from difrob.training.mixing import MixedBatches
from difrob.training.weight_averaging import WarmedUpAverage

Work = Callable[[], object]
MISSED: list[str] = []  # what did not reach its goal
SMALL_WIDE = ClassifierNetworkSpec(architecture="wide_resnet", depth=10, widen=1)
UNET = DenoiserNetworkSpec(architecture="unet2d", channels=(32, 64, 64), dropout=0.0)


class Clock:
    """Seconds that work takes on a device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def seconds(self, work: Work) -> float:
        """One turn."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()
            began = time.perf_counter()
            work()
            torch.cuda.synchronize()
            return time.perf_counter() - began
        began = time.process_time()
        work()
        return time.process_time() - began

    def interleaved(self, rounds: int, *works: Work) -> list[list[float]]:
        """Seconds of each work in every round, the order turned round each time; one round beforehand does not count."""
        for work in works:
            work()
        found: list[list[float]] = [[] for _ in works]
        for number in range(rounds):
            order = range(len(works)) if number % 2 else reversed(range(len(works)))
            for which in order:
                found[which].append(self.seconds(works[which]))
        return found


def show(what: str, seconds: list[float], floor: list[float], goal: float, *, share: bool = False) -> None:
    """One line: both medians, and the median of the ratios."""
    ratio = statistics.median(first / second for first, second in zip(seconds, floor, strict=True))
    fastest = min(seconds) / min(floor)
    value, best, aim = (
        (f"{100 * number:.2f} %" if share else f"{number:.3f}").rjust(8) for number in (ratio, fastest, goal)
    )
    verdict = "met" if ratio <= goal else "MISSED"
    if ratio > goal:
        MISSED.append(what.strip())
    print(
        f"{what:<62}{1e3 * statistics.median(seconds):>10.4g} ms {1e3 * statistics.median(floor):>10.4g} ms "
        f"{value} {best}  goal {aim.strip()}: {verdict}",
        flush=True,
    )


def images_of(count: int, shape: tuple[int, int, int]) -> ImageSet:
    """Noise; what is in an image costs nothing."""
    colours, height, width = shape
    images = np.random.default_rng(0).integers(0, 256, (count, height, width, colours), dtype=np.uint8)
    return ImageSet(images, np.arange(count) % 10, 10, "noise", "train", np.arange(count))


def mapped(images: ImageSet, path: Path) -> ImageSet:
    """The same set, its images mapped from a file."""
    np.save(path, images.images)
    return replace(images, images=np.load(path, mmap_mode="r"))


def whole(size: int) -> MicroBatches:
    return MicroBatches(size, may_shrink=True, tell=lambda size, why: None)


def bench_trades(clock: Clock, device: torch.device, rounds: int, shape: tuple[int, int, int], batch: int) -> None:
    """A TRADES step (losses, attack, SGD, average) over (K + 3) F + K Bx + 2 B; the share of its data; its average."""
    steps = 10
    spec = TrainClassifierSpec(
        network=SMALL_WIDE, attack=AttackSpec(eps=8 / 255, steps=steps), batch_size=batch, generated_fraction=0.7,
        steps=10_000,
    )  # fmt: skip
    real, made = images_of(20_000, shape), images_of(40_000, shape)

    def mixed(real: ImageSet, made: ImageSet) -> MixedBatches:
        return MixedBatches(
            real, [made], batch_size=batch, generated_fraction=0.7, seed=0, device=device,
            augmentation=Augmentation(padding=4, flips=True),
        )  # fmt: skip

    batches = mixed(real, made)
    with tempfile.TemporaryDirectory(prefix="difrob-bench-") as folder:
        files = [mapped(images, Path(folder) / f"{number}.npy") for number, images in enumerate((real, made))]
        with mock.patch.object(device_images, "RESIDENT_BYTES", 0):  # as if the sets were too large for the device
            collected = mixed(*files)
        measure_trades(clock, device, rounds, spec, batches, collected)


def measure_trades(
    clock: Clock,
    device: torch.device,
    rounds: int,
    spec: TrainClassifierSpec,
    batches: MixedBatches,
    collected: MixedBatches,
) -> None:
    """The lines of :func:`bench_trades`; ``collected`` are the same batches out of mapped files."""
    real, batch, steps = batches.real, spec.batch_size, spec.attack.steps
    assert torch.equal(batches.batch(0)[0], collected.batch(0)[0])
    model = ClassifierTraining(spec, real, device, whole(batch), print)
    network, (images, labels) = model.network, batches.batch(0)
    numbers = iter(range(10_000))

    def floor() -> None:
        with torch.no_grad():
            network(images)
        for _ in range(steps):
            x = images.detach().requires_grad_()
            torch.autograd.grad(network(x).sum(), x)
        (network(images).sum() + network(images).sum()).backward()
        network.zero_grad(set_to_none=True)

    def step() -> None:
        model.step(next(numbers), images, labels)

    def data() -> None:
        batches.batch(next(numbers))

    def mapped_data() -> None:
        collected.batch(next(numbers))

    name = "x".join(map(str, real.shape))
    took, least, fetched, gathered, averaged = clock.interleaved(
        rounds, step, floor, data, mapped_data, lambda: model.average.update(network)
    )
    show(f"TRADES-{steps} step, WRN-10-1, {name}, batch {batch}, over its passes", took, least, 1.05)
    show("  its data (30 % real, 70 % generated, shifted, mirrored)", fetched, took, 0.03, share=True)
    show("  the same data, mapped from files", gathered, took, 0.03, share=True)
    show("  its weight average", averaged, took, 0.01, share=True)


def bench_average(clock: Clock, device: torch.device, rounds: int) -> None:
    """The weight average of WRN-28-10 over reading and writing as many numbers as one flat tensor."""
    network = build_classifier(ClassifierNetworkSpec(architecture="wide_resnet_28_10"), (3, 32, 32), 10).to(device)
    average = WarmedUpAverage(network, 0.995)
    average.update(network)
    size = sum(parameter.numel() for parameter in network.parameters())
    flat, other = torch.zeros(size, device=device), torch.ones(size, device=device)
    took, least = clock.interleaved(rounds, lambda: average.update(network), lambda: flat.lerp_(other, 0.005))
    show("weight average of WRN-28-10 over one flat lerp", took, least, 1.25)


def bench_denoiser(clock: Clock, device: torch.device, rounds: int, batch: int) -> None:
    """A step of the diffusion model over forward, backward and Adam; the regularised steps over a plain one."""
    shape = (1, 28, 28)
    training = images_of(2_000, shape)

    def stepper(regulariser: RegulariserSpec) -> tuple[DenoiserTraining, Work]:
        spec = TrainDenoiserSpec(network=UNET, batch_size=batch, steps=10_000, regulariser=regulariser)
        batches = NoisyBatches(spec, training, device)
        model = DenoiserTraining(spec, shape, 10, device, whole(batch), print)
        numbers = iter(range(10_000))

        def step() -> None:
            number = next(numbers)
            model.step(number, batches.batch(number))

        return model, step

    _, step = stepper(RegulariserSpec())
    _, random_step = stepper(RegulariserSpec(constraint="equivariance", perturbation="uniform"))
    _, adversarial_step = stepper(RegulariserSpec(constraint="equivariance", perturbation="adversarial"))
    bare, _ = stepper(RegulariserSpec())
    adam = torch.optim.Adam(bare.parameters, lr=1e-4, fused=True)
    v, sigma = torch.randn(batch, *shape, device=device), torch.rand(batch, device=device) + 0.1
    labels = torch.arange(batch, device=device) % 10

    def floor() -> None:
        bare.denoiser.denoise(v, sigma, labels).square().mean().backward()
        adam.step()
        adam.zero_grad(set_to_none=True)

    took, least, random, adversarial = clock.interleaved(rounds, step, floor, random_step, adversarial_step)
    show(f"step of the diffusion model, U-Net 32-64-64, 28x28, batch {batch}", took, least, 1.05)
    show("  with the random regulariser over a plain step", random, took, 2.1)
    show("  with the adversarial regulariser over a plain step", adversarial, took, 2.8)


def bench_sampler(clock: Clock, device: torch.device, rounds: int, batch: int) -> None:
    """Heun's sampler over the network calls that it makes."""
    shape, steps = (1, 28, 28), 4
    spec = TrainDenoiserSpec(network=UNET, batch_size=batch)
    denoiser = DenoiserTraining(spec, shape, 10, device, whole(batch), print).average.module
    noise = starting_noise(0, range(batch), shape, device)
    labels, sigmas = torch.arange(batch, device=device) % 10, sigma_grid(steps)
    sigma = torch.full((batch,), 0.5, device=device)

    def floor() -> None:
        with torch.no_grad():
            for _ in range(2 * steps - 1):
                denoiser.denoise(noise, sigma, labels)

    def draw() -> Tensor:
        return sample(denoiser, noise, labels, sigmas)

    took, least = clock.interleaved(rounds, draw, floor)
    show(f"Heun sampler, {2 * steps - 1} calls, 28x28, batch {batch}, over those calls", took, least, 1.03)


def main() -> int:
    """Print the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each measurement")
    parser.add_argument("--batch", type=int, default=128, help="images per training step")
    parser.add_argument("--samples", type=int, default=256, help="images of the sampler")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", default="", help="comma-separated: trades28, trades32, average, denoiser, sampler")
    given = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(given.device)
    clock, rounds = Clock(device), given.rounds
    wanted = given.only.split(",") if given.only else ["trades28", "trades32", "average", "denoiser", "sampler"]
    print(f"{'':<62}{'measured':>13} {'beside':>13} {'ratio':>8} {'fastest':>8}")
    for name, work in {
        "trades28": lambda: bench_trades(clock, device, rounds, (1, 28, 28), given.batch),
        "trades32": lambda: bench_trades(clock, device, rounds, (3, 32, 32), given.batch),
        "average": lambda: bench_average(clock, device, rounds),
        "denoiser": lambda: bench_denoiser(clock, device, rounds, max(given.batch // 2, 1)),
        "sampler": lambda: bench_sampler(clock, device, rounds, given.samples),
    }.items():
        if name in wanted:
            work()
    if MISSED:
        print(f"missed: {'; '.join(MISSED)}")
    return int(bool(MISSED))


if __name__ == "__main__":
    sys.exit(main())
