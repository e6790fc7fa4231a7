"""Networks from files: diffusers folders, and improved-diffusion checkpoints against their network written out here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file
from support.improved_diffusion_network import HEADS, LEVELS, written_out
from torch import Tensor

from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.noise_schedules import linear_schedule
from difrob.diffusion.samplers import sample, schedule_grid
from difrob.errors import UserError
from difrob.foreign import read_safetensors, read_torch_state
from difrob.nets.imported import ImportedUNet, load_diffusers_unet
from difrob.nets.improved_diffusion import improved_diffusion_unet, translate


def loaded(path: Path, **settings: Any) -> ImportedUNet:
    """The network of a state dictionary in a file."""
    tensors = read_safetensors(path) if path.suffix == ".safetensors" else read_torch_state(path)
    return improved_diffusion_unet(tensors, f"'{path}'", image_size=8, **settings)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(("classes", "scale_shift", "variance"), [(0, True, True), (5, False, False)])
def test_a_translated_checkpoint_is_the_same_function(
    tmp_path: Path, classes: int, scale_shift: bool, variance: bool, suffix: str
) -> None:
    original, path = written_out(classes, scale_shift, variance), tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save(original.state_dict(), path)
    else:
        save_file(original.state_dict(), path)
    network = loaded(path, heads=HEADS, time_scale=0.25)
    assert (network.num_classes, network.image_shape, network.training) == (classes, (3, 8, 8), False)
    x, time = torch.randn(3, 3, 8, 8), torch.tensor([0.0, 100.0, 3999.0])
    labels = torch.tensor([0, 2, 4]) if classes else None
    with torch.no_grad():
        exact = original(x, 0.25 * time, labels)
        found = network(x, time, labels if labels is not None else torch.zeros(3, dtype=torch.int64))
    assert found.shape == (3, 6 if variance else 3, 8, 8)
    assert torch.allclose(found, exact, rtol=1e-4, atol=1e-4) and exact.std() > 0.05


def test_another_number_of_heads_is_another_function(tmp_path: Path) -> None:
    original, path = written_out(), tmp_path / "model.pt"
    torch.save(original.state_dict(), path)
    network, x, time = loaded(path, heads=4), torch.randn(2, 3, 8, 8), torch.ones(2)
    with torch.no_grad():
        assert not torch.allclose(network(x, time, torch.zeros(2)), original(x, time, None), rtol=1e-3, atol=1e-3)


def lacks(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors.pop(name)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lacks("input_blocks.0.0.weight"), "lacks 'input_blocks.0.0.weight'; it is not a U-Net of improved-diffusion"),
        (lacks("middle_block.1.qkv.weight"), "lacks 'middle_block.1.qkv.weight'"),
        (lacks("output_blocks.2.2.conv.weight"), "lacks 'output_blocks.2.2.conv.weight'"),
        (lacks("output_blocks.1.1.qkv.weight"), "attention on one way only at 'output_blocks.1'"),
        (lacks("input_blocks.4.1.qkv.weight"), "attention after some of them only"),
        (lacks("middle_block.1.qkv.bias"), "lacks 'middle_block.1.qkv.bias'"),
        (lambda tensors: tensors.update({"ema.x": torch.zeros(1)}), "does not have: ema.x$"),
        (lambda tensors: tensors.update({f"a{n}": torch.zeros(1) for n in range(7)}), "a0, a1, a2, a3, a4 and 2 more"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_the_tensor(
    spoil: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    tensors = written_out().state_dict()
    spoil(tensors)
    with pytest.raises(UserError, match=message):
        translate(tensors, HEADS)


@pytest.mark.parametrize(
    "name",
    ["input_blocks.0.0.weight", "label_emb.weight", "input_blocks.1.0.emb_layers.1.weight", "out.2.weight",
     "input_blocks.2.0.out_layers.3.weight", "input_blocks.4.1.qkv.weight", "input_blocks.4.1.qkv.bias",
     "input_blocks.4.1.proj_out.weight"],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 2), (0, 0, 0, 0), (1, 1, 1, 1, 1), None])
def test_no_shape_of_a_tensor_is_taken_for_granted(name: str, shape: tuple[int, ...] | None) -> None:
    tensors = dict(written_out(classes=3).state_dict())
    assert name in tensors
    if shape is None:
        del tensors[name]
    else:
        tensors[name] = torch.zeros(shape)
    with pytest.raises(UserError):
        improved_diffusion_unet(tensors, "'x'", image_size=8, heads=HEADS, null_class=True)


def test_tensors_of_other_shapes_are_refused(tmp_path: Path) -> None:
    tensors, path = written_out().state_dict(), tmp_path / "model.pt"
    for heads in (0, 3):
        with pytest.raises(UserError, match=f"64 channels wide, is not made of {heads} heads"):
            translate(tensors, heads)
    tensors["out.0.bias"] = torch.zeros(7)
    torch.save(tensors, path)
    with pytest.raises(UserError, match="'conv_norm_out.bias' has shape"):
        loaded(path, heads=HEADS)
    del tensors["out.0.bias"]
    torch.save(tensors, path)
    with pytest.raises(UserError, match="lacks 'conv_norm_out.bias'"):
        loaded(path, heads=HEADS)


def small_unet(**changes: object) -> UNet2DModel:
    torch.manual_seed(0)
    settings: dict[str, object] = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 8,
        "layers_per_block": 1,
    }
    return UNet2DModel(**{**settings, **changes}).eval()


@pytest.mark.parametrize("classes", [None, 4])
def test_a_folder_of_diffusers_is_the_same_function(tmp_path: Path, classes: int | None) -> None:
    original = small_unet(num_class_embeds=classes)
    original.save_pretrained(tmp_path / "pipeline" / "unet")
    x, time, labels = torch.randn(3, 3, 8, 8), torch.tensor([0.0, 1.5, 999.0]), torch.tensor([0, 1, 3])
    for folder in (tmp_path / "pipeline", tmp_path / "pipeline" / "unet"):
        network = load_diffusers_unet(folder)
        assert (network.num_classes, network.has_null_class) == (classes or 0, classes is None)
        assert network.image_shape == (3, 8, 8) and not network.training
        assert list(network.feature_modules()) == ["down0", "down1", "middle", "up0", "up1"]
        with torch.no_grad():
            expected = original(x, time, class_labels=labels if classes else None).sample
            assert torch.equal(network(x, time, labels), expected)


def test_old_names_and_half_precision_are_read(tmp_path: Path) -> None:
    original = small_unet()
    original.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    old = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}
    tensors = {}
    for name, tensor in load_file(file).items():
        for new_part, old_part in old.items():
            name = name.replace(new_part, old_part)
        tensors[name] = tensor.half()
    assert any("query" in name for name in tensors)
    save_file(tensors, tmp_path / "weights.safetensors")
    file.unlink()
    network, x, time = load_diffusers_unet(tmp_path), torch.randn(2, 3, 8, 8), torch.ones(2)
    with torch.no_grad():
        found, expected = network(x, time, torch.zeros(2)), original(x, time).sample
    assert found.dtype == torch.float32 and torch.allclose(found, expected, atol=0.02)


def test_an_imported_network_draws_images(tmp_path: Path) -> None:
    small_unet(num_class_embeds=4).save_pretrained(tmp_path)
    schedule = linear_schedule(1000)
    with_null = DDPMDenoiser(load_diffusers_unet(tmp_path, null_class=True), schedule)
    assert with_null.num_classes == 3 and with_null.has_null_class
    noise, labels = torch.randn(2, 3, 8, 8), torch.tensor([0, 2])
    grid = schedule_grid(schedule, 4)
    images = sample(with_null, noise, labels, grid, sampler="ddpm", guidance_scale=2.0, index=[0, 1])
    assert images.shape == noise.shape and bool(images.isfinite().all())
    with pytest.raises(UserError, match="null class"):
        sample(DDPMDenoiser(load_diffusers_unet(tmp_path), schedule), noise, None, grid)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "describes UNet2DConditionModel; only a UNet2DModel"),
        ({"time_embedding_type": "fourier"}, "time_embedding_type = 'fourier', but only positional"),
        ({"class_embed_type": "timestep"}, "class_embed_type = 'timestep', but only null"),
        ({"magic": 1, "wonder": 2}, "does not know: magic, wonder"),
        ({"up_block_types": ["UpBlock2D"]}, "describes no U-Net that can be built"),
        ({"sample_size": None}, "has sample_size = None; enter the image size"),
        ({"out_channels": 5}, "'conv_out.weight' has shape|5 output channels"),
        ({"block_out_channels": [8, 24]}, "has shape .* in the checkpoint"),
        ({"add_attention": False}, "holds 'mid_block.attentions.0"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    small_unet().save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    with pytest.raises(UserError, match=message):
        load_diffusers_unet(tmp_path)


def test_folders_that_lack_something_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read .*config.json"):
        load_diffusers_unet(tmp_path)
    small_unet().save_pretrained(tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot be read"):
        load_diffusers_unet(tmp_path)
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).write_bytes(b"")
    weights.unlink()
    with pytest.raises(UserError, match="holds 2 safetensors files; leave one"):
        load_diffusers_unet(tmp_path)
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(UserError, match="holds no safetensors file; .save_pretrained."):
        load_diffusers_unet(tmp_path)
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="convert its .bin file to safetensors"):
        load_diffusers_unet(tmp_path)
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(UserError, match="is not a configuration of diffusers"):
        load_diffusers_unet(tmp_path)
    small_unet().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="none of them can be the null class's"):
        load_diffusers_unet(tmp_path, null_class=True)


def test_blocks_with_constants_of_their_own_are_refused(tmp_path: Path) -> None:
    unet = small_unet(
        block_out_channels=(32, 64), down_block_types=("KDownBlock2D", "KDownBlock2D"),
        up_block_types=("KUpBlock2D", "KUpBlock2D"),
    )  # fmt: skip
    unet.save_pretrained(tmp_path / "unet")
    with pytest.raises(
        UserError, match=r"blocks with constants of their own \('down_blocks.0.downsamplers.0.kernel'\)"
    ):
        load_diffusers_unet(tmp_path / "unet")


def test_a_network_of_improved_diffusion_predicts_noise_and_halves_its_images() -> None:
    tensors = written_out().state_dict()
    with pytest.raises(UserError, match="images of 9 pixels cannot be halved 1 times"):
        improved_diffusion_unet(tensors, "'x'", image_size=9, heads=HEADS)
    tensors["out.2.weight"], tensors["out.2.bias"] = torch.zeros(5, LEVELS[0], 3, 3), torch.zeros(5)
    with pytest.raises(UserError, match="has 5 output channels for 3 input channels"):
        improved_diffusion_unet(tensors, "'x'", image_size=8, heads=HEADS)
