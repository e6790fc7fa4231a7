"""Errors that are told to a person as one sentence, without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something a person can mend: the message names the thing and the mend, and is shown without a traceback."""


class NotFinite(UserError):
    """A training went out of its mind: a loss or a gradient is no longer a number."""


class Stopped(Exception):
    """A job was asked to stop and has done so at a safe point.

    Attributes:
        grade: ``"stop"`` (what was reached is kept and can be resumed) or ``"abort"`` (leave at once).
    """

    def __init__(self, grade: str) -> None:
        super().__init__(f"stopped on request ({grade})")
        self.grade = grade
