"""Classes of a generated set: balanced in every part of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difrob.data.class_balance import class_of
from difrob.errors import UserError


def test_without_weights_classes_take_turns() -> None:
    assert class_of(np.arange(7), 3).tolist() == [0, 1, 2, 0, 1, 2, 0]


@given(st.lists(st.integers(0, 9), min_size=2, max_size=12).filter(any), st.integers(1, 3000))
def test_every_beginning_has_each_class_in_its_share(weights: list[int], count: int) -> None:
    classes = class_of(np.arange(count), len(weights), weights)
    found = np.bincount(classes, minlength=len(weights))
    expected = count * np.array(weights) / sum(weights)
    assert np.abs(found - expected).max() <= 2 + np.log(count)
    assert not found[np.array(weights) == 0].any()


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0), (0.0, 0.0), (1.0, 2.0, 3.0)])
def test_weights_that_are_none(weights: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="must be 2 numbers, one per class"):
        class_of(np.arange(3), 2, weights)
