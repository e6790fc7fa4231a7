"""Random numbers that are a function of what they are for.

Every draw of a run is derived from its seed, the name of the stream and a step or sample index; no global generator is
ever advanced. So a resumed run repeats exactly, sample i has the same noise whatever the batch size, and work can be split
over machines without changing a row. Draws are made on the CPU and then moved, so that all devices see the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def stream_key(seed: int, *stream: int | str, bits: int = 63) -> int:
    """A stable hash of a seed and a stream name, in [0, 2^bits); the same on every machine and in every version.

    Args:
        seed: seed of the run.
        stream: names and indices, e.g. ``("noise", 17)``. Whole numbers and text are told apart: 1 is not ``"1"``.
        bits: at most 256.
    """
    parts = [f"{type(part).__name__}:{len(str(part))}:{part}" for part in (int(seed), *map(_plain, stream))]
    digest = hashlib.blake2b("|".join(parts).encode(), digest_size=32, person=b"difrob").digest()
    return int.from_bytes(digest, "little") & ((1 << bits) - 1)


def generator(seed: int, *stream: int | str) -> torch.Generator:
    """A fresh CPU generator for one stream of a run, e.g. ``generator(spec.seed, "noise", step)``.

    torch's CPU engine uses the low 32 bits of its seed, which is ample for the streams of one run but not for one stream
    per sample; use :func:`normal_per_sample` there.
    """
    return torch.Generator().manual_seed(stream_key(seed, *stream))


def numpy_generator(seed: int, *stream: int | str) -> np.random.Generator:
    """The same for NumPy: a Philox generator with a 128-bit key, for permutations and resampling."""
    return np.random.Generator(np.random.Philox(key=stream_key(seed, *stream, bits=128)))


def normal_per_sample(
    seed: int, stream: str | tuple[int | str, ...], indices: Sequence[int] | np.ndarray | Tensor, shape: Sequence[int]
) -> Tensor:
    """Standard normal noise that belongs to the sample: row j depends on (seed, stream, indices[j]) only.

    Args:
        seed: seed of the run.
        stream: name of the stream.
        indices: sample indices, non-negative, [n].
        shape: shape of one sample's noise.

    Returns:
        float32 [n, *shape] on the CPU.
    """
    rows = np.empty((len(indices), int(np.prod(shape, dtype=np.int64))), dtype=np.float32)
    for row, source in _sources(seed, stream, indices, rows):
        source.standard_normal(dtype=np.float32, out=row)
    return torch.from_numpy(rows).reshape(len(indices), *shape)


def uniform_per_sample(
    seed: int, stream: str | tuple[int | str, ...], indices: Sequence[int] | np.ndarray | Tensor, shape: Sequence[int]
) -> Tensor:
    """Uniform numbers in [0, 1) that belong to the sample, float32 [n, *shape]; see :func:`normal_per_sample`."""
    rows = np.empty((len(indices), int(np.prod(shape, dtype=np.int64))), dtype=np.float32)
    for row, source in _sources(seed, stream, indices, rows):
        source.random(dtype=np.float32, out=row)
    return torch.from_numpy(rows).reshape(len(indices), *shape)


@contextmanager
def seeded_globally(device: torch.device, seed: int, *stream: int | str) -> Iterator[None]:
    """For code that can only draw from torch's global generators (weight initialisation, dropout).

    Inside the block those of the CPU and of ``device`` are seeded from the stream; afterwards they stand where they stood
    before. ``torch.manual_seed`` would reach for every kind of device there may be, which takes milliseconds each time where
    there is none.
    """
    key = stream_key(seed, *stream)
    devices = [device] if device.type == "cuda" else []
    metal_state = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(key)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(key)
        elif device.type == "mps":
            torch.mps.manual_seed(key)
        try:
            yield
        finally:
            if metal_state is not None:
                torch.mps.set_rng_state(metal_state)


def _sources(
    seed: int, stream: str | tuple[int | str, ...], indices: Sequence[int] | np.ndarray | Tensor, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.random.Generator]]:
    """Pair each row with a generator placed at the sample's own stretch of the Philox counter.

    The sample index is the third of the counter's four words, so every sample owns 2^128 blocks, whatever the rejections
    of the normal sampler consume. Writing the state costs 2 microseconds; a new generator per sample would cost 7.
    """
    numbers = np.asarray(indices, dtype=np.int64)
    if numbers.ndim != 1 or (numbers < 0).any():
        raise ValueError("sample indices must be a list of non-negative whole numbers")
    names = (stream,) if isinstance(stream, str) else stream
    bits = np.random.Philox(key=stream_key(seed, *names, bits=128))
    source = np.random.Generator(bits)
    state = bits.state
    fresh_position = state["buffer_pos"]
    for row, number in zip(rows, numbers.astype(np.uint64), strict=True):
        state["state"]["counter"][:] = (0, 0, number, 0)
        state["buffer_pos"] = fresh_position
        state["has_uint32"] = 0
        bits.state = state
        yield row, source


def _plain(part: int | str) -> int | str:
    return part if isinstance(part, str) else int(part)
