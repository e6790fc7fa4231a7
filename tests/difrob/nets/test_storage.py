"""Checkpoints: tensors and optimiser states come back exactly, and nothing else is accepted."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from torch import nn

from difrob.errors import UserError
from difrob.nets.storage import load_weights, pack, pack_optimiser, part_of, restore_optimiser, unpack


def test_parts_come_back_exactly() -> None:
    base = torch.randn(4, 6)
    parts = {
        "network": {"a.weight": base, "tied": base, "strided": base.t()[::2], "scalar": torch.tensor(3)},
        "average": {"a.weight": torch.randn(2).half(), "nan": torch.tensor([float("nan"), float("inf")])},
    }
    again = unpack(pack(**parts))
    assert set(again) == set(parts)
    for part, tensors in parts.items():
        assert set(again[part]) == set(tensors)
        for name, tensor in tensors.items():
            assert again[part][name].dtype == tensor.dtype
            assert torch.equal(again[part][name].nan_to_num(5), tensor.nan_to_num(5))
    assert pack(**parts) == pack(**parts)


def test_damage_and_strangers_are_refused() -> None:
    weights = pack(network={"w": torch.ones(100)})
    with pytest.raises(UserError, match="damaged"):
        unpack(weights[:-10])
    with pytest.raises(UserError, match="damaged"):
        unpack(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(UserError, match="no part 'average'; it holds network"):
        part_of(unpack(weights), "average")


def test_loading_into_the_wrong_network_names_the_tensor() -> None:
    state = nn.Linear(3, 2).state_dict()
    with pytest.raises(UserError, match=r"'weight' has shape \[2, 3\] instead of \[5, 3\]"):
        load_weights(nn.Linear(3, 5), state)
    with pytest.raises(UserError, match="lacks 'bias'"):
        load_weights(nn.Linear(3, 2), {"weight": state["weight"]})
    with pytest.raises(UserError, match="holds 'bias'"):
        load_weights(nn.Linear(3, 2, bias=False), state)


OPTIMISERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99)),
    "fused adam": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    "sgd without momentum": lambda p: torch.optim.SGD(p, lr=0.01),
    "two groups": lambda p: torch.optim.AdamW([{"params": p[:1], "lr": 0.1}, {"params": p[1:]}], weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_restored_optimiser_goes_on_bit_for_bit(name: str) -> None:
    def step(network: nn.Module, optimiser: torch.optim.Optimizer, seed: int) -> None:
        x = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))
        optimiser.zero_grad()
        network(x).square().mean().backward()
        optimiser.step()

    torch.manual_seed(0)
    network = nn.Linear(5, 3)
    optimiser = OPTIMISERS[name](list(network.parameters()))
    for seed in range(3):
        step(network, optimiser, seed)
    tensors, state = pack_optimiser(optimiser)
    stored = pack(network=network.state_dict(), optimiser=tensors)
    text = json.dumps(state)
    for seed in range(3, 6):
        step(network, optimiser, seed)

    parts = unpack(stored)
    again = nn.Linear(5, 3)
    load_weights(again, parts["network"])
    resumed = OPTIMISERS[name](list(again.parameters()))
    restore_optimiser(resumed, parts.get("optimiser", {}), json.loads(text))
    for seed in range(3, 6):
        step(again, resumed, seed)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert isinstance(resumed.param_groups[0].get("betas", ()), tuple)


def test_an_optimiser_of_other_parameters_is_refused() -> None:
    optimiser = torch.optim.Adam(nn.Linear(2, 2).parameters())
    tensors, state = pack_optimiser(optimiser)
    with pytest.raises(UserError, match="does not fit"):
        restore_optimiser(
            torch.optim.Adam(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).parameters()), tensors, state
        )
