"""Numbers on the command line and in the window's tables: one wording for shares and for differences of shares."""

from __future__ import annotations

import pytest

from difrob.cli.common import format_measure
from difrob.runs import Measure
from difrob_gui.models.results_model import value_text


@pytest.mark.parametrize(
    ("measure", "line", "cell"),
    [
        (Measure(0.5421, 0.5, 0.6, unit="share"), "54.2 % [50.0, 60.0]", "54.2 %"),
        (Measure(0.102, 0.03, 0.17, unit="share difference"), "10.2 points [3.0, 17.0]", "10.2 points"),
        (Measure(7, 6, 9, unit="components"), "7 [6, 9] components", "7 components"),
        (Measure(0.25), "0.25", "0.25"),
    ],
)
def test_a_number_is_followed_by_its_unit_once(measure: Measure, line: str, cell: str) -> None:
    assert format_measure(measure) == line and value_text(measure) == cell
