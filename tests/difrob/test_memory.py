"""Cutting batches, and telling a full device from other trouble."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from difrob.memory import MicroBatches, out_of_memory


@given(count=st.integers(0, 300), size=st.integers(1, 300))
def test_slices_cover_everything_evenly(count: int, size: int) -> None:
    pieces = list(MicroBatches(size, may_shrink=False, tell=lambda size, why: None).slices(count))
    assert [row for piece in pieces for row in range(piece.start, piece.stop)] == list(range(count))
    lengths = [piece.stop - piece.start for piece in pieces]
    assert not lengths or (max(lengths) <= size and max(lengths) - min(lengths) <= 1 and min(lengths) > 0)
    assert len(pieces) == -(-count // size)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "gpu"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"), "gpu"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"), "cpu"),
        (MemoryError(), "cpu"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ""),
        (ValueError("out of memory"), ""),
    ],
)  # fmt: skip
def test_what_ran_out(error: Exception, what: str) -> None:
    assert out_of_memory(error) == what


def test_a_real_refusal_of_the_allocator_is_known() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(refused.value) == "cpu"


def test_nothing_of_a_failed_attempt_is_alive_at_the_next() -> None:
    """A traceback that is still held would keep the tensors that the next attempt needs the room of."""
    left: list[weakref.ref[torch.Tensor]] = []
    told: list[tuple[int, str]] = []
    pieces = MicroBatches(9, may_shrink=True, tell=lambda size, why: told.append((size, why)))

    def work() -> int:
        gc.disable()
        try:
            assert all(reference() is None for reference in left)
        finally:
            gc.enable()
        large = torch.zeros(100)
        left.append(weakref.ref(large))
        if pieces.size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return pieces.size

    assert pieces.attempt(work) == 2
    assert [size for size, _ in told] == [5, 3, 2]
    assert told[0][1] == "GPU memory ran out with 9 images at once; from here on 5 at once"
    assert len(left) == 4


def test_other_errors_pass_through_at_once() -> None:
    attempts = []

    def work() -> None:
        attempts.append(1)
        raise RuntimeError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"):
        MicroBatches(8, may_shrink=True, tell=lambda size, why: None).attempt(work)
    assert len(attempts) == 1
