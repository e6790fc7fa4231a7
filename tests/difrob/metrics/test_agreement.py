"""Agreement of labels, and descriptions that state conditions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from difrob.comparison import stated_conditions
from difrob.metrics.agreement import agreement_by_class, agreement_measure
from difrob.metrics.conditions import counted, stated


def test_agreement_as_a_whole_and_by_class() -> None:
    labels = np.array([0, 0, 0, 2, 2, 5])
    predictions = np.array([0, 0, 1, 2, 5, 0])
    measure = agreement_measure(labels, predictions, classifier="run a")
    assert (measure.value, measure.n, measure.unit) == (0.5, 6, "share")
    assert measure.description == "label and classifier agree; classifier: run a"
    found = agreement_by_class(labels, predictions)
    assert found.labels.tolist() == [0, 2, 5] and found.counts.tolist() == [3, 2, 1]
    np.testing.assert_allclose(found.shares, [2 / 3, 1 / 2, 0])
    for row, (right, of) in enumerate([(2, 3), (1, 2), (0, 1)]):
        wilson = stats.binomtest(right, of).proportion_ci(0.95, method="wilson")
        assert (found.low[row], found.high[row]) == pytest.approx((wilson.low, wilson.high), abs=1e-9)


@given(
    conditions=st.dictionaries(
        st.sampled_from(["generated", "reference", "features", "held_out"]), st.text(min_size=1, max_size=30)
    )
)
def test_a_comparison_reads_what_was_stated(conditions: dict[str, str]) -> None:
    found = stated_conditions(stated("some distance", **conditions))
    assert found == {name.replace("_", " "): value.replace(";", ",") for name, value in conditions.items()}


def test_what_was_measured_is_no_condition() -> None:
    assert stated("a distance", features="") == "a distance" and stated_conditions("a distance") == {}
    assert stated_conditions("radius; randomised smoothing, sigma 0.25, 600 test images") == {}
    for wrong in ("a; b", "a: b"):
        with pytest.raises(ValueError, match="holds a separator"):
            stated(wrong)
    assert (counted(1, "image"), counted(1200, "test image")) == ("1 image", "1,200 test images")
