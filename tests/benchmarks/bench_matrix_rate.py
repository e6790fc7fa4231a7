"""How much of a GPU's matrix rate training uses. Run as ``python tests/benchmarks/bench_matrix_rate.py``.

The rate of the device is measured, not read off a data sheet: the fastest of some products of large bfloat16 matrices. Beside
it stands the rate of whole TRADES-10 steps of WRN-28-10 on 32x32 images in bfloat16 with channels last, compiled and not. Their
operations follow from those of a forward pass, which torch counts: K + 3 forward passes, K passes back to the input that cost
as much, and two full backward passes that cost twice as much. The peak memory of a step is printed with it. Without a GPU
nothing is measured; ``--device cpu`` with a small batch and network shows that the measurement itself works.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from difrob.data import ImageSet
from difrob.memory import MicroBatches
from difrob.nets.classifiers import build_classifier
from difrob.specs import ClassifierNetworkSpec, TrainClassifierSpec
from difrob.specs.parts import AttackSpec, ComputeSpec
from difrob.training.classifying import ClassifierTraining
from difrob.worker.torch_setup import prepare_torch

GOAL = 0.4
ATTACK_STEPS = 10
WARM_UP_STEPS = 3


def waited(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds until the device has done it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def matrix_rate(device: torch.device, size: int, rounds: int) -> float:
    """Operations per second of the fastest product of two bfloat16 matrices [size, size]."""
    first, second = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    waited(device, lambda: first @ second)
    fastest = min(waited(device, lambda: first @ second) for _ in range(rounds))
    return 2 * size**3 / fastest


def step_operations(network: ClassifierNetworkSpec, batch: int) -> int:
    """Operations of the passes of one step: (K + 3) F + K F + 2 (2 F)."""
    count = FlopCounterMode(display=False)
    with count, torch.no_grad():
        build_classifier(network, (3, 32, 32), 10)(torch.zeros(1, 3, 32, 32))
    return (2 * ATTACK_STEPS + 7) * batch * int(count.get_total_flops())


def training(
    device: torch.device, network: ClassifierNetworkSpec, batch: int, *, compile: bool
) -> Callable[[], object]:
    """What does one TRADES step after the other on one batch that lies on the device."""
    spec = TrainClassifierSpec(
        network=network, attack=AttackSpec(eps=8 / 255, steps=ATTACK_STEPS), batch_size=batch, steps=10_000,
        compute=ComputeSpec(precision="bfloat16", channels_last=True, compile=compile),
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 32, 32, 3), dtype=np.uint8)
    real = ImageSet(pixels, np.arange(batch) % 10, 10, "noise", "train", np.arange(batch))
    pieces = MicroBatches(batch, may_shrink=True, tell=lambda size, why: print(why))
    model = ClassifierTraining(spec, real, device, pieces, print)
    images = torch.rand(batch, 3, 32, 32, device=device)
    labels = torch.arange(batch, device=device) % 10
    numbers = iter(range(10_000))
    return lambda: model.step(next(numbers), images, labels)


def main() -> int:
    """Print the rates; 1 where the goal is missed on a GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--depth", type=int, default=28)
    parser.add_argument("--widen", type=int, default=10)
    parser.add_argument("--matrix", type=int, default=8192, help="side of the matrices")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    if not given.device:
        print("matrix rate of a TRADES step: there is no GPU here, nothing was measured")
        return 0
    device = prepare_torch(given.device)  # the settings of a run, determinism included
    network = ClassifierNetworkSpec(architecture="wide_resnet", depth=given.depth, widen=given.widen)
    name = f"WRN-{given.depth}-{given.widen}, batch {given.batch}"

    peak = matrix_rate(device, given.matrix, given.rounds)
    print(f"bfloat16 product of {given.matrix} x {given.matrix}: {peak / 1e12:.4g} TFLOP/s")
    operations = step_operations(network, given.batch)
    shares = []
    for compile in (False, True):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        step = training(device, network, given.batch, compile=compile)
        for _ in range(WARM_UP_STEPS):
            step()
        seconds = statistics.median(waited(device, step) for _ in range(given.rounds))
        shares.append(operations / seconds / peak)
        memory = f", peak {torch.cuda.max_memory_allocated(device) / 1e9:.1f} GB" if device.type == "cuda" else ""
        print(
            f"TRADES-{ATTACK_STEPS} step, {name}, {'compiled' if compile else 'not compiled'}: {1e3 * seconds:.4g} ms, "
            f"{operations / 1e12:.4g} TFLOP, {100 * shares[-1]:.1f} % of that rate{memory}",
            flush=True,
        )
    verdict = "met" if max(shares) >= GOAL else "MISSED"
    print(f"goal {100 * GOAL:.0f} %: {verdict}")
    return int(device.type == "cuda" and max(shares) < GOAL)


if __name__ == "__main__":
    sys.exit(main())
