"""How times, numbers and names are written."""

from __future__ import annotations

import pytest
from support.icon_names import icon_names

from difrob import words
from difrob.runs import Measure
from difrob.specs import KINDS


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""), (float("nan"), ""), (0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (60, "1 min"), (3599, "1 h 00 min"),
        (3900, "1 h 05 min"), (86400 * 2 + 3 * 3600, "2 d 3 h"), (-5, "0 s"),
    ],
)  # fmt: skip
def test_duration(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("since", "text"), [(0, ""), (1000, "now"), (941, "now"), (940, "1 min"), (1000 + 5, "now"), (-86400 * 3, "")]
)
def test_age(since: float, text: str) -> None:
    assert words.age(since, now=1000) == text
    assert words.age(1, now=86400 * 3 + 5) == "3 d"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5421, "share", "54.2 %"), (0.1021, "share difference", "10.2 points"),
        (-0.05, "share difference", "-5.0 points"), (1234.5678, "", "1235"), (0.00012345, "", "0.0001234"),
        (9999, "images", "9999"), (68752, "weights", "68,752"), (-50000.0, "images", "-50,000"), (68752.5, "", "6.875e+04"),
        (float("nan"), "share", "not a number"), (float("inf"), "", "∞"), (float("-inf"), "", "-∞"),
    ],
)  # fmt: skip
def test_number(value: float, unit: str, text: str) -> None:
    assert words.number(value, unit) == text


def test_interval() -> None:
    assert words.interval(Measure(0.5, 0.45, 0.55, unit="share")) == "[45.0, 55.0]"
    assert words.interval(Measure(0.1, -0.05, 0.25, unit="share difference")) == "[-5.0, 25.0]"
    assert [words.unit_text(unit) for unit in ("share", "share difference", "steps", "")] == ["", "", "steps", ""]
    assert words.interval(Measure(0.5, 0.123456, 1.5)) == "[0.123, 1.5]"
    assert words.interval(Measure(0.5)) == ""


def test_an_unnamed_run_is_called_by_its_id_without_the_time() -> None:
    assert words.run_title("", "20260101T000000Z-generate-abc123") == "generate-abc123"
    assert words.run_title("mine", "20260101T000000Z-generate-abc123") == "mine"


@pytest.mark.parametrize("kind", [*KINDS, "from_the_future"])
def test_every_kind_has_a_word_and_an_icon(kind: str) -> None:
    assert words.kind_word(kind) and words.kind_title(kind) and "_" not in words.kind_word(kind)
    assert words.kind_icon(kind) in icon_names()
