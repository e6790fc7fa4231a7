"""The settings at the foot of the queue: shown as the supervisor has them, announced once they have settled."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from difrob.worker.messages import QueueState
from difrob_gui.widgets.queue_settings import POLICIES, QueueSettings


@pytest.fixture
def settings(qtbot: QtBot) -> QueueSettings:
    settings = QueueSettings()
    qtbot.addWidget(settings)
    settings.resize(900, 40)
    settings.show()
    return settings


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("minutes", "shown"), [(None, "never"), (30.0, "30 min"), (0.5, "0.5 min"), (1440.0, "1440 min")]
)
def test_what_the_supervisor_has_is_shown_and_not_sent_back(
    qtbot: QtBot, settings: QueueSettings, policy: str, minutes: float | None, shown: str
) -> None:
    sent: list[object] = []
    for signal in (settings.policy_wanted, settings.cpu_lanes_wanted, settings.stuck_minutes_wanted):
        signal.connect(sent.append)
    settings.show_state(QueueState(on_failure=policy, cpu_lanes=3, stuck_minutes=minutes), True)
    assert settings.policy.currentData() == policy and settings.cpu_lanes.value() == 3
    assert settings.stuck.text() == shown and settings.stuck.minutes == minutes
    assert not settings._lanes_clock.isActive() and not settings._stuck_clock.isActive() and sent == []


def test_a_few_clicks_are_one_change_that_no_echo_disturbs(qtbot: QtBot, settings: QueueSettings) -> None:
    settings.show_state(QueueState(cpu_lanes=1), True)
    sent: list[int] = []
    settings.cpu_lanes_wanted.connect(sent.append)
    for _ in range(3):
        settings.cpu_lanes.stepUp()
        settings.show_state(QueueState(cpu_lanes=1), True)
    assert settings.cpu_lanes.value() == 4 and sent == []
    qtbot.waitUntil(lambda: sent == [4])
    settings.show_state(QueueState(cpu_lanes=2), True)
    assert settings.cpu_lanes.value() == 2, "the supervisor's word stays"


def test_never_is_zero_minutes_and_what_is_being_typed_is_left_alone(qtbot: QtBot, settings: QueueSettings) -> None:
    settings.show_state(QueueState(stuck_minutes=30), True)
    settings.stuck.setFocus()
    settings.stuck.selectAll()
    qtbot.keyClicks(settings.stuck, "0")
    settings.show_state(QueueState(stuck_minutes=60), True)
    assert settings.stuck.lineEdit().text().startswith("0")
    with qtbot.waitSignal(settings.stuck_minutes_wanted) as told:
        qtbot.keyClick(settings.stuck, Qt.Key.Key_Return)
    assert told.args == [None]


def test_without_a_supervisor_nothing_can_be_set_and_nothing_is_sent_late(
    qtbot: QtBot, settings: QueueSettings
) -> None:
    settings.cpu_lanes.stepUp()
    settings.rest()
    settings.show_state(QueueState(), False)
    assert not settings.policy.isEnabled() and settings.cpu_lanes.value() == 1
    assert not settings._lanes_clock.isActive()


def test_two_lines_where_one_is_too_long(settings: QueueSettings) -> None:
    settings.resize(1200, 80)
    settings.layout().activate()
    high = settings.sizeHint().height()
    settings.resize(settings.minimumSizeHint().width(), 80)
    settings.layout().activate()
    assert settings.policy.geometry().bottom() < settings.stuck.geometry().top()
    assert settings.cpu_lanes.geometry().top() == settings.stuck.geometry().top()
    assert settings.sizeHint().height() > high
    for label, widget in settings._fields:
        assert label.width() >= label.sizeHint().width() and widget.geometry().right() < settings.width()
    settings.resize(1200, 80)
    settings.layout().activate()
    assert settings.policy.geometry().top() == settings.stuck.geometry().top()
