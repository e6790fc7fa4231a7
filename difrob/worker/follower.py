"""A process that follows: the same job on another device, recording nothing. Started by :mod:`difrob.worker.company`."""

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
from typing import Any

from difrob.errors import Stopped
from difrob.ranks.following_recorder import FollowingRecorder
from difrob.runs import Workspace
from difrob.specs import parse_spec
from difrob.worker.company import LEADER_GONE, ORDERS, PEER_GONE, broke_off, join, leave
from difrob.worker.failures import explain_failure
from difrob.worker.job_function import job_function


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
    threading.Thread(target=_leave_with_the_leader, args=(arguments.meeting,), name="leader", daemon=True).start()
    try:
        _follow(arguments, order)
    except Exception as error:
        if broke_off(error):
            return PEER_GONE
        cause, reason = explain_failure(error)
        told = {"cause": cause.value, "reason": reason, "details": traceback.format_exc()}
        (arguments.meeting / f"{arguments.rank}.fault").write_text(json.dumps(told))
        return 1
    return 0


def _follow(arguments: argparse.Namespace, order: dict[str, Any]) -> None:
    from difrob.ranks.shares import Ranks
    from difrob.worker.execution import prepare_torch

    spec = parse_spec(order["spec"])
    device = prepare_torch(arguments.device, order["threads"])
    (arguments.meeting / f"{arguments.rank}.here").touch()
    join(arguments.meeting, arguments.rank, arguments.world, device)
    ranks = Ranks.here()
    recorder = FollowingRecorder(
        Workspace(arguments.workspace), arguments.run_id, order["resumed_at"], lambda: ORDERS[ranks.told(0)]
    )
    with contextlib.suppress(Stopped):
        job_function(spec)(spec, recorder, device)
    leave()


def _leave_with_the_leader(meeting: Path) -> None:
    sys.stdin.read()
    shutil.rmtree(meeting, ignore_errors=True)  # the leader, whose folder it is, may have been killed
    os._exit(LEADER_GONE)


if __name__ == "__main__":
    # Threads of the communication may still be waiting for others; nothing is left to be tidied up.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
