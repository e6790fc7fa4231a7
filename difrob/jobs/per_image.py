"""What jobs share that work through a set image by image: rows that survive an interruption, and their pace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from difrob.data import ImageSet, Split, load_split
from difrob.errors import Stopped, UserError
from difrob.inputs.misfits import refuse, too_large_part
from difrob.nets.storage import pack, unpack
from difrob.runs.interface import Recorder
from difrob.specs import DataSpec

CHECKPOINT_SECONDS = 20.0
UPDATES = 40
RESTS_ON = "rests_on"


class ResultTable:
    """Rows of per-image results, recorded as they come, and kept for the final numbers.

    A checkpoint holds all rows so far. An interrupted job goes on after its last checkpoint; rows that it had recorded
    since are computed again, which gives the same values, and are not recorded twice.

    Args:
        recorder: where rows go, and where those of an interrupted run are.
        rests_on: what outside the workspace the values depend on, e.g. the digest of a file; "" for nothing.

    Raises:
        UserError: when the interrupted run's rows rest on something else.

    Attributes:
        reported_rows: how many rows the curves and pictures of the interrupted run had got to, as far as they are kept:
            a run that goes on from a checkpoint keeps them up to there, one without a checkpoint keeps none.
        beside: further arrays that checkpoints keep as they stand, by name; what they hold counts as done, like rows.
    """

    def __init__(self, recorder: Recorder, rests_on: str = "") -> None:
        self._recorder = recorder
        self._rests_on = rests_on
        self._columns: dict[str, np.ndarray] = {}
        self.beside: dict[str, np.ndarray] = {}
        self._saved = 0
        self._saved_at = time.monotonic()
        self.reported_rows = 0
        if recorder.resumed_from is not None:
            before = str(recorder.resumed_from.state.get(RESTS_ON, rests_on))
            if before != rests_on:
                raise UserError(
                    f"the run began with {before} and would go on with {rests_on}; put the file back as it was, or "
                    "start the run anew"
                )
            parts = unpack(recorder.resumed_from.weights)
            kept, beside = parts.get("rows", {}), parts.get("beside", {})
            self._columns = {name: tensor.numpy()[: recorder.recorded_samples] for name, tensor in kept.items()}
            self.beside = {name: tensor.numpy() for name, tensor in beside.items()}
            self.reported_rows = len(self)
            self._saved = self._done

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()))) if self._columns else 0

    @property
    def _done(self) -> int:
        return len(self) + sum(len(values) for values in self.beside.values())

    def __getitem__(self, column: str) -> np.ndarray:
        return self._columns[column]

    def add(self, **columns: np.ndarray) -> None:
        """Append rows; those that the interrupted run had recorded already are not recorded again."""
        known = max(0, self._recorder.recorded_samples - len(self))
        new = {name: values[known:] for name, values in columns.items()}
        if len(next(iter(new.values()))):
            self._recorder.samples(**new)
        self._columns = {
            name: np.concatenate([self._columns[name], values]) if self._columns else values
            for name, values in columns.items()
        }

    def report_is_due(self, before: int, total: int) -> bool:
        """Whether the curves are to be drawn anew after rows were added: some forty times in all, and at the end.

        Args:
            before: number of rows before they were added.
            total: number of rows in the end.
        """
        done = len(self)
        fresh = done > self.reported_rows
        return fresh and (done == total or done * UPDATES // total > before * UPDATES // total)

    def save_if_due(self) -> None:
        """A checkpoint when the last one is more than ``CHECKPOINT_SECONDS`` old."""
        if time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS:
            self.save()

    def save(self) -> None:
        """A checkpoint with all rows and what is kept beside them, unless it has been written already."""
        self._saved_at = time.monotonic()
        done = self._done
        if done == self._saved:
            return
        rows = {name: torch.from_numpy(np.array(values)) for name, values in self._columns.items()}
        beside = {name: torch.from_numpy(np.array(values)) for name, values in self.beside.items()}
        self._recorder.checkpoint(done, pack(rows=rows, beside=beside), {"step": done, RESTS_ON: self._rests_on})
        self._saved = done

    @contextmanager
    def saved_when_stopped(self) -> Iterator[None]:
        """Around the work: on ``Stopped`` with grade "stop" the finished rows are saved before the exception goes on."""
        try:
            yield
        except Stopped as stopped:
            if stopped.grade == "stop":
                self.save()
            raise


def chosen_images(recorder: Recorder, data: DataSpec, split: Split, images: int | None) -> ImageSet:
    """The first ``images`` images of a split, or all of them.

    Raises:
        UserError: when more are asked for than there are.
    """
    available = load_split(recorder, data, split)
    if images is None:
        return available
    refuse(too_large_part(images, len(available), split, available.name))
    return available.take(np.arange(images))
