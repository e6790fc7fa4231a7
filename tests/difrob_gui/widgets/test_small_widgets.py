"""Badges, banners, empty states, meters, the grid of cards, the tree of facts."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QWidget
from support.gui_fakes import summary

from difrob.runs import RunState
from difrob.worker.messages import GpuMeter, Meters
from difrob_gui.widgets.badges import Banner, StateBadge
from difrob_gui.widgets.empty_state import EmptyState
from difrob_gui.widgets.meters import LENGTH, MeterStrip
from difrob_gui.widgets.responsive_grid import ResponsiveGrid
from difrob_gui.widgets.run_header import RunHeader, lane_word
from difrob_gui.widgets.spec_tree import SpecTree

GB = 10**9


@pytest.mark.parametrize("state", list(RunState))
def test_a_badge_says_its_state_in_words_and_has_room_for_them(qtbot, state: RunState) -> None:
    badge = StateBadge(state)
    qtbot.addWidget(badge)
    assert badge.accessibleName() == f"State: {state.value.capitalize()}"
    assert badge.toolTip()
    assert badge.sizeHint().width() >= badge.fontMetrics().horizontalAdvance(state.value.capitalize()) + 30
    assert not badge.grab().isNull()


def test_a_banner_speaks_acts_and_is_silent(qtbot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    banner = Banner(holder)
    assert banner.isHidden() and banner.message == ""
    banner.say("warning", "Interrupted", "Its process died.", "Resume")
    assert not banner.isHidden() and banner.message == "Interrupted Its process died."
    assert banner.property("role") == "banner-warning"
    with qtbot.waitSignal(banner.acted) as told:
        qtbot.mouseClick(banner.button("Resume"), Qt.MouseButton.LeftButton)
    assert told.args == ["Resume"]
    banner.say("bad", "", "No.")
    assert banner.buttons == []
    banner.silence()
    assert banner.message == ""


def test_a_banner_with_advice_and_several_buttons_keeps_them_while_its_words_change(qtbot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    banner = Banner(holder)
    banner.say("warning", "Stuck", "For 1 s.", "Stop", "Kill", advice="Look at the log.")
    assert banner.message == "Stuck For 1 s. Look at the log."
    first = list(banner.buttons)
    banner.say("warning", "Stuck", "For 2 s.", "Stop", "Kill", advice="Look at the log.")
    assert banner.buttons == first and banner.accessibleName() == "Stuck For 2 s. Look at the log."
    with qtbot.waitSignal(banner.acted) as told:
        qtbot.mouseClick(banner.button("Kill"), Qt.MouseButton.LeftButton)
    assert told.args == ["Kill"]
    with pytest.raises(KeyError):
        banner.button("Resume")


def test_a_stuck_run_has_a_word_of_its_own_in_the_badge(qtbot) -> None:
    badge = StateBadge(RunState.RUNNING)
    qtbot.addWidget(badge)
    assert badge.word == "Running"
    badge.set_state(RunState.RUNNING, True)
    assert badge.word == "Stuck" and badge.accessibleName() == "State: Running, stuck"
    assert not badge.grab().isNull()


def test_all_lanes_of_the_cpu_are_one_device_to_choose(qtbot) -> None:
    header = RunHeader()
    qtbot.addWidget(header)
    header.set_lanes(["cpu", "cpu-2", "cpu-3", "cuda:1"])
    chosen = [(header.lane.itemData(row), header.lane.itemText(row)) for row in range(header.lane.count())]
    assert chosen == [("any", "Any device"), ("cpu", "CPU"), ("cuda:1", "GPU 1")]
    assert [lane_word(lane) for lane in ("cpu-2", "cuda:1", "cuda:2,cuda:0")] == ["CPU 2", "GPU 1", "GPUs 2, 0"]


def test_an_empty_state_says_what_to_do_and_offers_it(qtbot) -> None:
    empty = EmptyState("runs", "No runs yet", "Start one on the Launch page.", "Launch")
    qtbot.addWidget(empty)
    assert empty.accessibleName() == "No runs yet" and "Launch page" in empty.accessibleDescription()
    with qtbot.waitSignal(empty.acted):
        empty.button.click()
    empty.show_message("clock", "Waiting", "Soon.")
    assert empty.button.isHidden() and empty.text == "Waiting Soon."


@pytest.mark.parametrize("width", [300, 900, 1600])
def test_the_text_of_an_empty_state_is_never_cut(qtbot, width: int) -> None:
    empty = EmptyState("runs", "No runs yet", "Choose one in the table at the left, or start one. " * 3)
    qtbot.addWidget(empty)
    empty.resize(width, 600)
    with qtbot.waitExposed(empty):
        empty.show()
    text = empty._text
    assert text.height() >= text.heightForWidth(text.width()) > 1.5 * text.fontMetrics().height()
    middle = text.mapTo(empty, text.rect().center()).x()
    assert abs(middle - width / 2) <= 2


def reading(time: float, gpus: int = 0, cpu: float = 0.5) -> Meters:
    gpu = GpuMeter(
        name="NVIDIA A100", load=0.75, memory_used=20 * GB, memory_total=80 * GB, temperature=61.0, power=250.0
    )
    return Meters(
        time=time, cpu=cpu, memory_used=8 * GB, memory_total=32 * GB, disk_free=100 * GB, gpus=[gpu] * gpus
    )  # fmt: skip


def test_meters_show_cpu_and_memory_and_no_gpu_where_there_is_none(qtbot) -> None:
    strip = MeterStrip()
    qtbot.addWidget(strip)
    assert strip.isHidden()
    strip.show_meters(None)
    assert strip.isHidden()
    strip.resize(900, 30)
    strip.show_meters(reading(1.0))
    assert not strip.isHidden()
    assert strip.cpu.accessibleName() == "CPU: 50 %"
    assert strip.memory.accessibleName() == "Memory: 8.0 / 32.0 GB"
    assert strip.gpus == []


def test_meters_show_each_gpu_and_drop_it_when_it_goes(qtbot) -> None:
    strip = MeterStrip()
    qtbot.addWidget(strip)
    strip.show_meters(reading(1.0, gpus=2))
    names = [meter.accessibleName() for pair in strip.gpus for meter in pair]
    assert names == ["GPU 0: 75 %", "GPU 0 memory: 20.0 / 80.0 GB", "GPU 1: 75 %", "GPU 1 memory: 20.0 / 80.0 GB"]
    assert "61 °C" in strip.gpus[0][0].toolTip() and "250 W" in strip.gpus[0][0].toolTip()
    strip.show_meters(reading(2.0))
    assert strip.gpus == []


def test_a_sparkline_keeps_a_minute_and_one_reading_counts_once(qtbot) -> None:
    strip = MeterStrip()
    qtbot.addWidget(strip)
    for k in range(2 * LENGTH):
        strip.show_meters(reading(1.0 + k, cpu=k / (2 * LENGTH)))
        strip.show_meters(reading(1.0 + k, cpu=k / (2 * LENGTH)))
    values = strip.cpu.line.values
    assert len(values) == LENGTH and values[0] == 0.5 and values == sorted(values)


def test_narrow_meters_keep_the_percentage(qtbot) -> None:
    strip = MeterStrip()
    qtbot.addWidget(strip)
    strip.resize(1200, 30)
    strip.show()
    strip.show_meters(reading(1.0, gpus=1))
    assert strip.memory.value.text() == "8.0 / 32.0 GB"
    strip.resize(420, 30)
    qtbot.waitUntil(lambda: strip.memory.value.text() == "25 %")
    assert strip.memory.title.isHidden() and "8.0 / 32.0 GB" in strip.memory.toolTip()


def test_the_grid_follows_its_width(qtbot) -> None:
    grid = ResponsiveGrid(least_width=300, row_height=100)
    qtbot.addWidget(grid)
    cards = [QFrame() for _ in range(5)]
    grid.resize(1000, 600)
    grid.show()
    grid.set_widgets(cards)
    assert grid.columns == 3
    qtbot.waitUntil(lambda: cards[0].width() > 300)
    assert cards[0].y() == cards[2].y() < cards[3].y()
    assert abs(cards[0].width() - cards[1].width()) <= 1
    grid.resize(500, 900)
    qtbot.waitUntil(lambda: grid.columns == 1)
    qtbot.waitUntil(lambda: cards[1].y() > cards[0].y())
    grid.set_widgets(cards[:2])
    assert cards[4].isHidden() and not cards[0].isHidden()


def test_the_tree_of_facts_shows_values_units_help_and_departures_from_the_default(qtbot) -> None:
    tree = SpecTree()
    qtbot.addWidget(tree)
    tree.show_run(summary("r1", "evaluate", RunState.FINISHED, spec={"classifier": "c", "attack": {"eps": 0.1}}))
    model = tree.model()
    rows = {}
    for top in range(model.rowCount()):
        parent = model.index(top, 0)
        for row in range(model.rowCount(parent)):
            texts = [model.index(row, column, parent).data() for column in range(3)]
            rows[texts[0]] = (*texts[1:], model.index(row, 0, parent).data(Qt.ItemDataRole.ToolTipRole), parent.data())
    assert rows["State"][0] == "Finished"
    assert rows["attack.eps"][0] == "• 0.1 [0,1] intensity" and rows["attack.eps"][1] == "0.15"
    assert rows["attack.steps"][1] == "40", "the default is that of an evaluation, not of an attack alone"
    assert rows["restarts"][:2] == ("2 restarts", "")
    assert "Random starts per loss" in rows["restarts"][2] and rows["restarts"][3] == "Attack"
    assert "masking" in rows["sanity_checks"][2] and "Carlini" in rows["sanity_checks"][2]
