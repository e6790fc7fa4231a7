"""Each way to fail has its own cause, its own sentence and its own next step."""

from __future__ import annotations

import errno

import pytest
import torch

from difrob.errors import NotFinite, UserError
from difrob.runs.causes import ADVICE, Cause, advice
from difrob.worker.failures import explain_failure

CASES: list[tuple[Exception, Cause, str]] = [
    (NotFinite("the loss became nan at step 7"), Cause.NOT_FINITE, "the loss became nan at step 7"),
    (UserError("there is no run 'x'"), Cause.BAD_INPUT, "there is no run 'x'"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB\nmore"), Cause.GPU_MEMORY,
     "out of GPU memory (CUDA out of memory. Tried 2 GiB)"),
    (MemoryError("Unable to allocate 9 TiB"), Cause.MEMORY, "out of memory (Unable to allocate 9 TiB)"),
    (ModuleNotFoundError("No module named 'diffusers'"), Cause.IMPORT,
     "a package is missing or broken: No module named 'diffusers'"),
    (OSError(errno.ENOSPC, "No space left on device", "/tmp/x"), Cause.DISK_FULL, "the disk is full at '/tmp/x'"),
    (OSError(errno.EIO, "Input/output error", "/data/a.h5"), Cause.DISK,
     "the system refused at '/data/a.h5': Input/output error"),
    (RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be"), Cause.LOST_DEVICE,
     "the device was lost: CUDA error: unspecified launch failure"),
    (RuntimeError("CUDA error: device-side assert triggered"), Cause.ERROR,
     "RuntimeError: CUDA error: device-side assert triggered; the log holds the traceback"),
    (RuntimeError("an unknown error of ours"), Cause.ERROR,
     "RuntimeError: an unknown error of ours; the log holds the traceback"),
    (KeyError("images"), Cause.ERROR, "KeyError: 'images'; the log holds the traceback"),
    (ZeroDivisionError(), Cause.ERROR, "ZeroDivisionError: ZeroDivisionError; the log holds the traceback"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "cause", "sentence"), CASES)
def test_cause_and_sentence(error: Exception, cause: Cause, sentence: str) -> None:
    assert explain_failure(error) == (cause, sentence)


def test_every_cause_has_its_own_next_step() -> None:
    assert set(ADVICE) == set(Cause)
    assert all(text.endswith(".") for cause, text in ADVICE.items() if cause is not Cause.NONE)
    assert advice("gpu_memory") == ADVICE[Cause.GPU_MEMORY] and advice("") == "" and advice("from the future") == ""
