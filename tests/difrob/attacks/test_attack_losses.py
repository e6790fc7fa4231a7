"""Attack losses against plain float64 arithmetic, and on saturated logits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from difrob.attacks.losses import cross_entropy, kl_divergence, margin

LOGITS = st.lists(st.lists(st.floats(-30, 30), min_size=4, max_size=4), min_size=1, max_size=6)


@given(rows=LOGITS, label=st.integers(0, 3))
def test_margin_is_largest_wrong_minus_right(rows: list[list[float]], label: int) -> None:
    logits = torch.tensor(rows)
    found = margin(logits, torch.full((len(rows),), label))
    expected = [max(v for j, v in enumerate(row) if j != label) - row[label] for row in logits.tolist()]
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


@given(rows=LOGITS, label=st.integers(0, 3))
def test_cross_entropy_is_minus_log_probability(rows: list[list[float]], label: int) -> None:
    logits = torch.tensor(rows, dtype=torch.float64)
    expected = -torch.log(torch.softmax(logits, 1)[:, label])
    assert cross_entropy(logits, torch.full((len(rows),), label)).tolist() == pytest.approx(expected.tolist(), abs=1e-9)


@given(p_rows=LOGITS, q_rows=LOGITS)
def test_kl_is_its_sum(p_rows: list[list[float]], q_rows: list[list[float]]) -> None:
    size = min(len(p_rows), len(q_rows))
    p_logits = torch.tensor(p_rows[:size], dtype=torch.float64)
    log_q = F.log_softmax(torch.tensor(q_rows[:size], dtype=torch.float64), 1)
    p, q = torch.softmax(p_logits, 1), log_q.exp()
    expected = (q * (q.log() - p.log())).sum(1)
    found = kl_divergence(p_logits, log_q)
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-8)
    assert (found >= -1e-9).all()


def test_kl_of_saturated_logits_has_a_finite_gradient_on_both_sides() -> None:
    """With probabilities as targets this gives NaN: exp(-200) is 0 in float32, and 0 times -inf is no number."""
    saturated = torch.tensor([[0.0, 200.0, 0.0]], requires_grad=True)
    other = torch.tensor([[150.0, 0.0, -150.0]], requires_grad=True)
    loss = kl_divergence(other, F.log_softmax(saturated, 1)).sum()
    gradients = torch.autograd.grad(loss, (saturated, other))
    assert loss.isfinite() and float(loss.detach()) == pytest.approx(150.0)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[1][0].tolist() == pytest.approx([1.0, -1.0, 0.0], abs=1e-6)  # p - q


def test_margin_keeps_its_gradient_where_cross_entropy_has_lost_it() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    label = torch.tensor([0])
    (of_cross_entropy,) = torch.autograd.grad(cross_entropy(logits, label).sum(), logits)
    (of_margin,) = torch.autograd.grad(margin(logits, label).sum(), logits)
    assert of_cross_entropy.abs().max() == 0
    assert of_margin[0, 0] == -1 and of_margin.sum() == pytest.approx(0.0)
