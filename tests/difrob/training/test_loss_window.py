"""The window of losses: means, bands, and the refusal to go on without numbers."""

from __future__ import annotations

import math

import pytest
import torch

from difrob.errors import UserError
from difrob.training.loss_window import LossWindow

CPU = torch.device("cpu")


def test_means_of_steps_and_bands() -> None:
    window = LossWindow(4, (0.65, 1.54), CPU)
    low, high = window.band_ends
    sigma = torch.tensor([low * 0.9, 1.0, high * 1.1, high * 5])
    window.add(torch.tensor([1.0, 2.0, 3.0, 4.0]), sigma, torch.tensor(0.5))
    window.add(torch.tensor([3.0, 2.0, 5.0, 8.0]), sigma, torch.tensor(1.5))
    means = window.read()
    assert means == {
        "loss": 3.5, "gradient_norm": 1.0, "loss/sigma_low": 2.0, "loss/sigma_mid": 2.0, "loss/sigma_high": 5.0,
    }  # fmt: skip
    window.add(torch.tensor([7.0]), torch.tensor([low / 2]), torch.tensor(2.0))
    assert window.read() == {"loss": 7.0, "gradient_norm": 2.0, "loss/sigma_low": 7.0}


def test_the_penalty_is_averaged_over_the_steps_that_had_one() -> None:
    window = LossWindow(4, (0.65, 1.54), CPU)
    for penalty in (None, torch.tensor(2.0), torch.tensor(4.0)):
        window.add(torch.ones(1), torch.ones(1), torch.tensor(1.0), penalty)
    assert window.read()["loss/penalty"] == 3.0
    window.add(torch.ones(1), torch.ones(1), torch.tensor(1.0))
    assert "loss/penalty" not in window.read()


def test_the_first_bad_step_is_named() -> None:
    window = LossWindow(10, (0.65, 1.54), CPU)
    for loss in (2.0, 1.25, math.nan, math.nan):
        window.add(torch.tensor([loss]), torch.ones(1), torch.tensor(1.0))
    with pytest.raises(
        UserError,
        match=r"became nan at step 7 with learning rate 0\.1 \(the last finite loss was 1\.25, the last gradient norm 1\)",
    ):
        window.check(last_step=8, rate=0.1)
    fresh = LossWindow(10, (0.65, 1.54), CPU)
    fresh.add(torch.tensor([math.inf]), torch.ones(1), torch.tensor(1.0))
    with pytest.raises(UserError, match="loss became inf at step 0 .*no loss was finite before"):
        fresh.check(last_step=0, rate=0.1)
    overflow = LossWindow(10, (0.65, 1.54), CPU)
    overflow.add(torch.tensor([1.0]), torch.ones(1), torch.tensor(math.inf))
    with pytest.raises(UserError, match="gradient norm became inf at step 4 "):
        overflow.check(last_step=4, rate=0.1)


def test_a_restored_window_reads_the_same() -> None:
    window, again = LossWindow(4, (0.65, 1.54), CPU), LossWindow(4, (0.65, 1.54), CPU)
    window.add(torch.tensor([1.0, 5.0]), torch.tensor([0.1, 9.0]), torch.tensor(0.5))
    window.check(0, 0.1)
    again.restore({name: tensor.clone() for name, tensor in window.state_dict().items()}, window.counters())
    for one in (window, again):
        one.add(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.0]), torch.tensor(0.5))
    assert again.counters() == window.counters() and again.counters()["last_finite"] == 3.0
    assert window.read() == again.read()
