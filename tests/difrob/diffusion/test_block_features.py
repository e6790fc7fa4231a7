"""Features of inner blocks: pooled where they should be, at the right scale, without a class, and cut short."""

from __future__ import annotations

import pytest
import torch
from support.feature_networks import denoiser_run

from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.edm import EDMDenoiser
from difrob.diffusion.features import BlockFeatures, block_names, chosen_block
from difrob.diffusion.loading import load_denoiser
from difrob.diffusion.noise_schedules import noise_schedule
from difrob.errors import UserError
from difrob.nets.residual_mlp import ResidualMLP
from difrob.nets.unet import UNet, UNetOptions

CPU = torch.device("cpu")


def images(count: int = 3, channels: int = 1) -> torch.Tensor:
    return torch.rand(count, channels, 8, 8, generator=torch.Generator().manual_seed(0))


def test_features_are_the_output_of_the_block_under_the_null_class() -> None:
    denoiser, _ = load_denoiser(denoiser_run(), CPU)
    features = BlockFeatures(denoiser, "block1", 0.3)
    x = images()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    network = denoiser.network
    assert isinstance(network, ResidualMLP)
    sigma, data = 0.3, denoiser.sigma_data
    with torch.no_grad():
        v = (2 * x - 1 + sigma * noise) / (sigma**2 + data**2) ** 0.5
        level = torch.full((3,), sigma).log() / 4
        null = torch.full((3,), 10)
        condition = network.condition(
            network.noise_projection(network.noise_level(level)) + network.class_embedding(null)
        )
        h = network.input(v.flatten(1))
        for block in network.blocks[:2]:
            h = block(h, condition)
        torch.testing.assert_close(features(x, noise), h)
        assert features.width == 32 and not torch.equal(features(x, noise), features(x))


def test_a_ddpm_sees_the_scaled_state() -> None:
    schedule = noise_schedule("cosine", 100)
    seen: list[torch.Tensor] = []
    network = ResidualMLP((1, 8, 8), 0, 16, 2)
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    BlockFeatures(DDPMDenoiser(network, schedule), "", 0.5)(images())
    torch.testing.assert_close(seen[-1], (2 * images() - 1) / 1.25**0.5)
    with pytest.raises(UserError, match="beyond this denoiser.*lower sigma"):
        BlockFeatures(DDPMDenoiser(network, schedule), "", 1e9)


@pytest.mark.parametrize("block", ["down0", "down1", "middle", "up0", "up1"])
def test_maps_of_a_unet_are_averaged_over_places(block: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet((3, 8, 8), 4, UNetOptions(channels=(8, 16)))
    denoiser = EDMDenoiser(network, 0.5).eval()
    maps: list[torch.Tensor] = []
    handle = network.feature_modules()[block].register_forward_hook(
        lambda module, inputs, output: maps.append(output[0] if isinstance(output, tuple) else output)
    )
    x = images(channels=3)
    with torch.no_grad():
        denoiser.denoise(2 * x - 1, torch.full((3,), 0.3))
        handle.remove()
        features = BlockFeatures(denoiser, block, 0.3)
        torch.testing.assert_close(features(x), maps[0].mean(dim=(2, 3)))
    assert features.width == (16 if block in ("down1", "middle", "up0") else 8)


def test_what_lies_behind_the_block_is_not_computed_and_nothing_stays_hooked() -> None:
    denoiser, _ = load_denoiser(denoiser_run(), CPU)
    calls: list[str] = []
    for name, block in denoiser.network.feature_modules().items():
        block.register_forward_pre_hook(lambda module, inputs, name=name: calls.append(name))
    features = BlockFeatures(denoiser, "block0", 0.3)
    calls.clear()
    features(images())
    assert calls == ["block0"]
    assert not any(block._forward_hooks for block in denoiser.network.feature_modules().values())
    denoiser.denoise(images(), torch.full((3,), 0.3))
    assert calls == ["block0", "block0", "block1", "block2"]


def test_gradients_reach_the_image_only() -> None:
    denoiser, _ = load_denoiser(denoiser_run(), CPU)
    x = images().requires_grad_()
    BlockFeatures(denoiser, "", 0.3)(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in denoiser.parameters())


def test_blocks_that_do_not_exist_are_named_with_those_that_do() -> None:
    denoiser, _ = load_denoiser(denoiser_run(), CPU)
    assert block_names(denoiser) == ["block0", "block1", "block2"] and chosen_block(denoiser, "") == "block1"
    with pytest.raises(UserError, match="no block 'middle'; it has block0, block1, block2"):
        BlockFeatures(denoiser, "middle", 0.3)
    with pytest.raises(ValueError, match="above 0"):
        BlockFeatures(denoiser, "", 0.0)


def test_a_network_without_null_class_cannot_teach() -> None:
    network = ResidualMLP((1, 8, 8), 4, 16, 2)
    network.has_null_class = False  # type: ignore[assignment]
    with pytest.raises(UserError, match="no null class"):
        BlockFeatures(EDMDenoiser(network, 0.5), "", 0.3)
