"""How much memory a generated set takes while it is drawn. Run as ``python tests/benchmarks/bench_generating.py``.

Two sets of 32x32 colour images are drawn by processes of their own, a small and a large one, and their largest resident
memory is compared: what is above that of the small one grows with the set. The network is as small as can be and takes one
step, since pixels weigh the same whoever draws them. ``--images 1000000`` takes 6 GB of disk and about ten minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from difrob.cli import main as difrob

SMALL = 4_000
GOAL_MB = 1_000
BATCH = 2_000
TINY = (
    "network.architecture=straight_mlp", "network.width=8", "network.blocks=1", "steps=2", "batch_size=8", "sample_every=0",
    "data.dataset=noise",
)  # fmt: skip
ONE_STEP = ("denoiser=denoiser", "sampler=euler", "sampling_steps=1", f"batch_size={BATCH}")


def prepare(workspace: Path) -> None:
    """A denoiser of 32x32 colour images; what it draws does not matter."""
    rng = np.random.default_rng(0)
    archive = workspace / "noise.npz"
    np.savez(archive, image=rng.integers(0, 256, (200, 32, 32, 3), dtype=np.uint8), label=np.arange(200) % 10)
    where = ["--workspace", str(workspace)]
    commands = (
        ["data", "add", str(archive), "--name", "noise"],
        ["run", "train_denoiser", "--name", "denoiser", *settings(TINY)],
    )
    for command in commands:
        if difrob([*command, *where]):
            raise SystemExit(f"'difrob {' '.join(command)}' failed")


def settings(fields: tuple[str, ...]) -> list[str]:
    """Fields as arguments of a command."""
    return [part for field in fields for part in ("--set", field)]


def peak_megabytes(workspace: Path, images: int) -> tuple[float, float]:
    """Largest resident memory in 10^6 bytes, and seconds, of a process that draws so many images."""
    command = [
        sys.executable,
        "-m",
        "difrob",
        "run",
        "generate",
        "--name",
        f"set-{images}",
        "--workspace",
        str(workspace),
    ]
    command += settings((*ONE_STEP, f"images={images}"))
    began = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_CLOSE, 1)])
    _, status, usage = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"drawing {images} images failed; see its run in '{workspace}'")
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / 1e6, time.perf_counter() - began


def main() -> int:
    """Print both peaks; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000, help="size of the large set")
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        prepare(workspace)
        small, _ = peak_megabytes(workspace, SMALL)
        large, seconds = peak_megabytes(workspace, images)
    verdict = "within" if large - small < GOAL_MB else "above"
    print(f"{SMALL:>9,} images  peak {small:6.0f} MB")
    print(f"{images:>9,} images  peak {large:6.0f} MB  {seconds:.0f} s, {3072 * images / 1e6:.0f} MB of pixels")
    print(f"the larger set takes {large - small:.0f} MB more ({verdict} the goal of {GOAL_MB} MB)")
    return int(large - small >= GOAL_MB)


if __name__ == "__main__":
    sys.exit(main())
