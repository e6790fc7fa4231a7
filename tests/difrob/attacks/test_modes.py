"""Modes of modules survive an attack; running statistics survive the attack inside TRADES."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from difrob.attacks.modes import evaluation_mode, frozen_statistics


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(), nn.Sequential(nn.BatchNorm2d(3)))


def test_each_module_returns_to_its_own_mode() -> None:
    net = network().train()
    net[1].eval()  # frozen by somebody
    before = [module.training for module in net.modules()]
    with evaluation_mode(net):
        assert not any(module.training for module in net.modules())
    assert [module.training for module in net.modules()] == before and before.count(False) == 1


def test_modes_return_after_an_error() -> None:
    net = network().train()
    with pytest.raises(RuntimeError), evaluation_mode(net):
        raise RuntimeError
    assert all(module.training for module in net.modules())


def test_frozen_statistics_are_not_touched_but_batches_still_normalise() -> None:
    net = nn.Sequential(nn.BatchNorm2d(2)).train()
    x = torch.randn(50, 2, 4, 4) * 3 + 5
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with frozen_statistics(net):
        inside = net(x).detach()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert float(inside.mean()) == pytest.approx(0, abs=1e-5) and float(inside.std()) == pytest.approx(1, abs=1e-2)
    net(x)
    assert not torch.equal(before["0.running_mean"], net[0].running_mean)


def test_a_layer_in_evaluation_mode_keeps_using_its_statistics() -> None:
    net = nn.Sequential(nn.BatchNorm2d(2)).eval()
    net[0].running_mean.fill_(5.0)
    x = torch.randn(10, 2, 4, 4)
    expected = net(x)
    with frozen_statistics(net):
        assert torch.equal(net(x), expected)
    assert net[0].track_running_stats
