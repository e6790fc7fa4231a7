"""Runs: recording, files, recovery, reading, following. Knows neither torch nor Qt, nor any method.

Importing this package is cheap: whoever only lists runs reads an index, and waits for neither numpy nor h5py.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from difrob.runs.interface import Checkpoint, InputRun, Measure, Recorder
from difrob.runs.records import Curve, FeedUpdate, LogLine, Pictures, Progress, RunSummary, Series
from difrob.runs.states import RunState
from difrob.runs.workspace import Workspace, default_workspace, new_run_id

if TYPE_CHECKING:
    from difrob.runs.feed import RunFeed
    from difrob.runs.reader import RunReader
else:  # out of the sight of mypy, which would take it for leave to import any name

    def __getattr__(name: str) -> Any:
        """The two names that need h5py are looked up when they are first asked for (PEP 562)."""
        if (home := {"RunFeed": "feed", "RunReader": "reader"}.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{home}"), name)


__all__ = [
    "Checkpoint",
    "Curve",
    "FeedUpdate",
    "InputRun",
    "LogLine",
    "Measure",
    "Pictures",
    "Progress",
    "Recorder",
    "RunFeed",
    "RunReader",
    "RunState",
    "RunSummary",
    "Series",
    "Workspace",
    "default_workspace",
    "new_run_id",
]
