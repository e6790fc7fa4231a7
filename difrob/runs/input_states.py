"""What a run rests on of other runs: noted by digest when it is read, and held against what it rested on before.

A run that is read may still be training or drawing. Then its last weights, its best ones and its rows are others from one
moment to the next, and an interrupted job that went on with them would mix what it found with two inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from difrob.errors import UserError
from difrob.quantities.conditions import INPUTS
from difrob.runs.interface import Checkpoint
from difrob.runs.reader import RunReader
from difrob.runs.states import RunState

ROWS = "rows"
DIGEST_DIGITS = 12


@dataclass(frozen=True)
class InputState:
    """In which state a part of a run was when it was read.

    Attributes:
        digest: of the weights, or of the rows.
        finished: whether the run had finished.
        weights: ``best``, ``last`` or ``step``, as they were chosen; "" for rows.
        step: of the weights; None for rows.
        rows: how many of them; None for weights.
    """

    digest: str
    finished: bool
    weights: str = ""
    step: int | None = None
    rows: int | None = None

    @classmethod
    def of(cls, reader: RunReader, part: str) -> InputState:
        """The state in which a part of a run is: its ``rows``, its ``best`` or ``last`` weights, or those of a step.

        Raises:
            UserError: when there is no such part, or the run cannot be read.
        """
        finished = reader.summary().state is RunState.FINISHED
        if part == ROWS:
            rows, digest = reader.rows_digest()
            return cls(digest, finished, rows=rows)
        step, weights, digest = reader.chosen_weights(chosen(part))
        return cls(digest, finished, weights, step)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> InputState:
        """What a run file says. UserError when it makes no sense."""
        try:
            step, rows = (None if values.get(name) is None else int(values[name]) for name in ("step", "rows"))
            return cls(str(values["digest"]), bool(values["finished"]), str(values.get("weights", "")), step, rows)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UserError(f"what the run noted of its inputs makes no sense ({values!r}); start a new run") from None

    def condition(self, run_id: str) -> dict[str, Any]:
        """What a result says of it; see :data:`difrob.quantities.conditions.INPUTS`."""
        said = {name: value for name, value in asdict(self).items() if value not in ("", None)}
        return {"run": run_id, **said, "digest": self.digest[:DIGEST_DIGITS]}

    @property
    def words(self) -> str:
        """``its last weights, of step 100``."""
        if self.rows is not None:
            return f"its first {self.rows:,} rows"
        if self.weights == "step":
            return f"its weights of step {self.step}"
        return f"its {self.weights} weights, of step {self.step}"


def chosen(part: str) -> str | int:
    """What a reader calls the weights of a part."""
    return int(part) if part.isdecimal() else part


class InputStates:
    """The states of all inputs of a run, in this session and in the one that it goes on from.

    Args:
        open_run: a reader of a run; UserError when there is none such.
        roles: {field of the specification: run id}.
        before: what the file says of the runs that were read: {run id: {"digest": ..., "read": {part: state}}}. Empty where
            nothing is kept of an earlier session, so that nothing can be mixed.
        record: keeps what the file is to say of a run that is read, in the form of ``before``.
        note: writes a line of the log, of a level.
    """

    def __init__(
        self,
        open_run: Callable[[str], RunReader],
        roles: Mapping[str, str],
        before: Mapping[str, Any],
        record: Callable[[str, dict[str, Any]], None],
        note: Callable[[str, str], None],
    ) -> None:
        self._open_run = open_run
        self._roles = roles
        self._record = record
        self._note = note
        self._before = {run_id: noted_states(entry) for run_id, entry in before.items() if "read" in entry}
        # A difrob of before noted one digest of all that a run holds.
        self._whole_before = {
            run_id: entry.get("digest", "") for run_id, entry in before.items() if "read" not in entry
        }
        self._read: dict[str, dict[str, InputState]] = {}

    def require_unchanged(self, resumed_run: str, *, old_inputs: bool) -> None:
        """Refuse to go on with other inputs than those that the interrupted run began with.

        What cannot be read any more is passed over: the job tells it if it wants to read it.

        Args:
            resumed_run: id of the run that goes on.
            old_inputs: go on all the same, with the old inputs, where they are still kept.

        Raises:
            UserError: naming the input, what it was and what it is, and the ways on.
        """
        for run_id, states in self._before.items():
            for part, state in states.items():
                try:
                    reader = self._open_run(run_id)
                    now = InputState.of(reader, part)
                except UserError:
                    continue
                kept = _holds(reader, state)
                if now.digest != state.digest and not (kept and old_inputs):
                    raise UserError(_changed(resumed_run, run_id, state, now, kept=kept))
        for run_id in dict.fromkeys(self._roles.values()):
            if run_id in self._whole_before:
                self._require_unchanged_as_a_whole(run_id)

    def _require_unchanged_as_a_whole(self, run_id: str) -> None:
        """The same for a run of before parts were noted, of which all that an input holds has one digest."""
        try:
            now = self._open_run(run_id).content_digest()
        except UserError:
            return
        before = self._whole_before[run_id]
        if not before:
            self._note(
                f"in which state run '{run_id}' was when this run began was not noted; whether it has changed since is "
                "not known",
                "warning",
            )
        elif before != now:
            raise UserError(
                f"run '{run_id}' has gone on, or lost checkpoints, since this run began, and what is recorded would be mixed "
                "with what another input gives; start a new run"
            )

    def input_run(self, run_id: str) -> NotedRun:
        """A run that notes in which state it is read."""
        reader = self._open_run(run_id)
        self._record_parent(reader)
        return NotedRun(reader, self)

    def _record_parent(self, reader: RunReader) -> None:
        run_id = reader.run_id
        states = {**self._before.get(run_id, {}), **self._read.get(run_id, {})}
        read = {part: asdict(state) for part, state in states.items()}
        self._record(run_id, {"digest": reader.content_digest(), "read": read})

    def known(self, run_id: str, part: str) -> InputState | None:
        """In which state a part was read in this session, or in the one that it goes on from."""
        return self._read.get(run_id, {}).get(part) or self._before.get(run_id, {}).get(part)

    def take(self, reader: RunReader, part: str, state: InputState) -> None:
        """Note that a part was read, and say once what is doubtful about it."""
        run_id = reader.run_id
        is_new = self.known(run_id, part) is None
        if self._read.setdefault(run_id, {}).get(part) != state:
            self._read[run_id][part] = state
            self._record_parent(reader)
        if is_new and part == "best" and state.weights != "best":
            self._note(
                f"run '{run_id}' has marked no checkpoint as best; its last one, of step {state.step}, is taken",
                "info" if state.finished else "warning",
            )
        if is_new and not state.finished:
            self._note(
                f"run '{run_id}' has not finished ({reader.summary().state}): this run rests on {state.words}; one that "
                "reads it later may rest on others",
                "warning",
            )

    def conditions(self) -> dict[str, Any]:
        """What results rest on: {:data:`difrob.quantities.conditions.INPUTS`: {role: state}}; empty without inputs.

        A role is the field of the specification that names the run, or its id where none does.
        """
        said: dict[str, Any] = {}
        for run_id, states in self._read.items():
            for role in [path for path, named in self._roles.items() if named == run_id] or [run_id]:
                for part, state in states.items():
                    said[role if len(states) == 1 else f"{role} ({part})"] = state.condition(run_id)
        return {INPUTS: said} if said else {}

    def note_changes(self) -> None:
        """Say at the end of a run which inputs have gone on meanwhile; what was read of them once is what counts."""
        for run_id, states in self._read.items():
            for part, state in states.items():
                try:
                    now = InputState.of(self._open_run(run_id), part)
                except UserError:
                    self._note(f"run '{run_id}' cannot be read any more; this run rests on {state.words}", "warning")
                    continue
                if now.digest != state.digest:
                    self._note(
                        f"run '{run_id}' has gone on since this run began: this run rests on {state.words}, and a new one "
                        f"would rest on {now.words}",
                        "warning",
                    )


class States(Protocol):
    """Who knows in which state parts of runs are to be read."""

    def known(self, run_id: str, part: str) -> InputState | None:
        """The state in which a part was read before; None where it was not."""
        ...

    def take(self, reader: RunReader, part: str, state: InputState) -> None:
        """A part was read in this state."""
        ...


class NotedRun:
    """Implements :class:`difrob.runs.interface.InputRun`: in which state it was read is noted, and stays for the session.

    A part that was read before is read again as it was, also where the run has gone on meanwhile.
    """

    def __init__(self, reader: RunReader, states: States) -> None:
        self.run_id = reader.run_id
        self._reader = reader
        self._states = states

    @property
    def spec(self) -> dict[str, Any]:
        """The specification as plain data."""
        return self._reader.spec

    def checkpoint(self, which: str | int = "last") -> Checkpoint:
        """As :meth:`RunReader.checkpoint`; UserError also where it was read before and is not kept any more."""
        part = str(which)
        known = self._states.known(self.run_id, part)
        finished = self._reader.summary().state is RunState.FINISHED  # asked first: it can only finish meanwhile
        checkpoint, weights, digest = self._reader.chosen_checkpoint(which)
        state = InputState(digest, finished, weights, checkpoint.step)
        if known is not None and known.digest != digest:
            if known.step is None or not _holds(self._reader, known):
                raise UserError(_gone(self.run_id, known, state))
            checkpoint, state = self._reader.checkpoint(known.step), known
        self._states.take(self._reader, part, state)
        return checkpoint

    def array(self, name: str) -> np.ndarray:
        """As :meth:`RunReader.array`, so many rows as there were when the first column was read."""
        known = self._states.known(self.run_id, ROWS)
        if known is None:
            state = InputState.of(self._reader, ROWS)
        elif _holds(self._reader, known):
            state = known
        else:
            raise UserError(_gone(self.run_id, known, InputState.of(self._reader, ROWS)))
        column = self._reader.array(name)[: state.rows]
        self._states.take(self._reader, ROWS, state)
        return column


def noted_states(entry: Mapping[str, Any]) -> dict[str, InputState]:
    """The states in what a file says of a run that was read, by part; none where a difrob of before wrote it.

    Raises:
        UserError: when they make no sense.
    """
    read = entry.get("read", {})
    if not isinstance(read, Mapping):
        raise UserError(f"what the run noted of its inputs makes no sense ({read!r}); start a new run")
    return {str(part): InputState.from_json(state) for part, state in read.items()}


def _holds(reader: RunReader, state: InputState) -> bool:
    """Whether a run still has what it had in an earlier state."""
    try:
        if state.step is not None:
            return reader.chosen_weights(state.step)[2] == state.digest
        return reader.rows_digest(state.rows) == (state.rows, state.digest)
    except UserError:
        return False


def _changed(resumed_run: str, run_id: str, before: InputState, now: InputState, *, kept: bool) -> str:
    if kept:
        ways = (
            "start a new run, or go on with the old input, which is still kept: "
            f"difrob run --resume {resumed_run} --old-inputs"
        )
    else:
        ways = "start a new run; the old input is not kept any more ('difrob runs keep' says how many checkpoints are)"
    return (
        f"run '{run_id}' is not what this run began with: that rested on {before.words}, now it would be {now.words}, and its "
        f"numbers would be mixed of both; {ways}"
    )


def _gone(run_id: str, before: InputState, now: InputState) -> str:
    return (
        f"run '{run_id}' has gone on while this run read it: it began with {before.words}, which are not kept any more, now it "
        f"would be {now.words}; start a new run when '{run_id}' has finished"
    )
