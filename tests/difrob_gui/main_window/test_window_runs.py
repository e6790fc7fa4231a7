"""What the main window does with runs: stopping, resuming, notices, following, the bin."""

from __future__ import annotations

import time
from typing import Any

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor, make_entry
from support.fake_workspace import FakeWorkspace, make_summary
from support.window_words import shown, trigger

from difrob.runs import RunState
from difrob.worker.messages import LiveProgress, QueueState
from difrob_gui.client import Link
from difrob_gui.main_window import MainWindow
from difrob_gui.widgets.toasts import Tone


def test_the_current_run_drives_what_can_be_done(qtbot: QtBot, window: MainWindow) -> None:
    allowed = {
        "live": {"run.pause", "run.stop", "run.abort", "run.kill"},
        "waits": {"run.stop"},
        "done": {"run.remove", "run.show_file"},
        "fallen": {"run.resume", "run.remove", "run.show_file"},
    }
    special = set().union(*allowed.values())
    for run_id, expected in allowed.items():
        window.runs.select(run_id)
        assert window.runs.current.run_id == run_id
        assert {name for name in special if window.actions_table[name].isEnabled()} == expected, run_id


@pytest.mark.parametrize("grade", ["pause", "stop", "abort", "kill"])
def test_stopping_in_grades(qtbot: QtBot, window: MainWindow, server: FakeSupervisor, grade: str) -> None:
    window.runs.select("live")
    trigger(window, f"run.{grade}")
    qtbot.waitUntil(lambda: server.named("stop") == [{"run_id": "live", "grade": grade}])


def test_resume_and_a_refusal_in_words(qtbot: QtBot, window: MainWindow, server: FakeSupervisor) -> None:
    def refuse(_args: dict[str, Any]) -> None:
        raise ValueError("the disk is full")

    server.answers["resume"] = refuse
    window.runs.select("fallen")
    trigger(window, "run.resume")
    qtbot.waitUntil(lambda: bool(window.toasts.toasts))
    assert server.named("resume") == [{"run_id": "fallen"}]
    assert window.toasts.toasts[-1].text == "“fallen” was not resumed: the disk is full"
    assert window.toasts.toasts[-1].tone is Tone.BAD


def test_the_end_of_a_run_is_told_with_a_way_to_it(qtbot: QtBot, window: MainWindow, server: FakeSupervisor) -> None:
    server.event("entry", entry=make_entry("live", RunState.FINISHED, name="running one"), position=0)
    qtbot.waitUntil(lambda: bool(window.toasts.toasts))
    toast = window.toasts.toasts[-1]
    assert toast.text == "“running one” has finished." and toast.tone is Tone.GOOD
    qtbot.mouseClick(toast.action_button, Qt.MouseButton.LeftButton)
    assert window.page == "monitor" and window.runs.current.run_id == "live"
    server.event("entry", entry=make_entry("live", RunState.FINISHED, name="running one"), position=0)
    server.event("entry", entry=make_entry("waits", RunState.STARTING), position=1)
    server.event("entry", entry=make_entry("waits", RunState.FAILED, reason="NaN loss at step 3"), position=1)
    qtbot.waitUntil(lambda: len(window.toasts.toasts) == 1 and window.toasts.toasts[0].tone is Tone.BAD)
    assert window.toasts.toasts[0].text == "“waits” failed: NaN loss at step 3"


def test_an_end_during_a_lost_link_is_told_too(qtbot: QtBot, window: MainWindow, server: FakeSupervisor) -> None:
    server.die()
    qtbot.waitUntil(lambda: window.client.link is not Link.CONNECTED)
    window.toasts.clear()
    server.state = QueueState(entries=[make_entry("live", RunState.INTERRUPTED, reason="killed by signal 9")])
    server.listen()
    qtbot.waitUntil(lambda: any("killed by signal 9" in toast.text for toast in window.toasts.toasts), timeout=8000)
    assert window.toasts.toasts[-1].tone is Tone.WARNING


