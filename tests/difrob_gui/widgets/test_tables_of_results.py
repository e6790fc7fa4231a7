"""Tables of results: columns that share the room, and descriptions below the numbers."""

from __future__ import annotations

from difrob.runs import Measure
from difrob_gui.models.results_model import ResultsModel
from difrob_gui.widgets.results_view import ResultsView
from difrob_gui.widgets.wrapping_table import shared_widths


def test_columns_get_what_they_need_or_share_what_there_is() -> None:
    assert shared_widths([100, 200, 300], 700, 120) == [100, 200, 300]
    assert shared_widths([300, 300, 220], 750, 120) == [255, 275, 220]  # nothing is left unused, nothing runs over
    assert sum(shared_widths([200, 900, 900], 700, 120)) == 700
    assert shared_widths([200, 900, 900], 300, 120) == [120, 120, 120]  # then it scrolls


def test_rows_are_one_line_high_and_the_description_stands_below(qtbot) -> None:
    model = ResultsModel()
    view = ResultsView(model)
    qtbot.addWidget(view)
    view.resize(740, 460)
    view.show()
    long = "validation images whose features are measured in training; " * 6
    model.show_results(
        {f"accuracy_{n}": Measure(0.5, 0.4, 0.6, unit="share", n=200, description=f"{n} {long}") for n in range(9)}
    )
    view.table.setCurrentIndex(model.index(8, 0))
    assert all(view.table.rowHeight(row) < 3 * view.fontMetrics().height() for row in range(9))
    assert view.table.viewport().height() >= view.table.rowViewportPosition(8) + view.table.rowHeight(8)
    assert "8 validation images whose features" in view.detail.text()
    model.show_results({})
    assert view.detail.text() == ""
