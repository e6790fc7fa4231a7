"""The U-Net's options: where attention stands, what they refuse, and the published sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.noise_schedules import linear_schedule
from difrob.errors import UserError
from difrob.nets.unet import UNET_SIZES, UNet, UNetOptions, unet_of_size

SMALL = UNetOptions(channels=(8, 16, 16), attention_edges=(8,), middle_attention=True, scale_shift=True)


def weights(options: UNetOptions, image_shape: tuple[int, int, int], num_classes: int) -> int:
    """How many, without giving them memory."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in UNet(image_shape, num_classes, options).parameters())


@pytest.mark.parametrize(("name", "millions"), [("cifar_36m", 35.7), ("cifar_53m", 52.5), ("cifar_54m", 54.3)])
def test_published_sizes(name: str, millions: float) -> None:
    """Ho et al. 2020 state 35.7 million, Nichol & Dhariwal 2021 52.5 million, for CIFAR-10 without classes."""
    assert weights(unet_of_size(name), (3, 32, 32), 0) / 1e6 == pytest.approx(millions, abs=0.06)


def test_unknown_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="no U-Net of size 'cifar_1b'; choose one of cifar_36m, cifar_53m, cifar_54m"):
        unet_of_size("cifar_1b")
    assert all(unet_of_size(name) is options for name, options in UNET_SIZES.items())


def test_attention_stands_where_it_was_asked_for() -> None:
    unet = UNet((1, 16, 16), 0, SMALL).unet
    assert [hasattr(block, "attentions") for block in unet.down_blocks] == [False, True, False]
    assert [hasattr(block, "attentions") for block in unet.up_blocks] == [False, True, False]
    assert all(attention.heads == 2 for attention in unet.down_blocks[1].attentions)
    single = UNet((1, 16, 16), 0, replace(SMALL, head_width=None)).unet
    assert single.down_blocks[1].attentions[0].heads == 1
    assert weights(SMALL, (1, 16, 16), 0) > weights(replace(SMALL, attention_edges=()), (1, 16, 16), 0)


def test_every_option_reaches_the_output() -> None:
    torch.manual_seed(0)
    network = UNet((2, 16, 8), 3, replace(SMALL, learned_variance=True, condition_width=24)).eval()
    x, c_noise, labels = torch.randn(2, 2, 16, 8), torch.tensor([-0.4, 0.2]), torch.tensor([0, 3])
    with torch.no_grad():
        out = network(x, c_noise, labels)
        assert out.shape == (2, 4, 16, 8)
        for changed in ((x + 0.1, c_noise, labels), (x, c_noise + 0.1, labels), (x, c_noise, torch.tensor([1, 2]))):
            assert ((network(*changed) - out).abs().amax(dim=(1, 2, 3)) > 1e-5).all()
        denoised = DDPMDenoiser(network, linear_schedule(100)).denoise(x, torch.tensor([0.5, 2.0]), labels)
    assert denoised.shape == x.shape and bool(denoised.isfinite().all())
    assert network.unet.time_embedding.linear_2.out_features == 24


def test_what_does_not_fit_is_refused_with_the_mend() -> None:
    with pytest.raises(UserError, match="attention is wanted at 5 pixels, but the levels have 16, 8, 4"):
        UNet((1, 16, 16), 0, replace(SMALL, attention_edges=(8, 5)))
    with pytest.raises(UserError, match="holds 12, which 8 normalisation groups do not divide; give multiples"):
        UNet((1, 16, 16), 0, replace(SMALL, channels=(8, 12, 16)))
    with pytest.raises(UserError, match="holds 8, which 16 channels of a head do not divide"):
        UNet((1, 16, 16), 0, replace(SMALL, head_width=16))
    with pytest.raises(UserError, match="can be halved only 1 times; give at most 2 levels"):
        UNet((1, 6, 6), 0, SMALL)


def test_patches_are_channels_of_the_inner_network_and_return_to_their_places() -> None:
    torch.manual_seed(0)
    network = UNet((2, 16, 8), 3, replace(SMALL, channels=(8, 16), patch=2, learned_variance=True)).eval()
    assert (network.unet.config.in_channels, network.unet.config.out_channels) == (8, 16)
    assert list(network.unet.config.sample_size) == [8, 4]
    seen: list[torch.Tensor] = []
    network.unet.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 2, 16, 8)
    with torch.no_grad():
        out = network(x, torch.tensor([0.1]), torch.tensor([1]))
    assert out.shape == (1, 4, 16, 8)
    for channel, row, column in ((0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 1)):
        assert torch.equal(seen[0][:, 4 * channel + 2 * row + column], x[:, channel, row::2, column::2])

    inner = torch.randn(1, 16, 8, 4)
    network.unet.register_forward_hook(lambda module, inputs, output: (inner,))
    with torch.no_grad():
        out = network(x, torch.tensor([0.1]), torch.tensor([1]))
    assert torch.equal(out[:, 3, 1::2, 0::2], inner[:, 4 * 3 + 2])


def test_images_that_are_no_whole_number_of_patches_are_refused() -> None:
    with pytest.raises(
        UserError, match="images of 28x28 pixels do not consist of patches of 8x8; choose a network.patch"
    ):
        UNet((1, 28, 28), 0, replace(SMALL, attention_edges=(), patch=8))
    with pytest.raises(
        UserError, match="3 levels, but images of 28x28 pixels in patches of 2x2 can be halved only 1 times"
    ):
        UNet((1, 28, 28), 0, replace(SMALL, attention_edges=(), patch=2))
