"""What a page needs of the supervisor: a mirror of the queue, news of it, and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from PySide6.QtCore import SignalInstance

from difrob_gui.mirror import QueueMirror

Answered = Callable[[Any, str | None], None]  # (what the supervisor answered as JSON, why it refused)


class SupervisorLike(Protocol):
    """The part of :class:`~difrob_gui.client.SupervisorClient` that pages use, and that a stand-in of a test must have."""

    @property
    def mirror(self) -> QueueMirror:
        """The queue by run id, as last told."""
        ...

    @property
    def state_changed(self) -> SignalInstance:
        """The queue as a whole is another one."""
        ...

    @property
    def entry_changed(self) -> SignalInstance:
        """``(run id)``: an entry has changed or is new."""
        ...

    @property
    def entry_removed(self) -> SignalInstance:
        """``(run id)``: an entry is gone."""
        ...

    @property
    def progress_changed(self) -> SignalInstance:
        """``(run id)``: a live run has got further."""
        ...

    @property
    def meters_changed(self) -> SignalInstance:
        """The load of the machine was measured anew."""
        ...

    def call(self, name: str, callback: Answered | None = None, **args: Any) -> None:
        """Ask for something; ``callback(result, error)`` follows, with one sentence as the error, or None."""
        ...
