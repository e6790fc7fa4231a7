"""Starts recorders to be killed: reads run ids from standard input and forks a process for each.

A fork costs milliseconds where a fresh interpreter costs a second. What a recorder has acknowledged goes to standard
output as ``ack <rows> <samples>``, one write each.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.runs.surroundings import surroundings
from difrob.specs import TrainDenoiserSpec


def tell(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def record(workspace: Workspace, run_id: str, finishes: bool) -> None:
    """Report numbers without end (or to the end), and say what is safe."""
    resume = workspace.run_path(run_id).exists()
    recorder = RunRecorder(workspace, run_id, TrainDenoiserSpec(), resume=resume)
    row = recorder.resumed_from.step if recorder.resumed_from else 0
    sample = recorder.recorded_samples
    tell(f"ack {row} {sample}")
    for turn in range(20 if finishes else 10**9):
        for _ in range(1 + turn % 3):
            row += 1
            recorder.metric("loss", row, row / 2, None if row % 2 else row / 4)
        sample += 1
        recorder.samples(index=np.array([sample]), table=np.full((1, 20), sample))
        if turn % 5 == 4:
            recorder.checkpoint(row, bytes(row % 256 for _ in range(1000)), {"row": row})
        else:
            recorder.flush()
        tell(f"ack {row} {sample}")
        recorder.check_stop()
    recorder.finish(RunState.FINISHED)
    tell("finished")


def main() -> None:
    workspace = Workspace(sys.argv[1])
    surroundings()  # asks git, once for all
    for line in sys.stdin:
        run_id, _, word = line.strip().partition(" ")
        child = os.fork()
        if child == 0:
            try:
                record(workspace, run_id, word == "finishes")
            except UserError as error:
                tell(f"error {error}")
            finally:
                os._exit(0)
        tell(f"pid {child}")
        os.waitpid(child, 0)
        tell("dead")


if __name__ == "__main__":
    main()
