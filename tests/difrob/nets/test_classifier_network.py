"""The small classifier: shapes, standardisation inside, independence of the batch, sizes it must cope with."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob.nets.classifiers import build_classifier
from difrob.specs import ClassifierNetworkSpec


@settings(max_examples=25, deadline=None)
@given(
    channels=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(1, 17), st.integers(1, 17)),
    classes=st.integers(2, 12),
)
def test_any_image_size_gives_logits_and_features(
    channels: list[int], shape: tuple[int, int, int], classes: int
) -> None:
    network = build_classifier(ClassifierNetworkSpec(channels=tuple(channels), features=7), shape, classes)
    x = torch.rand(3, *shape)
    assert network(x).shape == (3, classes)
    assert network.features(x).shape == (3, 7)
    assert torch.equal(network.head(network.features(x)), network(x))


def test_pixels_are_standardised_inside() -> None:
    """A first layer that sums its input sees 0 for mid-grey, -1 and 1 for black and white."""
    network = build_classifier(ClassifierNetworkSpec(channels=(1,), features=2), (1, 1, 1), 2)
    seen: list[torch.Tensor] = []
    network.convolutions[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network(torch.tensor([0.0, 0.5, 1.0]).reshape(3, 1, 1, 1))
    assert seen[0].flatten().tolist() == [-1.0, 0.0, 1.0]


def test_logits_of_an_image_do_not_depend_on_the_others_even_in_training() -> None:
    torch.manual_seed(0)
    network = build_classifier(ClassifierNetworkSpec(), (1, 8, 8), 10).double().train()
    x = torch.rand(9, 1, 8, 8, dtype=torch.float64)
    assert torch.allclose(network(x)[4:5], network(x[4:5]), atol=1e-12)


def test_the_default_has_the_stated_layers() -> None:
    network = build_classifier(ClassifierNetworkSpec(), (1, 8, 8), 10)
    shapes = [tuple(p.shape) for p in network.parameters() if p.dim() > 1]
    assert shapes == [(16, 1, 3, 3), (32, 16, 3, 3), (32, 32, 3, 3), (128, 32 * 2 * 2), (10, 128)]
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_weights_come_from_the_seed_of_the_caller() -> None:
    def build() -> torch.Tensor:
        torch.manual_seed(3)
        return build_classifier(ClassifierNetworkSpec(), (1, 8, 8), 10).head.weight

    assert torch.equal(build(), build())


def test_one_class_is_no_classifier() -> None:
    with pytest.raises(ValueError, match="2 classes"):
        build_classifier(ClassifierNetworkSpec(), (1, 8, 8), 1)


def test_activations_keep_their_size_through_the_layers() -> None:
    """A signal that fades from layer to layer costs adversarial training its first fifty steps."""
    torch.manual_seed(0)
    network = build_classifier(ClassifierNetworkSpec(channels=(32, 64, 64, 64), features=256), (1, 16, 16), 10)
    sizes = []
    for module in (*network.convolutions, *network.hidden):
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(lambda m, i, output: sizes.append(float(output.detach().std())))
    logits = network(torch.rand(64, 1, 16, 16))
    assert all(0.15 < size < 3 for size in sizes) and len(sizes) == 5
    assert 0.05 < float(logits.detach().std()) < 3
    assert all((p == 0).all() for name, p in network.named_parameters() if name.endswith("bias"))
