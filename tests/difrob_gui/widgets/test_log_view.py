"""The log: filters, and the end that is followed until somebody scrolls up."""

from __future__ import annotations

from PySide6.QtCore import Qt

from difrob.runs import LogLine
from difrob_gui.widgets.log_view import MOST_SHOWN, LogView


def lines(count: int, level: str = "info", start: int = 0) -> list[LogLine]:
    return [LogLine(1.7e9 + k, level, f"{level} line {k}") for k in range(start, start + count)]


def shown(qtbot) -> LogView:
    view = LogView()
    qtbot.addWidget(view)
    view.resize(600, 220)
    view.show()
    qtbot.waitExposed(view)
    return view


def written(view: LogView) -> list[str]:
    return [line.split("  ", 1)[1] for line in view.text.toPlainText().splitlines()]


def test_lines_appear_in_order_with_their_level_in_words(qtbot) -> None:
    view = shown(qtbot)
    view.append([*lines(2), LogLine(1.7e9, "warning", "mind"), LogLine(1.7e9, "error", "gone")])
    assert written(view) == ["info line 0", "info line 1", "warning  mind", "error  gone"]
    assert view.count.text() == "4 lines"


def test_filters_by_level_and_text(qtbot) -> None:
    view = shown(qtbot)
    view.append([*lines(5), *lines(3, "warning"), *lines(2, "error")])
    view.levels.setCurrentIndex(1)
    assert len(written(view)) == 5
    view.levels.setCurrentIndex(2)
    assert written(view) == ["error  error line 0", "error  error line 1"]
    assert view.count.text() == "2 of 10 lines"
    view.levels.setCurrentIndex(0)
    qtbot.keyClicks(view.search, "LINE 4")
    assert written(view) == ["info line 4"]
    view.append([LogLine(1.7e9, "info", "another line 4"), LogLine(1.7e9, "info", "line 5")])
    assert written(view)[-1] == "another line 4"
    view.search.clear()
    assert view.count.text() == "12 lines"


def test_it_follows_the_end_until_the_reader_scrolls_up(qtbot) -> None:
    view = shown(qtbot)
    view.append(lines(200))
    bar = view.text.verticalScrollBar()
    assert bar.maximum() > 0 and view.is_following and not view.follow.isVisible()
    bar.setValue(10)
    assert not view.is_following and view.follow.isVisible()
    view.append(lines(7, start=200))
    assert bar.value() == 10, "what is being read must not move"
    assert view.follow.text() == "7 new lines"
    qtbot.mouseClick(view.follow, Qt.MouseButton.LeftButton)
    assert view.is_following and not view.follow.isVisible()
    view.append(lines(5, start=207))
    assert view.is_following


def test_a_very_long_log_shows_its_end_and_searches_all_of_it(qtbot) -> None:
    view = shown(qtbot)
    view.append([LogLine(1.7e9, "info", "the needle"), *lines(MOST_SHOWN + 500)])
    assert view.text.document().blockCount() == MOST_SHOWN
    assert written(view)[-1] == f"info line {MOST_SHOWN + 499}"
    view.search.setText("needle")
    assert written(view) == ["the needle"]


def test_clearing_forgets(qtbot) -> None:
    view = shown(qtbot)
    view.append(lines(5))
    view.clear()
    assert view.text.toPlainText() == "" and view.count.text() == ""
    view.append(lines(1))
    assert written(view) == ["info line 0"]


def test_the_log_of_an_ended_run_without_lines_is_one_line_until_some_come(qtbot) -> None:
    view = shown(qtbot)
    room = view.sizeHint().height()
    view.set_ended(True)
    assert view.is_quiet and view.nothing.text() == "This run wrote no lines."
    assert not view.text.isVisible() and not view.search.isVisible()
    assert view.sizeHint().height() < room / 2
    view.append(lines(1))
    view.set_ended(True)
    assert not view.is_quiet and view.text.isVisible() and written(view) == ["info line 0"]
