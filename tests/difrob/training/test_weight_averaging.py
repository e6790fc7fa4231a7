"""Weight averages against the formulas, computed by hand in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from difrob.errors import UserError
from difrob.nets.storage import pack, unpack
from difrob.training.weight_averaging import HalfLifeAverage, WarmedUpAverage


def walk(network: nn.Linear, step: int) -> torch.Tensor:
    """Put known weights in, as an optimiser step would."""
    weights = torch.randn(network.weight.shape, generator=torch.Generator().manual_seed(step))
    with torch.no_grad():
        network.weight.copy_(weights)
    return weights.double()


def test_half_life_average_follows_edm() -> None:
    network = nn.Linear(3, 2)
    average = HalfLifeAverage(network, halflife_images=50, rampup_ratio=0.5)
    expected = network.weight.detach().double()
    for step in range(40):
        weights = walk(network, step)
        halflife = min(50, step * 8 * 0.5)
        beta = 0.5 ** (8 / max(halflife, 1e-8))
        expected = beta * expected + (1 - beta) * weights
        average.update(network, images=8)
    assert torch.allclose(average.module.weight.double(), expected, atol=1e-6)


def test_after_one_half_life_half_of_the_weight_is_left() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    average = HalfLifeAverage(network, halflife_images=1000, rampup_ratio=1.0)
    average.images_seen = 10**9
    nn.init.zeros_(network.weight)
    for _ in range(10):
        average.update(network, images=100)
    assert average.module.weight.item() == pytest.approx(0.5, abs=1e-6)


def test_warmed_up_average_follows_the_released_code() -> None:
    network = nn.Linear(3, 2)
    average = WarmedUpAverage(network, decay=0.9, warmup_steps=5)
    expected = torch.zeros(2, 3, dtype=torch.float64)
    for step in range(120):
        weights = walk(network, step)
        m = step - 5
        decay = min(0.9, (1 + m) / (10 + m)) if step >= 5 else 0.0
        expected = decay * expected + (1 - decay) * weights
        average.update(network)
        if step < 5:
            assert torch.equal(average.module.weight, network.weight)
    assert torch.allclose(average.module.weight.double(), expected, atol=1e-6)


@given(decay=st.floats(0, 0.999), warmup=st.integers(0, 50), updates=st.integers(0, 3000))
def test_decay_stays_below_its_bound_and_never_falls(decay: float, warmup: int, updates: int) -> None:
    average = WarmedUpAverage(nn.Linear(1, 1), decay, warmup)
    average.updates = updates
    now = average.decay()
    average.updates += 1
    assert 0 <= now <= average.decay() <= decay


@pytest.mark.parametrize("kind", ["half-life", "warmed-up"])
def test_buffers_are_copied_and_never_shared(kind: str) -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = HalfLifeAverage(network, 10, 1.0) if kind == "half-life" else WarmedUpAverage(network, 0.9)
    network(torch.randn(8, 2))
    if isinstance(average, HalfLifeAverage):
        average.update(network, images=8)
    else:
        average.update(network)
    kept = average.module[1].running_mean.clone()
    assert torch.equal(kept, network[1].running_mean) and average.module[1].num_batches_tracked == 1
    network(torch.randn(8, 2) + 5)
    assert torch.equal(average.module[1].running_mean, kept)
    mine = {tensor.data_ptr() for tensor in average.module.state_dict().values()}
    assert not mine & {tensor.data_ptr() for tensor in network.state_dict().values()}
    assert not average.module.training and not any(p.requires_grad for p in average.module.parameters())


def test_a_restored_average_goes_on_bit_for_bit() -> None:
    for build in (lambda n: HalfLifeAverage(n, 64, 0.5), lambda n: WarmedUpAverage(n, 0.99, 3)):
        network = nn.Linear(4, 4)
        average = build(network)
        update = (
            (lambda a, n: a.update(n, images=8)) if isinstance(average, HalfLifeAverage) else (lambda a, n: a.update(n))
        )
        for step in range(7):
            walk(network, step)
            update(average, network)
        stored, counters = pack(average=average.state_dict()), average.counters()
        again = build(nn.Linear(4, 4))
        again.restore(unpack(stored)["average"], counters)
        for step in range(7, 15):
            walk(network, step)
            update(average, network)
            update(again, network)
        assert torch.equal(average.module.weight, again.module.weight)
        assert average.counters() == again.counters()
        with pytest.raises(UserError, match="another network"):
            build(nn.Linear(5, 4)).restore(unpack(stored)["average"], counters)
