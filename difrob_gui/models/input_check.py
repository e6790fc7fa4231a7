"""Whether the runs and data sets chosen in a form fit together, looked up in the reader thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QObject, Signal

from difrob.inputs.fitting import check_inputs
from difrob.runs import Workspace
from difrob.specs import JobSpec
from difrob_gui.feeds import FeedHub
from difrob_gui.models.spec_fields import Problem, judged_part

Specs = Mapping[str, Mapping[str, Any]]
Question = tuple[JobSpec, Specs]


class InputCheck(QObject):
    """One question at a time; of those asked meanwhile only the newest is asked.

    Signals:
        answered: ``(specification, list of Problem)`` of the newest question.
    """

    answered = Signal(object, object)

    def __init__(self, feeds: FeedHub, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._feeds = feeds
        self._asked: object = None
        self._next: Question | None = None
        self._busy = False

    def ask(self, spec: JobSpec, known: object, waiting: Specs) -> None:
        """Look a specification up, unless that was the last question.

        Args:
            spec: what the form holds.
            known: what else the answer may change with, e.g. the states of the chosen runs.
            waiting: specifications of runs that wait in the queue or are under way, by run id.
        """
        question = (judged_part(spec), known, waiting)
        if question == self._asked:
            return
        self._asked = question
        self._next = (spec, waiting)
        self._go_on()

    def forget(self) -> None:
        """What is on record has changed: the next question is asked even if it is the last one again."""
        self._asked = None

    def _go_on(self) -> None:
        if self._busy or self._next is None:
            return
        (spec, waiting), self._next, self._busy = self._next, None, True

        def look(workspace: Workspace) -> list[Problem]:
            return [Problem(found.field, found.sentence) for found in check_inputs(workspace, spec, waiting)]

        def answer(problems: list[Problem] | None, _error: str | None) -> None:
            self._busy = False
            if self._next is None:
                self.answered.emit(spec, problems or [])  # what cannot be looked up is left to the queue and the job
            self._go_on()

        self._feeds.submit(self, look, answer, changes=False)
