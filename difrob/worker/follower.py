"""A process that follows: the same job on another device, recording nothing.

As a program it is started by :mod:`difrob.worker.company`; :func:`follow` is for whoever has started a process otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from difrob.errors import Stopped
from difrob.ranks.following_recorder import FollowingRecorder
from difrob.ranks.meeting import FileMeeting, Meeting, broke_off, leave
from difrob.ranks.orders import LEADER_GONE, PEER_GONE, await_order
from difrob.runs import Workspace
from difrob.specs import JobSpec, parse_spec
from difrob.worker.failures import explain_failure
from difrob.worker.job_function import job_function
from difrob.worker.torch_setup import prepare_torch

if TYPE_CHECKING:
    import torch


def follow(
    workspace: Workspace,
    run_id: str,
    spec: JobSpec,
    meeting: Meeting,
    device: torch.device,
    *,
    resumed_at: int | None = None,
) -> None:
    """Take part in a run that another process leads and records, until its job has ended or was stopped there.

    Args:
        workspace, run_id, spec: the run.
        meeting: where this process finds the others; its rank is not 0.
        device: what it computes on, as :func:`difrob.worker.torch_setup.prepare_torch` gives it.
        resumed_at: step of the checkpoint from which the leading process goes on; None at a fresh start.

    Raises:
        UserError: as :meth:`Meeting.join`, or when the file of the run does not hold that checkpoint.
        Exception: whatever ended the job; :func:`difrob.ranks.meeting.broke_off` tells whether another process had gone.
    """
    from difrob.ranks.shares import Ranks

    meeting.join(device)
    ranks = Ranks.here()
    recorder = FollowingRecorder(workspace, run_id, resumed_at, lambda: await_order(ranks))
    with contextlib.suppress(Stopped):
        job_function(spec)(spec, recorder, device)
    leave()


def main() -> int:
    """Take the order from standard input, follow the leader to the end; when its end of the pipe closes, leave at once."""
    parser = argparse.ArgumentParser(prog="python -m difrob.worker.follower", description=__doc__)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--world", type=int, required=True)
    parser.add_argument("--meeting", type=Path, required=True)
    arguments = parser.parse_args()
    # In a console of Windows Ctrl+C reaches all processes; it is the leader that is asked to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    meeting = FileMeeting(arguments.meeting, arguments.rank, arguments.world)
    threading.Thread(target=_leave_with_the_leader, args=(meeting.folder,), name="leader", daemon=True).start()
    try:
        spec = parse_spec(order["spec"])
        device = prepare_torch(arguments.device, order["threads"])
        meeting.arrival(meeting.rank).touch()
        follow(Workspace(arguments.workspace), arguments.run_id, spec, meeting, device, resumed_at=order["resumed_at"])
    except Exception as error:
        if broke_off(error):
            return PEER_GONE
        cause, reason = explain_failure(error)
        told = {"cause": cause.value, "reason": reason, "details": traceback.format_exc()}
        meeting.fault(meeting.rank).write_text(json.dumps(told))
        return 1
    return 0


def _leave_with_the_leader(folder: Path) -> None:
    sys.stdin.read()
    shutil.rmtree(folder, ignore_errors=True)  # the leader, whose folder it is, may have been killed
    os._exit(LEADER_GONE)


if __name__ == "__main__":
    # Threads of the communication may still be waiting for others; nothing is left to be tidied up.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
