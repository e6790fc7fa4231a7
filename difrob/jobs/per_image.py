"""What jobs share that work through a set image by image: rows that survive an interruption."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import DTypeLike

from difrob.data import ImageSet, Split, load_split
from difrob.errors import Stopped, UserError
from difrob.inputs.misfits import refuse, too_large_part
from difrob.nets.storage import pack, unpack
from difrob.runs.interface import Recorder
from difrob.specs import DataSpec

CHECKPOINT_SECONDS = 20.0
RESTS_ON = "rests_on"


class Rows(Protocol):
    """Some rows of a table, read by column."""

    def __len__(self) -> int: ...

    def __getitem__(self, column: str, /) -> np.ndarray: ...


class FilledArray:
    """An array of known final length that is filled from the front; appending copies only what is new.

    Args:
        total: length in the end.
        values: what it holds already, [n <= total, ...]; they tell type and shape of an entry. Never written to.
    """

    def __init__(self, total: int, values: np.ndarray) -> None:
        self._done = len(values)
        self._values = values
        if self._done < total:
            self._values = np.empty((total, *values.shape[1:]), dtype=values.dtype)
            self._values[: self._done] = values

    def __len__(self) -> int:
        return self._done

    def append(self, values: np.ndarray) -> None:
        """Put values of the same type and shape behind the others, at most as many as are missing."""
        self._values[self._done : self._done + len(values)] = values
        self._done += len(values)

    @property
    def filled(self) -> np.ndarray:
        """What it holds so far: a view, not a copy."""
        return self._values[: self._done]


class ResultTable:
    """Rows of per-image results, recorded as they come, and read again for the final numbers.

    The recorded rows are the only copy that outlives the process: an interrupted job gets them back from its recorder,
    however it ended, and goes on behind them. A checkpoint holds no row. It marks up to where curves and pictures stand,
    and keeps what rows cannot tell.

    Args:
        recorder: where rows go, and where those of an interrupted run are.
        positions: which of the images in their order the rows are of: row r is of image ``positions[r]``. Some of a longer
            order where others do the rest.
        indices: number of each of these images in its data set, as the column ``index`` is to hold it,
            [len(positions)]; None for rows without that column.
        rests_on: what outside the workspace the values depend on, e.g. the digest of a file; "" for nothing.

    Raises:
        UserError: when the interrupted run's rows rest on something else, are of other images, or are too many.

    Attributes:
        reported_rows: how many rows the curves and pictures of the interrupted run had got to, as far as they are kept:
            a run that goes on from a checkpoint keeps them up to there, one without a checkpoint keeps none.
    """

    def __init__(
        self, recorder: Recorder, positions: range, *, indices: np.ndarray | None = None, rests_on: str = ""
    ) -> None:
        self.positions = positions
        self._recorder = recorder
        self._rests_on = rests_on
        self._columns: dict[str, FilledArray] = {}
        self._done = recorder.recorded_samples
        self._beside: dict[str, FilledArray] = {}
        self._beside_before: dict[str, np.ndarray] = {}
        self._saved: int | None = None
        self._saved_at = time.monotonic()
        self.reported_rows = 0
        if recorder.resumed_from is not None:
            self._require_same_ground(str(recorder.resumed_from.state.get(RESTS_ON, rests_on)))
            # Checkpoints of earlier versions hold copies of the rows, too; the rows themselves are as good.
            kept = unpack(recorder.resumed_from.weights).get("beside", {})
            self._beside_before = {name: tensor.numpy() for name, tensor in kept.items()}
            self._saved = recorder.resumed_from.step
            self.reported_rows = min(self._saved, len(positions))
        elif self._done and rests_on:
            raise UserError(
                f"the run was interrupted before it noted what its {self._done} rows rest on; start the run anew"
            )
        self._require_same_images(indices)

    def _require_same_ground(self, before: str) -> None:
        if before != self._rests_on:
            raise UserError(
                f"the run began with {before} and would go on with {self._rests_on}; put the file back as it was, or "
                "start the run anew"
            )

    def _require_same_images(self, indices: np.ndarray | None) -> None:
        if self._done > len(self.positions):
            raise UserError(
                f"the interrupted run recorded {self._done} rows, which are more than the {len(self.positions)} of the "
                "run that would go on with them; start the run anew"
            )
        if indices is not None and self._done and not np.array_equal(self["index"], indices[: self._done]):
            raise UserError(
                f"the {self._done} rows that the interrupted run recorded are of other images than the run would go on "
                "with; start the run anew"
            )

    def __len__(self) -> int:
        return self._done

    def __getitem__(self, column: str) -> np.ndarray:
        return self._column(column).filled

    def _column(self, name: str) -> FilledArray:
        if name not in self._columns:
            self._columns[name] = FilledArray(len(self.positions), self._recorder.recorded_column(name))
        return self._columns[name]

    def rows(self, first: int, last: int) -> Rows:
        """The rows from ``first`` to before ``last``, which must be there; a column is read when it is asked for."""
        return _SomeRows(self, slice(first, last))

    def add(self, **columns: np.ndarray) -> None:
        """Append rows and record them."""
        if self._rests_on and self._saved is None:
            self._checkpoint()  # a row must never be there without what it rests on
        self._recorder.samples(**columns)
        for name, values in columns.items():
            if self._done:
                self._column(name).append(values)
            else:
                self._columns[name] = FilledArray(len(self.positions), values)
        self._done += len(next(iter(columns.values())))

    def beside(self, name: str, total: int, dtype: DTypeLike) -> FilledArray:
        """An array that checkpoints keep beside the rows, as far as it is filled; what it holds counts as done, like rows.

        Args:
            name: what an interrupted run kept comes back under it.
            total: length in the end.
            dtype: type of its entries.
        """
        before = self._beside_before.get(name, np.empty(0, dtype=dtype))
        self._beside[name] = FilledArray(total, before)
        return self._beside[name]

    def save_if_due(self) -> None:
        """A checkpoint when the last one is more than ``CHECKPOINT_SECONDS`` old."""
        if time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS:
            self.save()

    def save(self) -> None:
        """A checkpoint that marks what is done, unless there is one already."""
        self._saved_at = time.monotonic()
        if self._steps != (self._saved or 0):
            self._checkpoint()

    @property
    def _steps(self) -> int:
        return self._done + sum(map(len, self._beside.values()))

    def _checkpoint(self) -> None:
        beside = {name: torch.from_numpy(np.array(array.filled)) for name, array in self._beside.items() if len(array)}
        self._recorder.checkpoint(self._steps, pack(beside=beside), {"step": self._steps, RESTS_ON: self._rests_on})
        self._saved = self._steps

    @contextmanager
    def saved_when_stopped(self) -> Iterator[None]:
        """Around the work: on ``Stopped`` with grade "stop" what is done is marked before the exception goes on."""
        try:
            yield
        except Stopped as stopped:
            if stopped.grade == "stop":
                self.save()
            raise


class _SomeRows:
    def __init__(self, table: ResultTable, rows: slice) -> None:
        self._table = table
        self._rows = rows

    def __len__(self) -> int:
        return int(self._rows.stop - self._rows.start)

    def __getitem__(self, column: str) -> np.ndarray:
        return self._table[column][self._rows]


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
