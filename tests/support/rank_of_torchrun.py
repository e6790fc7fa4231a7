"""One of the processes of a run that torchrun has started; run by ``test_follower.py``.

Arguments: the workspace, the id of the run, its specification as JSON. The first process leads and records.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from difrob.ranks.leading_recorder import LeadingRecorder
from difrob.ranks.meeting import EnvironmentMeeting, leave
from difrob.ranks.shares import Ranks
from difrob.runs import RunState, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.specs import JobSpec, parse_spec
from difrob.worker.follower import follow
from difrob.worker.torch_setup import prepare_torch


def main(workspace: Workspace, run_id: str, spec: JobSpec) -> None:
    meeting = EnvironmentMeeting.here()
    device = prepare_torch(meeting.device(), threads=1)
    if meeting.rank != 0:
        follow(workspace, run_id, spec, meeting, device)
        return
    recorder = RunRecorder(workspace, run_id, spec)
    meeting.join(device)
    importlib.import_module(f"difrob.jobs.{spec.kind}").run(spec, LeadingRecorder(recorder, Ranks.here()), device)
    leave()
    recorder.finish(RunState.FINISHED)


if __name__ == "__main__":
    main(Workspace(Path(sys.argv[1])), sys.argv[2], parse_spec(json.loads(sys.argv[3])))
