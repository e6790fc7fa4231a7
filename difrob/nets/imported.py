"""Noise-predicting networks that others have trained: folders of the diffusers library, from local files only.

Nothing is executed and nothing fetched: a configuration is JSON, weights are safetensors, and both must fit exactly.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from difrob.errors import UserError
from difrob.nets.storage import load_weights
from difrob.nets.unet import unet_feature_modules

MAX_CONFIG_BYTES = 1_000_000
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"

# The names that attention layers had in folders written before diffusers 0.14.
OLD_ATTENTION_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


class ImportedUNet(nn.Module):
    """A U-Net of diffusers that was trained as a DDPM: it predicts the noise from the state and the time step.

    Args:
        unet: the network.
        image_shape: (C, H, W).
        null_class: whether the last of its class embeddings is that of the null class.
        time_scale: factor on the time step, for networks that were fed rescaled steps.
    """

    takes_time_steps = True

    def __init__(
        self, unet: Any, image_shape: tuple[int, int, int], *, null_class: bool = False, time_scale: float = 1.0
    ) -> None:
        super().__init__()
        embeddings = unet.config.num_class_embeds or 0
        if null_class and embeddings < 2:
            raise UserError("the network has no class embeddings, so none of them can be the null class's")
        self.unet = unet
        self.image_shape = image_shape
        self.num_classes = embeddings - 1 if null_class else embeddings
        self.has_null_class = null_class or embeddings == 0
        self.time_scale = time_scale

    def forward(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        classes = labels if self.num_classes else None
        output: Tensor = self.unet(x, time * self.time_scale, class_labels=classes, return_dict=False)[0]
        return output

    def feature_modules(self) -> dict[str, nn.Module]:
        return unet_feature_modules(self.unet)


def load_diffusers_unet(folder: Path, *, null_class: bool = False) -> ImportedUNet:
    """The network of a diffusers folder, of the model itself or of a pipeline that holds it as ``unet``.

    Args:
        folder: holds ``config.json`` and one safetensors file.
        null_class: whether the last class embedding is that of the null class.

    Returns:
        The network in float32 on the CPU, in evaluation mode.

    Raises:
        UserError: naming the file, setting or tensor that is missing or does not fit.
    """
    if not (folder / "config.json").is_file() and (folder / "unet" / "config.json").is_file():
        folder = folder / "unet"
    config = read_config(folder / "config.json")
    weights = read_weights(weights_file(folder))
    unet = build_unet(config, f"'{folder / 'config.json'}'")
    fill(unet, {_present_name(name): tensor for name, tensor in weights.items()})
    return ImportedUNet(unet, _image_shape(unet.config, folder), null_class=null_class).eval()


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a ``UNet2DModel`` that differ from the library's defaults.

    Raises:
        UserError: for another kind of model, or one that is no plain noise predictor.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
        values = json.loads(text[: MAX_CONFIG_BYTES + 1].decode())
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}; a folder of diffusers holds it") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not a configuration of diffusers: {error}") from None
    if not isinstance(values, dict) or values.get("_class_name") != "UNet2DModel":
        kind = values.get("_class_name") if isinstance(values, dict) else None
        raise UserError(f"'{path}' describes {kind or 'no model'}; only a UNet2DModel can be loaded")
    settings = {name: value for name, value in values.items() if not name.startswith("_")}
    for name, wanted in (("time_embedding_type", "positional"), ("class_embed_type", None)):
        if settings.get(name, wanted) != wanted:
            raise UserError(f"'{path}' has {name} = '{settings[name]}', but only {wanted or 'null'} can be loaded")
    return settings


def weights_file(folder: Path) -> Path:
    """The one safetensors file of a folder.

    Raises:
        UserError: when there is none, or several of which none has the usual name.
    """
    usual = folder / WEIGHTS_NAME
    if usual.is_file():
        return usual
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return files[0]
    if files:
        raise UserError(f"'{folder}' holds {len(files)} safetensors files; leave one, or call it '{WEIGHTS_NAME}'")
    hint = "; convert its .bin file to safetensors, since a pickle can execute code" if [*folder.glob("*.bin")] else ""
    hint = hint or "; 'save_pretrained' of diffusers writes one"
    raise UserError(f"'{folder}' holds no safetensors file{hint}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU.

    Raises:
        UserError: when the file cannot be read or is damaged.
    """
    try:
        return dict(load_file(path))
    except Exception as error:
        raise UserError(f"the weights '{path}' cannot be read: {error}; get the file again") from None


def build_unet(settings: Mapping[str, Any], origin: str) -> Any:
    """A ``UNet2DModel`` without memory for its weights (:func:`fill` gives it those of a file), in evaluation mode.

    Raises:
        UserError: for settings that diffusers does not know or that contradict each other, naming the origin.
    """
    from diffusers import UNet2DModel

    unknown = sorted(set(settings) - set(inspect.signature(UNet2DModel.__init__).parameters))
    if unknown:
        raise UserError(f"{origin} has settings that this version of diffusers does not know: {', '.join(unknown)}")
    try:
        with torch.device("meta"):
            unet: Any = UNet2DModel(**settings)
            return unet.eval()
    except Exception as error:
        raise UserError(f"{origin} describes no U-Net that can be built: {error}") from None


def fill(unet: Any, tensors: Mapping[str, Tensor]) -> None:
    """Give an empty network its weights, in float32.

    Raises:
        UserError: for the first tensor that does not fit, or for blocks with constants that no file of weights holds.
    """
    load_weights(unet, tensors, assign=True)
    for name, constant in unet.named_buffers():
        if constant.is_meta:
            raise UserError(f"the U-Net has blocks with constants of their own ('{name}'), which cannot be loaded")
    unet.float()


def _present_name(name: str) -> str:
    return re.sub(
        r"(attentions\.\d+)\.(query|key|value|proj_attn)\.",
        lambda match: f"{match[1]}.{OLD_ATTENTION_NAMES[match[2]]}.",
        name,
    )


def _image_shape(config: Any, folder: Path) -> tuple[int, int, int]:
    size = config.sample_size
    if isinstance(size, int):
        size = (size, size)
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise UserError(f"'{folder / 'config.json'}' has sample_size = {size}; enter the image size that it is for")
    if config.out_channels not in (config.in_channels, 2 * config.in_channels):
        raise UserError(
            f"'{folder / 'config.json'}' has {config.out_channels} output channels for {config.in_channels} input "
            "channels; a noise predictor has as many, or twice as many with a learned variance"
        )
    return config.in_channels, int(size[0]), int(size[1])
