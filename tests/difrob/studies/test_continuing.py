"""What a study still lacks: never queued, queued and gone, ended badly, on its way, finished."""

from __future__ import annotations

from difrob.runs import RunState
from difrob.specs import parse_spec
from difrob.studies.continuing import what_is_missing
from difrob.studies.plan import Plan


def plan_of(*run_ids: str) -> Plan:
    return Plan({run_id: parse_spec({"kind": "train_denoiser", "name": run_id}) for run_id in run_ids})


def test_each_way_of_missing() -> None:
    plan = plan_of("never", "waits", "removed", "failed", "paused", "live", "done", "cancelled-early")
    states = {"failed": RunState.FAILED, "paused": RunState.PAUSED, "live": RunState.RUNNING, "done": RunState.FINISHED}
    queued = {
        "waits": RunState.QUEUED, "removed": RunState.FINISHED, "failed": RunState.FAILED, "live": RunState.RUNNING,
        "cancelled-early": RunState.CANCELLED,
    }  # fmt: skip
    missing = what_is_missing(plan, states, queued)
    assert missing.forgotten == ["removed", "cancelled-early"]
    assert [request["run_id"] for request in missing.requests] == ["never", "removed", "cancelled-early"]
    assert missing.requests[0]["spec"]["name"] == "never"
    assert missing.again == ["failed"] and not missing.is_nothing


def test_a_run_that_is_queued_again_is_left_alone() -> None:
    plan = plan_of("again")
    assert what_is_missing(plan, {"again": RunState.FAILED}, {"again": RunState.QUEUED}).is_nothing
    assert what_is_missing(plan, {"again": RunState.INTERRUPTED}, {}).again == ["again"]
    assert what_is_missing(plan, {"again": RunState.FINISHED}, {}).is_nothing
