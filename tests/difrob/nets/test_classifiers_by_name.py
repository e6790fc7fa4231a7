"""The networks by name: published sizes, shapes, padding, independence of the device's details."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from difrob.errors import UserError
from difrob.nets.classifiers import build_classifier
from difrob.nets.preact_resnet import PreActResNet18
from difrob.nets.residual_blocks import SamePadded
from difrob.nets.running_statistics import RunningStatistics, batch_norms
from difrob.nets.vision_transformer import VisionTransformer
from difrob.nets.wide_resnet import WideResNet
from difrob.specs import ClassifierNetworkSpec

# Millions of parameters for 10 classes of 32x32 colour images. Zagoruyko & Komodakis 2016, table 4: 36.5 for 28-10; Gowal et
# al. 2020, table 1: 267 for 70-16; Bartoldson et al. 2024: 366 for 94-16; PreAct-ResNet-18 11.2.
PUBLISHED = {
    "preact_resnet_18": 11.2, "wide_resnet_28_10": 36.5, "wide_resnet_70_16": 267, "wide_resnet_94_16": 366,
}  # fmt: skip
SMALL = {
    "small_cnn": {},
    "preact_resnet_18": {},
    "wide_resnet": {"depth": 10, "widen": 1},
    "vit": {"patch": 2, "width": 24, "blocks": 2, "heads": 3},
}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_number_of_parameters_is_the_published_one(name: str) -> None:
    with torch.device("meta"):
        network = build_classifier(ClassifierNetworkSpec(architecture=name), (3, 32, 32), 10)
    published = PUBLISHED[name]
    assert round(count(network) / 1e6, 1 if published < 100 else 0) == published


def test_a_base_transformer_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        base_16 = VisionTransformer(
            patch=16, width=768, blocks=12, heads=12, image_shape=(3, 224, 224), num_classes=1000
        )
        base_2 = build_classifier(ClassifierNetworkSpec(architecture="vit_base_2"), (3, 32, 32), 10)
    assert count(base_16) == 86_567_656  # ViT-B/16 with a linear head (Dosovitskiy et al. 2021, table 1: 86 million)
    assert len(base_2.blocks) == 12 and base_2.positions.shape == (1, 257, 768)


@pytest.mark.parametrize("name", SMALL)
def test_features_and_logits(name: str) -> None:
    torch.manual_seed(0)
    network = build_classifier(ClassifierNetworkSpec(architecture=name, **SMALL[name]), (3, 8, 8), 7).double().eval()
    x = torch.rand(5, 3, 8, 8, dtype=torch.float64)
    features, logits = network.features(x), network(x)
    assert features.shape == (5, network.head.in_features) and logits.shape == (5, 7)
    assert torch.equal(network.head(features), logits)
    assert (network.image_shape, network.num_classes) == ((3, 8, 8), 7)
    assert torch.allclose(network(x[2:3]), logits[2:3], atol=1e-10)  # in evaluation, images are independent
    assert float(logits.detach().std()) < 3 and float(features.detach().std()) > 0.01
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_standardisation_is_part_of_the_weights(name: str) -> None:
    spec = ClassifierNetworkSpec(architecture=name, **SMALL[name])
    torch.manual_seed(0)
    network = build_classifier(spec, (3, 8, 8), 4).eval()
    x = torch.rand(2, 3, 8, 8)
    before = network(x)
    network.standardise_by([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])
    after = network(x)
    assert not torch.allclose(before, after)
    twin = build_classifier(spec, (3, 8, 8), 4).eval()
    twin.load_state_dict(network.state_dict())
    assert torch.equal(twin(x), after)
    by_hand = (x - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    assert torch.allclose(network.standardised(x), by_hand)
    for mean, std in (([0.5], [0.5]), ([0.5] * 3, [0.1, 0.0, 0.1])):
        with pytest.raises(ValueError, match="3 numbers"):
            network.standardise_by(mean, std)


@pytest.mark.parametrize("build", [PreActResNet18, lambda **sizes: WideResNet(depth=10, widen=1, **sizes)])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (28, 28), (32, 32)])
def test_residual_networks_take_any_image_size(build: type[PreActResNet18], size: tuple[int, int]) -> None:
    network = build(image_shape=(1, *size), num_classes=3).eval()
    assert network(torch.rand(2, 1, *size)).shape == (2, 3)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 40), kernel=st.sampled_from([1, 3, 5]), stride=st.sampled_from([1, 2, 3]))
def test_padding_is_that_of_tensorflow(size: int, kernel: int, stride: int) -> None:
    """SAME: ceil(size / stride) outputs, and where padding is odd, the larger half comes after the image."""
    convolution = SamePadded(1, 1, kernel, stride).double()
    x = torch.rand(1, 1, size, 3, dtype=torch.float64)
    found = convolution(x)
    assert found.shape[2] == -(-size // stride)
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    wide = max((-(-3 // stride) - 1) * stride + kernel - 3, 0)
    padded = F.pad(x, (wide // 2, wide - wide // 2, total // 2, total - total // 2))
    assert torch.allclose(found, F.conv2d(padded, convolution.weight, stride=stride))


def test_stride_two_samples_the_even_pixels_first() -> None:
    """Padding (0, 1, 0, 1): the first window of an even image begins at its first pixel, not beside it."""
    convolution = SamePadded(1, 1, 3, 2)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0, 0, 0] = 1.0
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert convolution(x).flatten().tolist() == [0.0, 2.0, 8.0, 10.0]


def test_running_statistics_begin_with_the_first_batch_and_can_be_put_back() -> None:
    torch.manual_seed(0)
    network = WideResNet(depth=10, widen=1, image_shape=(1, 8, 8), num_classes=3).train()
    assert all(layer.momentum == 0.01 for layer in batch_norms(network)) and len(batch_norms(network)) == 7
    statistics = RunningStatistics(network, 0.05)
    x, last = torch.rand(9, 1, 8, 8), network.stages.norm
    statistics.begin(0)
    seen: list[torch.Tensor] = []
    hook = last.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    network(x)
    mean = seen[0].mean(dim=(0, 2, 3))
    assert torch.allclose(last.running_mean, mean, atol=1e-6)
    statistics.begin(1)
    network(x + 1)
    assert torch.allclose(last.running_mean, 0.95 * mean + 0.05 * seen[1].mean(dim=(0, 2, 3)), atol=1e-6)
    statistics.put_back()
    assert torch.allclose(last.running_mean, mean, atol=1e-6) and int(last.num_batches_tracked) == 1
    hook.remove()
    assert not RunningStatistics(nn.Linear(2, 2), 0.1).exist and statistics.exist


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"network.patch = 3 does not divide images of 8x8"):
        build_classifier(ClassifierNetworkSpec(architecture="vit", patch=3), (1, 8, 8), 10)
    with pytest.raises(ValueError, match="6 n \\+ 4"):
        WideResNet(depth=12, widen=1, image_shape=(1, 8, 8), num_classes=2)
    for name in SMALL:
        with pytest.raises(ValueError, match="2 classes"):
            build_classifier(ClassifierNetworkSpec(architecture=name, **SMALL[name]), (1, 8, 8), 1)


def test_weights_come_from_the_seed_of_the_caller() -> None:
    for name in SMALL:
        spec = ClassifierNetworkSpec(architecture=name, **SMALL[name])
        torch.manual_seed(3)
        first = build_classifier(spec, (1, 8, 8), 10).state_dict()
        torch.manual_seed(3)
        second = build_classifier(spec, (1, 8, 8), 10).state_dict()
        assert all(torch.equal(tensor, second[key]) for key, tensor in first.items())
