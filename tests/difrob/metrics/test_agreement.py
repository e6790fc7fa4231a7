"""Agreement of labels as a whole and by class."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from difrob.metrics.agreement import agreement_by_class, agreement_measure


def test_agreement_as_a_whole_and_by_class() -> None:
    labels = np.array([0, 0, 0, 2, 2, 5])
    predictions = np.array([0, 0, 1, 2, 5, 0])
    measure = agreement_measure(labels, predictions, classifier="run a")
    assert (measure.value, measure.n, measure.unit) == (0.5, 6, "share")
    assert measure.sentence == "label and classifier agree; classifier: run a"
    found = agreement_by_class(labels, predictions)
    assert found.labels.tolist() == [0, 2, 5] and found.counts.tolist() == [3, 2, 1]
    np.testing.assert_allclose(found.shares, [2 / 3, 1 / 2, 0])
    for row, (right, of) in enumerate([(2, 3), (1, 2), (0, 1)]):
        wilson = stats.binomtest(right, of).proportion_ci(0.95, method="wilson")
        assert (found.low[row], found.high[row]) == pytest.approx((wilson.low, wilson.high), abs=1e-9)
