"""Candidates are drawn class by class, never in vain, and what was kept tells where the drawing stood."""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob.data.class_balance import class_of
from difrob.jobs.candidate_batches import CandidatePlan


def one_by_one(classes: np.ndarray, survives: np.ndarray, wanted: np.ndarray) -> tuple[list[int], list[int]]:
    """(judged, kept) candidates when they are gone through singly."""
    left, judged, kept = wanted.copy(), [], []
    for index, label in enumerate(classes):
        if left[label]:
            judged.append(index)
            if survives[index]:
                kept.append(index)
                left[label] -= 1
    return judged, kept


@given(
    seed=st.integers(0, 10_000), batch=st.integers(1, 60), share=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    weights=st.sampled_from([(), (1.0, 3.0, 0.0, 0.5)]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_any_batch_size_gives_the_first_survivors_of_each_class(
    seed: int, batch: int, share: float, weights: tuple[float, ...]
) -> None:
    classes = partial(class_of, num_classes=4, weights=weights)
    bound, images = 200, 61
    survives = np.random.default_rng(seed).random(bound) < share
    wanted = np.bincount(classes(np.arange(images)), minlength=4)
    judged, kept = one_by_one(classes(np.arange(bound)), survives, wanted)
    plan = CandidatePlan(classes, wanted, batch, bound)
    drawn: list[np.ndarray] = []
    states = [(0, wanted)]
    while len(indices := plan.batch()):
        assert len(indices) <= batch
        drawn.append(indices)
        plan.advance(indices, indices[survives[indices]])
        states.append((plan.next, plan.missing.copy()))
    assert np.concatenate([np.empty(0), *drawn]).tolist() == judged
    assert plan.missing.sum() == images - len(kept)

    # After a kill at any row the plan stands at the beginning of one of those very batches.
    for rows in {0, len(kept) // 2, len(kept)}:
        again = CandidatePlan(classes, wanted, batch, bound)
        passed = list(again.passed(np.array(kept[:rows], dtype=np.int64)))
        number = len(passed)
        assert all(np.array_equal(one, other) for (one, _), other in zip(passed, drawn, strict=False))
        assert again.next == states[number][0] and np.array_equal(again.missing, states[number][1])
        assert not rows or kept[rows - 1] in drawn[number]
    whole = CandidatePlan(classes, wanted, batch, bound)
    assert len(list(whole.passed(np.array(kept, dtype=np.int64), until=plan.next))) == len(drawn)
