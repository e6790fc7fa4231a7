"""Runs: recording, files, recovery, reading, following. Knows neither torch nor Qt, nor any method."""

from difrob.runs.feed import RunFeed
from difrob.runs.interface import Checkpoint, InputRun, Measure, Recorder
from difrob.runs.reader import RunReader
from difrob.runs.records import Curve, FeedUpdate, LogLine, Pictures, Progress, RunSummary, Series
from difrob.runs.states import RunState
from difrob.runs.workspace import Workspace, default_workspace, new_run_id

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
