"""Which parameters decay, and the watch over the loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from difrob.errors import UserError
from difrob.training.optimisers import LossWatch, clip_gradients, decay_groups


def test_normalisation_parameters_are_not_decayed() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))
    )
    decayed, undecayed = decay_groups(network, 5e-4)
    assert (decayed["weight_decay"], undecayed["weight_decay"]) == (5e-4, 0.0)
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 1, 3, 3), (4,), (2, 4), (2,)]
    assert len(undecayed["params"]) == 6
    assert {id(p) for group in (decayed, undecayed) for p in group["params"]} == {id(p) for p in network.parameters()}


def test_a_network_without_normalisation_has_one_group() -> None:
    assert len(decay_groups(nn.Linear(2, 2), 0.1)) == 1


FINE = torch.tensor(0.5)


def test_the_watch_names_the_first_bad_step() -> None:
    watch = LossWatch()
    for step, loss in enumerate([1.5, 1.25]):
        watch.add(step, 0.1, torch.tensor(loss), FINE)
    watch.check()
    for step, loss in enumerate([1.0, float("nan"), float("inf")], start=2):
        watch.add(step, 0.2, torch.tensor(loss), FINE)
    with pytest.raises(
        UserError, match=r"loss became nan at step 3 with learning rate 0\.2 .*last finite loss was 1\b"
    ):
        watch.check()


def test_a_loss_that_is_bad_from_the_start() -> None:
    watch = LossWatch()
    watch.check()
    watch.add(0, 0.1, torch.tensor(float("inf")), FINE)
    with pytest.raises(UserError, match="inf at step 0 .*no loss was finite before"):
        watch.check()


def test_a_gradient_that_ruins_the_weights_is_noticed_before_the_next_loss() -> None:
    watch = LossWatch()
    watch.add(7, 0.1, torch.tensor(1.5), torch.tensor(float("inf")))
    with pytest.raises(UserError, match="gradient norm became inf at step 7"):
        watch.check()


@pytest.mark.parametrize("largest", [None, 0.5, 1e6])
def test_clipping_is_that_of_torch(largest: float | None) -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3), nn.Linear(3, 2))
        network[3].bias.requires_grad_(False)  # has no gradient
        network(torch.randn(8, 5)).square().sum().backward()
        networks.append(network)
    ours, theirs = networks
    norm = clip_gradients(ours.parameters(), largest)
    expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), float("inf") if largest is None else largest)
    assert torch.allclose(norm, expected) and norm > 0.5
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert left.grad is right.grad is None or torch.allclose(left.grad, right.grad)
