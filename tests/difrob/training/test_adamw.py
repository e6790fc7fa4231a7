"""The optimisers of a classifier: AdamW by its formulas, what its decay spares, and SGD as it always was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from difrob.nets.vision_transformer import VisionTransformer
from difrob.specs import TrainClassifierSpec
from difrob.training.optimisers import build_optimiser, decay_groups, lay_out_like_parameters, weight_groups

CPU = torch.device("cpu")
RATE, DECAY, BETAS = 0.01, 0.3, (0.8, 0.95)
ADAMW: dict[str, Any] = {"optimiser": "adamw", "learning_rate": RATE, "weight_decay": DECAY, "betas": BETAS}


def transformer() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(patch=4, width=8, blocks=1, heads=2, image_shape=(1, 8, 8), num_classes=3)


def leave_gradients(network: nn.Module, seed: int) -> None:
    """Any gradients, of the type of the parameters."""
    random = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=random, dtype=torch.float64).to(parameter.dtype)


def test_only_weights_of_linear_layers_and_convolutions_decay() -> None:
    network = transformer()
    decayed, spared = weight_groups(network, 0.3)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {names[id(parameter)] for parameter in decayed["params"]} == {
        "patches.weight", "head.weight", "blocks.0.queries_keys_values.weight", "blocks.0.attended.weight",
        "blocks.0.perceptron.0.weight", "blocks.0.perceptron.2.weight",
    }  # fmt: skip
    rest = {names[id(parameter)] for parameter in spared["params"]}
    assert {"class_token", "positions", "head.bias", "norm.weight", "blocks.0.norm_1.weight"} <= rest
    assert len(decayed["params"]) + len(rest) == len(names)


def test_batch_norm_and_biases_of_convolutions_are_spared_and_nothing_is_left_out() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv1d(2, 2, 1, bias=False), nn.Embedding(3, 2))
    decayed, spared = weight_groups(network, 0.1)
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 1, 3, 3), (2, 2, 1)]
    assert [tuple(p.shape) for p in spared["params"]] == [(4,), (4,), (4,), (3, 2)]
    assert len(weight_groups(nn.Linear(2, 2, bias=False), 0.1)) == 1


def test_steps_follow_the_formulas_of_the_paper() -> None:
    """Loshchilov & Hutter 2019, algorithm 2, in float64: the decay is outside the adaptive step, times the rate."""
    network = transformer().double()
    optimiser = build_optimiser(TrainClassifierSpec(**ADAMW), [network], CPU, momentum=0.9)
    decayed = {id(parameter) for parameter in weight_groups(network, DECAY)[0]["params"]}
    expected = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    first = {name: torch.zeros_like(values) for name, values in expected.items()}
    second = {name: torch.zeros_like(values) for name, values in expected.items()}
    for step in range(1, 4):
        leave_gradients(network, step)
        for name, parameter in network.named_parameters():
            gradient: Tensor = parameter.grad  # type: ignore[assignment]
            first[name] = BETAS[0] * first[name] + (1 - BETAS[0]) * gradient
            second[name] = BETAS[1] * second[name] + (1 - BETAS[1]) * gradient**2
            unbiased = first[name] / (1 - BETAS[0] ** step), second[name] / (1 - BETAS[1] ** step)
            decay = DECAY * expected[name] if id(parameter) in decayed else 0.0
            expected[name] = expected[name] - RATE * (unbiased[0] / (unbiased[1].sqrt() + 1e-8) + decay)
        optimiser.step()
    for name, parameter in network.named_parameters():
        assert torch.allclose(parameter.detach(), expected[name], rtol=1e-12, atol=1e-14), name


def test_the_heads_of_several_modules_are_optimised_together() -> None:
    modules = [transformer(), nn.Linear(3, 2)]
    optimiser = build_optimiser(TrainClassifierSpec(**ADAMW), modules, CPU, momentum=0.9)
    held = [id(p) for group in optimiser.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for module in modules for p in module.parameters())
    assert [group["weight_decay"] for group in optimiser.param_groups] == [DECAY, 0.0, DECAY, 0.0]
    assert all(group["fused"] and group["betas"] == BETAS for group in optimiser.param_groups)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_sgd_is_what_it_was(momentum: float) -> None:
    spec = TrainClassifierSpec(learning_rate=0.2, weight_decay=5e-4)
    ours, theirs = transformer(), transformer()
    built = build_optimiser(spec, [ours], CPU, momentum=momentum)
    plain = torch.optim.SGD(
        decay_groups(theirs, 5e-4), lr=0.2, momentum=momentum, nesterov=momentum > 0, fused=True
    )  # fmt: skip
    for step in range(3):
        for network, optimiser in ((ours, built), (theirs, plain)):
            leave_gradients(network, step)
            optimiser.step()
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(left, right)


def test_restored_averages_get_the_layout_of_their_weights() -> None:
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimiser = build_optimiser(TrainClassifierSpec(**ADAMW), [network], CPU, momentum=0.9)
    leave_gradients(network, 0)
    optimiser.step()
    state = optimiser.state[network.weight]
    kept = {name: values.clone() for name, values in state.items()}
    for name in ("exp_avg", "exp_avg_sq"):
        state[name] = state[name].contiguous()
        assert state[name].stride() != network.weight.stride()
    lay_out_like_parameters(optimiser)
    for name in ("exp_avg", "exp_avg_sq"):
        assert state[name].stride() == network.weight.stride() and torch.equal(state[name], kept[name])
    assert float(state["step"]) == 1