def test_a_stuck_run_is_told_once_each_time(qtbot: QtBot, window: MainWindow, server: FakeSupervisor) -> None:
    def report(**changes: Any) -> None:
        server.event("entry", entry=make_entry("live", RunState.RUNNING, name="running one", **changes), position=0)
        server.event("progress", progress=LiveProgress(run_id="live", done=(done := next(count)), total=999))
        qtbot.waitUntil(lambda: window.client.mirror.progress.get("live", LiveProgress(run_id="")).done == done)

    count = iter(range(1, 9))
    since = time.time() - 60
    report(stuck_since=since, stuck_deadline=since + 1800)
    (toast,) = window.toasts.toasts
    assert toast.text.startswith("“running one” is stuck. It should have reported at") and toast.tone is Tone.WARNING
    qtbot.waitUntil(lambda: window.status.queue.text() == "1 running, 1 waiting, 1 stuck")
    window.toasts.clear()
    report(stuck_since=since, stuck_deadline=since + 1800)
    assert window.toasts.toasts == []
    report()
    report(stuck_since=since + 50, stuck_deadline=None)
    assert len(window.toasts.toasts) == 1
    qtbot.mouseClick(window.toasts.toasts[0].action_button, Qt.MouseButton.LeftButton)
    assert window.page == "monitor" and window.monitor.run_id == "live"
    qtbot.waitUntil(lambda: window.monitor.status.badge.word == "Stuck")


def test_a_run_that_cannot_go_on_is_edited_and_started_anew(
    qtbot: QtBot, window: MainWindow, fake: FakeWorkspace
) -> None:
    fake.add(make_summary("nan", RunState.FAILED, name="too fast", reason="the loss is not finite", cause="not_finite"))
    trigger(window, "file.refresh")
    qtbot.waitUntil(lambda: window.runs.model.row("nan") is not None)
    window.show_run("nan")
    qtbot.waitUntil(lambda: "the loss is not finite" in window.monitor.status.reason.message.lower())
    qtbot.mouseClick(window.monitor.status.reason.button("Edit and start anew"), Qt.MouseButton.LeftButton)
    assert window.page == "launch" and window.launch.header.name.text() == "too fast"


def test_stop_is_called_cancel_for_what_waits(window: MainWindow) -> None:
    window.runs.select("waits")
    assert window.actions_table["run.stop"].text() == "&Cancel — leaves the queue"
    window.runs.select("live")
    assert window.actions_table["run.stop"].text() == "&Stop and keep — within a step, at most 60 s, then abort"


def test_a_stopping_run_can_be_stopped_harder(qtbot: QtBot, window: MainWindow, server: FakeSupervisor) -> None:
    window.runs.select("live")
    server.event("entry", entry=make_entry("live", RunState.STOPPING, stop_grade="stop"), position=0)
    qtbot.waitUntil(lambda: not window.actions_table["run.stop"].isEnabled())
    assert window.actions_table["run.abort"].isEnabled() and window.actions_table["run.kill"].isEnabled()


def test_following_turns_to_what_runs_and_lets_it_be_left(
    qtbot: QtBot, window: MainWindow, server: FakeSupervisor
) -> None:
    assert window.page != "monitor"
    trigger(window, "view.follow")
    assert window.page == "monitor" and window.monitor.run_id == "live"
    window.show_page("queue")
    server.event("entry", entry=make_entry("live", RunState.RUNNING, reason="still"), position=0)
    qtbot.waitUntil(lambda: window.client.mirror.entries["live"].reason == "still")
    assert window.page == "queue"
    server.event("entry", entry=make_entry("waits", RunState.RUNNING), position=1)
    qtbot.waitUntil(lambda: window.monitor.run_id == "waits")
    trigger(window, "view.follow")
    assert not window.auto_turn.is_on and not window.actions_table["view.follow"].isChecked()


def test_bin_and_undo(qtbot: QtBot, window: MainWindow, fake: FakeWorkspace) -> None:
    window.show_run("done")
    assert window.monitor.run_id == "done"
    trigger(window, "run.remove")
    qtbot.waitUntil(lambda: "done" not in shown(window))
    assert "done" in fake.binned
    toast = window.toasts.toasts[-1]
    assert toast.text == "“beta 5” is in the bin."
    assert window.monitor.run_id != "done", "nothing of a run stays on the page when it has gone"
    toast.action_button.click()
    qtbot.waitUntil(lambda: "done" in shown(window))


def test_a_run_that_another_waits_for_is_not_binned(
    qtbot: QtBot, window: MainWindow, server: FakeSupervisor, fake: FakeWorkspace
) -> None:
    server.event("entry", entry=make_entry("waits", after=["fallen"]), position=1)
    qtbot.waitUntil(lambda: window.client.mirror.entries["waits"].after == ["fallen"])
    window.runs.select("fallen")
    trigger(window, "run.remove")
    assert "waits in the queue for “fallen”" in window.toasts.toasts[-1].text
    assert fake.binned == {}
