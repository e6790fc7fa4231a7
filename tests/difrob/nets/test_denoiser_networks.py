"""The raw networks: shapes, conditioning, features, and refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from difrob.errors import UserError
from difrob.nets.denoisers import build_denoiser_network
from difrob.nets.residual_mlp import NoiseLevelEmbedding, ResidualMLP, StraightMLP
from difrob.specs import DenoiserNetworkSpec

SPECS = {
    "mlp": DenoiserNetworkSpec(width=32, blocks=3),
    "unet": DenoiserNetworkSpec(architecture="unet2d", channels=(8, 16)),
    "unet with attention": DenoiserNetworkSpec(architecture="unet2d", channels=(8, 16), attention=True),
}


def randomised(network: nn.Module) -> nn.Module:
    """Give zero-initialised layers random weights, so that every path is alive."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("image_shape", [(1, 8, 8), (3, 16, 8)])
def test_output_depends_on_image_noise_level_and_class(name: str, image_shape: tuple[int, int, int]) -> None:
    network = randomised(build_denoiser_network(SPECS[name], image_shape, 10))
    x = torch.randn(2, *image_shape, generator=torch.Generator().manual_seed(1))
    c_noise, labels = torch.tensor([0.1, -0.4]), torch.tensor([3, 10])
    with torch.no_grad():
        out = network(x, c_noise, labels)
        assert out.shape == x.shape and bool(out.isfinite().all())
        # Rows do not see each other.
        assert torch.allclose(network(x[1:], c_noise[1:], labels[1:])[0], out[1], atol=1e-5)
        for changed in ((x + 0.1, c_noise, labels), (x, c_noise + 0.1, labels), (x, c_noise, torch.tensor([4, 9]))):
            assert ((network(*changed) - out).abs().amax(dim=(1, 2, 3)) > 1e-4).all()


def test_a_fresh_mlp_predicts_zero_and_its_blocks_are_identities() -> None:
    network = ResidualMLP((1, 8, 8), 10, width=16, blocks=2)
    h, condition = torch.randn(4, 16), torch.randn(4, network.CONDITION_WIDTH)
    assert torch.equal(network.blocks[0](h, condition), h)
    assert not network(torch.randn(4, 1, 8, 8), torch.zeros(4), torch.zeros(4, dtype=torch.int64)).any()


@pytest.mark.parametrize("name", SPECS)
def test_all_parameters_learn(name: str) -> None:
    network = randomised(build_denoiser_network(SPECS[name], (1, 8, 8), 3)).train()
    network(torch.randn(8, 1, 8, 8), torch.randn(8), torch.arange(8) % 4).square().mean().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize("name", SPECS)
def test_features_can_be_read_with_hooks_in_order_of_depth(name: str) -> None:
    network = build_denoiser_network(SPECS[name], (1, 8, 8), 10)
    seen: list[str] = []
    for key, module in network.feature_modules().items():
        module.register_forward_hook(lambda *_, key=key: seen.append(key))
    network(torch.randn(1, 1, 8, 8), torch.zeros(1), torch.zeros(1, dtype=torch.int64))
    assert seen == list(network.feature_modules())
    assert len(seen) == (3 if name == "mlp" else 5)


def test_noise_levels_are_told_apart() -> None:
    levels = torch.tensor([0.002, 0.01, 0.1, 0.11, 1.0, 10.0, 80.0])
    embedded = NoiseLevelEmbedding(64)(levels.log() / 4)
    distances = torch.cdist(embedded, embedded) + 10 * torch.eye(len(levels))
    assert embedded.shape == (7, 64) and distances.min() > 1.0


def test_images_that_cannot_be_halved_are_refused_with_the_mend() -> None:
    spec = DenoiserNetworkSpec(architecture="unet2d", channels=(8, 8, 8, 8, 8))
    with pytest.raises(
        UserError, match="5 levels, but images of 8x8 pixels can be halved only 3 times; give at most 4"
    ):
        build_denoiser_network(spec, (1, 8, 8), 10)
    with pytest.raises(UserError, match="at most 2 levels"):
        build_denoiser_network(DenoiserNetworkSpec(architecture="unet2d", channels=(8, 8, 8)), (1, 8, 6), 10)


def test_points_get_the_network_with_a_straight_path() -> None:
    network = build_denoiser_network(SPECS["mlp"], (7, 1, 1), 0)
    assert isinstance(network, StraightMLP) and list(network.feature_modules()) == ["block0", "block1", "block2"]
    assert isinstance(build_denoiser_network(SPECS["mlp"], (1, 7, 1), 0), ResidualMLP)


@pytest.mark.parametrize(
    ("image_shape", "num_classes"), [((2, 1, 1), 0), ((2, 1, 1), 3), ((7, 1, 1), 4), ((3, 4, 2), 4)]
)
def test_the_straight_network_hears_everything(image_shape: tuple[int, int, int], num_classes: int) -> None:
    torch.manual_seed(0)
    network = StraightMLP(image_shape, num_classes, width=32, blocks=3)
    x, c_noise = torch.randn(4, *image_shape), torch.tensor([0.1, -0.4, 0.0, 1.2])
    labels = torch.arange(4) % (num_classes + 1)
    assert not network(x, c_noise, labels).any()  # a fresh network predicts zero
    randomised(network)
    with torch.no_grad():
        out = network(x, c_noise, labels)
        assert out.shape == x.shape
        assert torch.allclose(network(x[1:], c_noise[1:], labels[1:])[0], out[1], atol=1e-5)
        changes = [(x + 0.1, c_noise, labels), (x, c_noise + 0.1, labels)]
        if num_classes:
            changes.append((x, c_noise, (labels + 1) % (num_classes + 1)))
        for changed in changes:
            assert ((network(*changed) - out).abs().amax(dim=(1, 2, 3)) > 1e-4).all()


def test_far_out_the_straight_network_is_linear() -> None:
    """Twice as far out the answer is twice as large, but for what the blocks add, which their norms bound."""
    torch.manual_seed(0)
    network = randomised(StraightMLP((2, 1, 1), 0, width=16, blocks=2))
    x, none = torch.randn(5, 2, 1, 1), torch.zeros(5, dtype=torch.int64)
    with torch.no_grad():
        near, far = (network(scale * x, torch.zeros(5), none) / scale for scale in (1e5, 2e5))
    assert torch.allclose(near, far, atol=1e-3) and near.abs().mean() > 1e-2


def test_all_parameters_of_the_straight_network_learn() -> None:
    torch.manual_seed(0)
    network = randomised(StraightMLP((2, 1, 1), 3, width=16, blocks=2)).train()
    network(torch.randn(8, 2, 1, 1), torch.randn(8), torch.arange(8) % 4).square().mean().backward()
    assert not [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
