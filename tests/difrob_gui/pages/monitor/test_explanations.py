"""What the Monitor page says of runs that ended, hang or are being stopped, and the buttons that help."""

from __future__ import annotations

import time

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot
from support.gui_fakes import summary, training
from support.monitor_scene import Scene

from difrob.runs import FeedUpdate, RunState
from difrob.runs.causes import advice


@pytest.mark.parametrize(
    ("state", "cause", "checkpoint", "buttons"),
    [
        (RunState.FAILED, "gpu_memory", True, ["Resume", "Show log"]),
        (RunState.FAILED, "not_finite", True, ["Edit and start anew", "Show log"]),
        (RunState.FAILED, "bad_input", False, ["Edit and start anew", "Show log"]),
        (RunState.INTERRUPTED, "restart", True, ["Resume"]),
        (RunState.INTERRUPTED, "stuck", False, ["Resume", "Show log"]),
        (RunState.CANCELLED, "request", True, ["Resume"]),
    ],
)
def test_an_end_is_explained_with_what_to_do(
    scene: Scene, state: RunState, cause: str, checkpoint: bool, buttons: list[str]
) -> None:
    scene.show(training("t1", state=state, reason="it went wrong", cause=cause, has_checkpoint=checkpoint))
    banner = scene.page.status.reason
    assert "It went wrong." in banner.message and advice(cause) in banner.message
    assert [button.text() for button in banner.buttons] == buttons
    assert all(button.toolTip() for button in banner.buttons)
    assert ("Without a checkpoint" in banner.message) == (cause == "stuck")


def test_an_end_of_an_older_difrob_is_explained_as_well_as_can_be(scene: Scene) -> None:
    scene.show(training("t1", state=RunState.FAILED, reason="out of memory; choose a smaller batch_size"))
    assert "Failed Out of memory; choose a smaller batch_size. The log holds" in scene.page.status.reason.message
    scene.show(training("t2", state=RunState.FAILED, cause="from the future"))
    assert scene.page.status.reason.message == "Failed No reason was recorded."


def test_buttons_of_an_end_lead_to_the_log_and_to_a_new_start(scene: Scene, qtbot: QtBot) -> None:
    scene.show(training("t1", state=RunState.FAILED, reason="the loss is not finite", cause="not_finite"))
    page = scene.page
    page.log.search.setText("nothing like it")
    page.splitter.setSizes([900, 0])
    qtbot.mouseClick(page.status.reason.button("Show log"), Qt.MouseButton.LeftButton)
    assert page.splitter.sizes()[1] > 0 and page.log.search.text() == "" and page.log.is_following
    with qtbot.waitSignal(page.anew_wanted) as told:
        qtbot.mouseClick(page.status.reason.button("Edit and start anew"), Qt.MouseButton.LeftButton)
    assert told.args == ["t1"] and scene.client.calls == []


def test_a_stuck_run_says_since_when_and_until_when_and_can_be_stopped(scene: Scene, qtbot: QtBot) -> None:
    scene.show(training("t1"))
    since = time.time() - 600
    scene.enter("t1", RunState.RUNNING, stuck_since=since, stuck_deadline=since + 1800)
    status = scene.page.status
    assert status.badge.word == "Stuck"
    assert "10 min ago" in status.reason.message and "in 20 min" in status.reason.message
    status.tick(now=since + 1200)
    assert "20 min ago" in status.reason.message and "in 10 min" in status.reason.message
    for button in ("Stop and keep", "Kill"):
        qtbot.mouseClick(status.reason.button(button), Qt.MouseButton.LeftButton)
    assert scene.client.calls == [("stop", {"run_id": "t1", "grade": grade}) for grade in ("stop", "kill")]
    scene.enter("t1", RunState.RUNNING)
    assert status.badge.word == "Running" and status.reason.message == ""


def test_a_run_that_is_being_stopped_counts_down_to_the_next_grade(scene: Scene) -> None:
    scene.show(training("t1"))
    scene.enter("t1", RunState.STOPPING, stop_grade="stop", stop_deadline=5060.0)
    status = scene.page.status
    status.tick(now=5018.0)
    assert "Stop and keep: 42 s, then abort" in status.left.text()
    status.tick(now=5061.0)
    assert "Stop and keep: abort now" in status.left.text()
    scene.enter("t1", RunState.PAUSING, stop_grade="pause")
    assert "Pause: at the next safe point" in status.left.text()


def test_a_damaged_run_says_what_salvages_it(scene: Scene) -> None:
    scene.hub.summaries = [summary("d1", state=RunState.FAILED, damaged=True, reason="bad object header")]
    scene.page.show_run("d1")
    scene.hub.fail("d1", "'d1.h5' is damaged")
    assert (
        scene.page.problem.message
        == "Cannot be read 'd1.h5' is damaged 'difrob runs recover' salvages what can be read."
    )
    scene.hub.send(FeedUpdate(summary=scene.hub.summaries[0], reset=True))
    assert scene.page.status.reason.message.startswith("Damaged Bad object header. 'difrob runs recover'")
