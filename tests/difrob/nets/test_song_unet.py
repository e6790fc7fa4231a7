"""DDPM++ and NCSN++: the published names and sizes, the function against one written out in 64 bits, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.published_song_unet import DDPMPP, NCSNPP, WrittenOut, doubled, halved
from torch import Tensor

from difrob.diffusion.edm import EDMDenoiser, preconditioning
from difrob.diffusion.features import BlockFeatures
from difrob.errors import UserError
from difrob.nets.song_unet import SongUNet, SongUNetOptions, resample, smoothing_filter
from difrob.nets.song_unet_names import (
    bare_names,
    empty_song_unet,
    options_as_json,
    options_from_json,
    song_unet_of,
    song_unet_options,
)

TINY: dict[str, Any] = {
    "image_size": 8, "base_channels": 8, "channels": (8, 16), "blocks": 1, "attention_edges": (4,), "condition_width": 32,
    "noise_width": 8, "image_channels": 1,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "ddpmpp": {"augmentations": 9},
    "ncsnpp": {"embedding": "fourier", "encoder": "residual", "filter_size": 4, "noise_width": 16},
    "skips": {"encoder": "skip", "decoder": "skip", "filter_size": 4, "image_channels": 3},
    "classes": {"classes": 5, "channels": (8, 8, 16), "blocks": 2, "attention_edges": (8, 2), "decoder": "skip"},
}


def tiny(**changes: Any) -> SongUNet:
    torch.manual_seed(0)
    network = SongUNet(SongUNetOptions(**{**TINY, **changes}))
    with torch.no_grad():
        for weight in network.parameters():  # norms start as identities, which would hide an exchange
            weight.add_(0.1 * torch.randn(weight.shape))
    return network.eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_network_is_the_function_of_its_names(variant: str) -> None:
    network = tiny(**VARIANTS[variant])
    exact, network = WrittenOut(network.state_dict()), network.double()
    x, c_noise = torch.randn(3, *network.image_shape, dtype=torch.float64), torch.tensor([-1.5, 0.0, 1.1]).double()
    labels, classes = torch.zeros(3, dtype=torch.int64), None
    if network.num_classes:
        labels = torch.tensor([4, 0, network.num_classes])  # the last one is the null class: no class at all
        classes = torch.zeros(3, 5, dtype=torch.float64)
        classes[0, 4] = classes[1, 0] = 1
    with torch.no_grad():
        found = network(x, c_noise, labels)
        wanted = exact(x, c_noise, classes)
    assert found.shape == x.shape and wanted.std() > 0.05
    # The frequencies of positions are 32 bits wide there as here.
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_residual_block_and_the_embeddings_by_themselves() -> None:
    network = tiny(classes=5).double()
    exact = WrittenOut(network.state_dict())
    x, c_noise = torch.randn(2, 8, 8, 8, dtype=torch.float64), torch.tensor([0.3, -0.7]).double()
    with torch.no_grad():
        told = network.condition(c_noise, torch.tensor([5, 5]))
        assert torch.allclose(told, exact.condition(c_noise, torch.zeros(2, 5).double()), rtol=1e-6)
        for name in ("enc.8x8_block0", "enc.4x4_down"):
            block = network.get_submodule(name)
            assert torch.allclose(block(x, told), exact.block(name, x, told), rtol=1e-9, atol=1e-10)
        waves = network.map_noise(torch.tensor([2.0]).double())
    ends = torch.tensor([2.0, 2e-4], dtype=torch.float64)  # the frequencies fall from 1 to 1/10,000, both included
    assert torch.allclose(waves[0, [0, 3, 4, 7]], torch.cat([ends.sin(), ends.cos()]))


@pytest.mark.parametrize("taps", [2, 4])
def test_resolutions_change_by_the_filter(taps: int) -> None:
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    kernel = smoothing_filter(taps).double()
    assert torch.allclose(resample(x, kernel, "down"), halved(x, taps))
    assert torch.allclose(resample(x, kernel, "up"), doubled(x, taps))
    assert kernel.sum() == 1


PUBLISHED = {
    "map_layer0.weight": (512, 128),
    "map_augment.weight": (128, 9),
    "enc.32x32_conv.weight": (128, 3, 3, 3),
    "enc.32x32_block0.conv0.weight": (256, 128, 3, 3),
    "enc.32x32_block0.skip.weight": (256, 128, 1, 1),
    "enc.16x16_down.conv0.resample_filter": (1, 1, 2, 2),
    "enc.16x16_down.skip.resample_filter": (1, 1, 2, 2),
    "enc.16x16_block3.qkv.weight": (768, 256, 1, 1),
    "dec.8x8_in0.qkv.weight": (768, 256, 1, 1),
    "dec.8x8_in1.affine.weight": (256, 512),
    "dec.16x16_up.conv0.weight": (256, 256, 3, 3),
    "dec.16x16_block4.proj.bias": (256,),
    "dec.32x32_block4.conv0.weight": (256, 384, 3, 3),
    "dec.32x32_aux_norm.weight": (256,),
    "dec.32x32_aux_conv.weight": (3, 256, 3, 3),
}


@pytest.mark.parametrize(
    ("options", "millions", "further"),
    [
        (DDPMPP, 55.7, {}),
        ({**DDPMPP, "classes": 10}, 55.7, {"map_label.weight": (128, 10)}),
        (NCSNPP, None, {
            "map_noise.freqs": (128,), "map_layer0.weight": (512, 256), "map_augment.weight": (256, 9),
            "enc.16x16_aux_residual.weight": (256, 3, 3, 3), "enc.8x8_aux_residual.weight": (256, 256, 3, 3),
            "enc.8x8_aux_residual.resample_filter": (1, 1, 4, 4), "enc.16x16_down.conv0.resample_filter": (1, 1, 4, 4),
            "enc.16x16_down.skip.resample_filter": (1, 1, 4, 4),
        }),
    ],
)  # fmt: skip
def test_the_published_networks_for_cifar_have_these_names_and_sizes(
    options: dict[str, Any], millions: float | None, further: dict[str, tuple[int, ...]]
) -> None:
    wanted = SongUNetOptions(**options)
    network = empty_song_unet(wanted)
    tensors = network.state_dict()
    assert all(tensor.is_meta for tensor in tensors.values())
    if millions is not None:  # Karras et al. 2022, table 7, of DDPM++
        assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, 1) == millions
    for name, shape in {**PUBLISHED, **further}.items():
        assert tuple(tensors[name].shape) == shape, name
    for name in ("enc.32x32_block0.qkv.weight", "dec.16x16_block0.qkv.weight", "dec.32x32_block4.qkv.weight"):
        assert name not in tensors, name
    assert song_unet_options(tensors) == wanted
    assert options_from_json(options_as_json(wanted)) == wanted


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_state_dictionary_tells_its_network(variant: str) -> None:
    network = tiny(**VARIANTS[variant])
    outer = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    read = song_unet_of(bare_names(outer), null_class=variant == "classes")
    assert (read.image_shape, read.num_classes, read.has_null_class) == (network.image_shape, network.num_classes, True)
    x = torch.randn(2, *network.image_shape)
    with torch.no_grad():
        both = [each(x, torch.tensor([0.0, 1.0]), torch.zeros(2, dtype=torch.int64)) for each in (network, read)]
    assert torch.equal(*both)


def test_in_its_preconditioning_it_is_the_published_denoiser() -> None:
    network = tiny().double()
    exact, denoiser = WrittenOut(network.state_dict()), EDMDenoiser(network, 0.5)
    v, sigma = torch.randn(2, 1, 8, 8, dtype=torch.float64), torch.tensor([0.1, 3.0]).double()
    with torch.no_grad():
        found = denoiser.denoise(v, sigma)
        c_skip, c_out, c_in, c_noise = (part.reshape(-1, 1, 1, 1) for part in preconditioning(sigma, 0.5))
        wanted = c_skip * v + c_out * exact(c_in * v, c_noise.flatten())
    assert torch.allclose(c_noise.flatten(), sigma.log() / 4) and torch.allclose(found, wanted, rtol=1e-6)


def test_its_blocks_give_features_with_a_gradient() -> None:
    network = tiny()
    assert list(network.feature_modules()) == ["down0", "down1", "middle", "up0", "up1"]
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    for block, width in (("down0", 8), ("middle", 16), ("up1", 8)):
        features = BlockFeatures(EDMDenoiser(network, 0.5), block, 0.3)
        assert features.width == width
        (gradient,) = torch.autograd.grad(features(x).sum(), x)
        assert gradient.abs().max() > 0


def lacks(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors.pop(name)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lacks("map_layer0.weight"), "hold 0 tensors 'map_layer0.weight'"),
        (lacks("enc.8x8_conv.weight"), "no convolution 'enc.<edge>x<edge>_conv'"),
        (lacks("enc.4x4_block0.conv0.weight"), "lacks 'dec.8x8_in0.norm0.weight'"),
        (lacks("enc.4x4_block0.conv1.weight"), "lack 'enc.4x4_block0.conv1.weight'"),
        (lacks("dec.8x8_block1.conv0.bias"), "lacks 'dec.8x8_block1.conv0.bias'"),
        (lambda tensors: tensors.update({"enc.8x8_block1.conv0.weight": torch.zeros(1)}), "1 at 4 pixels blocks"),
        (lambda tensors: tensors.update({"map_layer0.weight": torch.zeros(3)}), r"'map_layer0.weight' has shape \[3\]"),
        (lambda tensors: tensors.update({"map_layer1.bias": torch.zeros(3)}), "'map_layer1.bias' has shape"),
        (lambda tensors: tensors.update({"out_conv.weight": torch.zeros(1)}), "an ADM network"),
        (lambda tensors: tensors.update({"enc.4x4_aux_skip.bias": torch.zeros(8)}), "lacks 'enc.4x4_aux"),
        (lambda tensors: tensors.update({"x.resample_filter": torch.zeros(1, 1, 3, 3)}), r"filters of \[2, 3\] taps"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(spoil: Callable[[dict[str, Tensor]], object], message: str) -> None:
    tensors = dict(tiny().state_dict())
    spoil(tensors)
    with pytest.raises(UserError, match=message):
        song_unet_of(bare_names(tensors))


def test_contradicting_options_are_refused() -> None:
    with pytest.raises(UserError, match="hold 'u' beside the network"):
        bare_names({"u": torch.zeros(3), **{f"model.{name}": part for name, part in tiny().state_dict().items()}})
    with pytest.raises(UserError, match="takes no classes"):
        song_unet_of(tiny().state_dict(), null_class=True)
    for changes, message in (
        ({"image_size": 9}, "cannot be halved"), ({"channels": ()}, "0 levels"), ({"blocks": 0}, "of 0 blocks"),
        ({"base_channels": 2}, "less than 4 channels"), ({"filter_size": 3}, "cannot have"),
        ({"base_channels": 130}, "cannot be built"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            empty_song_unet(SongUNetOptions(**{**TINY, **changes}))
    with pytest.raises(UserError, match="does not fit this difrob"):
        options_from_json({"colour": "blue"})
