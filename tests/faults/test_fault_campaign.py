"""A short sample of the kills that ``make faults`` deals out by the hundred, and the long version itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest
from faults import references
from faults.campaign import main
from faults.changed_inputs import change_inputs
from faults.kills import SUPERVISOR, WINDOW, WORKER, KillCampaign, shuffled_faults
from faults.report import Report
from support.waiting import entry_of, wait_state, wait_until

from difrob.runs import RunState, Workspace
from difrob.worker.transport import connect

pytest.importorskip("PySide6")


@pytest.fixture(scope="module")
def short_references(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The runs of all kinds, small and uninterrupted."""
    return references.make_references(tmp_path_factory.mktemp("references"), references.SHORT_SPECS)


@pytest.mark.timeout(400)
def test_runs_under_a_few_kills_of_each_sort_end_as_if_nothing_had_been(
    short_references: Workspace, tmp_path: Path
) -> None:
    report = Report()
    faults = [WORKER, WINDOW, SUPERVISOR, WORKER]
    campaign = KillCampaign(
        short_references, references.SHORT_SPECS, tmp_path / "lane", faults, report, 4, float("inf")
    )
    campaign.run()
    assert not report.wrong, report.table()
    assert sum(tally.injected for tally in report.tallies.values()) == 4
    assert report.tally("supervisor killed").injected == report.tally("window killed").injected == 1


def test_a_worker_whose_supervisor_dies_at_once_waits_for_the_next(
    short_references: Workspace, workspace: Workspace
) -> None:
    with connect(workspace) as connection:
        connection.call("submit", entries=[{"run_id": "run", "spec": references.SHORT_SPECS["denoiser"]}])
        wait_until(lambda: entry_of(connection, "run").pid is not None)
        worker = entry_of(connection, "run").pid
        supervisor = psutil.Process(connection.call("state")["pid"])
        supervisor.kill()
        supervisor.wait(10)
    time.sleep(1.0)  # long enough for the worker to find nobody
    with connect(workspace) as connection:
        entry = entry_of(connection, "run")
        assert entry.pid == worker and entry.state.is_live, entry.reason
        wait_state(connection, "run", RunState.FINISHED)


@pytest.mark.parametrize("watched", [True, False])
def test_a_job_whose_input_has_changed_is_refused_and_the_campaign_sees_if_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: bool
) -> None:
    if not watched:
        monkeypatch.setattr("difrob.runs.reader.RunReader.parents", lambda reader: {})
    report = Report()
    change_inputs(tmp_path, 1, report, 0)
    assert report.tally("evaluate, input changed").injected == 1
    if watched:
        assert not report.wrong and "1 were refused, and 0" in report.notes[0]
    else:
        (wrong,) = report.wrong
        assert "it went on, and does not equal a run on the input as it is now" in wrong


def test_a_campaign_is_the_same_for_the_same_seed() -> None:
    faults = shuffled_faults(20, 5, 5, 3)
    assert sorted(faults) == [SUPERVISOR] * 5 + [WINDOW] * 5 + [WORKER] * 20
    assert faults == shuffled_faults(20, 5, 5, 3) != shuffled_faults(20, 5, 5, 4)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_the_long_campaign(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["faults", "--seed", "1"])
    environment = dict(os.environ)
    try:
        assert main() == 0, capfd.readouterr().out
    finally:
        os.environ.clear()
        os.environ.update(environment)
