"""The shape of a published DDPM++ or NCSN++ network, read off the names and sizes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

import torch
from torch import Tensor

from difrob.errors import UserError
from difrob.nets.song_unet import FILTERS, SongUNet, SongUNetOptions
from difrob.nets.storage import load_weights

KNOWN_BY = "map_layer0.weight"
MOST_LEVELS, MOST_BLOCKS = 10, 64


def bare_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the network itself, under the names they have in it: without what stands before all of them.

    Raises:
        UserError: when it holds no such network, or anything beside one.
    """
    prefixes = [name.removesuffix(KNOWN_BY) for name in tensors if name.endswith(KNOWN_BY)]
    if len(prefixes) != 1 or (prefixes[0] and not prefixes[0].endswith(".")):
        raise UserError(f"the weights hold {len(prefixes)} tensors '{KNOWN_BY}'; a DDPM++ or NCSN++ network has one")
    others = [name for name in tensors if not name.startswith(prefixes[0])]
    if others:
        raise UserError(
            f"the weights hold '{others[0]}' beside the network; only EDM's preconditioning, which has no tensors, is known"
        )
    return {name.removeprefix(prefixes[0]): tensor for name, tensor in tensors.items()}


def song_unet_options(tensors: Mapping[str, Tensor], *, null_class: bool = False) -> SongUNetOptions:
    """The options of the network with these tensors.

    Args:
        tensors: a state dictionary, names as in :class:`difrob.nets.song_unet.SongUNet`.
        null_class: whether its training left the class out now and then, which the tensors do not tell.

    Raises:
        UserError: naming the tensor that is missing, or what is no such network.
    """
    if "out_conv.weight" in tensors:
        raise UserError(
            "the weights are those of an ADM network; of Karras et al. only DDPM++ and NCSN++ can be loaded"
        )
    first = _first(tensors)
    edges, blocks = _levels(tensors)
    if null_class and "map_label.weight" not in tensors:
        raise UserError(
            "the network takes no classes, so that none of them can have been left out; label_dropout must be 0"
        )
    noise = _sized(tensors, KNOWN_BY, 2)
    filters = {tensor.shape[-1] for name, tensor in tensors.items() if name.endswith("resample_filter") and tensor.ndim}
    if len(filters) != 1 or not filters <= set(FILTERS):
        raise UserError(f"the network has filters of {sorted(filters)} taps between its levels, not of 2 or of 4")
    attention = [edge for edge in edges if f"enc.{edge}x{edge}_block0.qkv.weight" in tensors]
    return SongUNetOptions(
        image_size=edges[0],
        image_channels=first.shape[1],
        base_channels=first.shape[0],
        channels=tuple(_sized(tensors, f"enc.{edge}x{edge}_block0.conv1.weight", 4).shape[0] for edge in edges),
        blocks=blocks,
        attention_edges=tuple(attention),
        condition_width=noise.shape[0],
        noise_width=noise.shape[1],
        classes=_sized(tensors, "map_label.weight", 2).shape[1] if "map_label.weight" in tensors else 0,
        null_class=null_class,
        augmentations=_sized(tensors, "map_augment.weight", 2).shape[1] if "map_augment.weight" in tensors else 0,
        embedding="fourier" if "map_noise.freqs" in tensors else "positional",
        encoder=_encoder(tensors),
        decoder="skip" if any(name.startswith("dec.") and "_aux_up." in name for name in tensors) else "standard",
        filter_size=filters.pop(),
    )


def empty_song_unet(options: SongUNetOptions) -> SongUNet:
    """The network without memory for its weights, in evaluation mode; weights are assigned to it.

    Raises:
        UserError: for options that contradict each other.
    """
    levels = len(options.channels)
    if not 0 < levels <= MOST_LEVELS or not 0 < options.blocks <= MOST_BLOCKS or options.filter_size not in FILTERS:
        raise UserError(f"a DDPM++ or NCSN++ network cannot have {levels} levels of {options.blocks} blocks")
    if options.image_size < 1 or options.image_size % 2 ** (levels - 1):
        raise UserError(f"images of {options.image_size} pixels cannot be halved {levels - 1} times")
    if any(width < 4 for width in (options.base_channels, *options.channels)) or options.noise_width < 4:
        raise UserError("the network has levels of less than 4 channels, which no group normalisation can have")
    try:
        with torch.device("meta"):
            return SongUNet(options).eval()
    except (ValueError, RuntimeError, TypeError) as error:
        raise UserError(f"a DDPM++ or NCSN++ network cannot be built as described: {error}") from None


def song_unet_of(tensors: Mapping[str, Tensor], *, null_class: bool = False) -> SongUNet:
    """The network of a state dictionary, in float32, in evaluation mode.

    Raises:
        UserError: naming the tensor that is missing, superfluous or of another shape.
    """
    network = empty_song_unet(song_unet_options(tensors, null_class=null_class))
    load_weights(network, tensors, assign=True)
    return network.float()


def options_as_json(options: SongUNetOptions) -> dict[str, Any]:
    """Options as plain data."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def options_from_json(values: Mapping[str, Any]) -> SongUNetOptions:
    """The inverse of :func:`options_as_json`.

    Raises:
        UserError: for other fields than those that options have.
    """
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    try:
        return SongUNetOptions(**settings)
    except TypeError as error:
        raise UserError(f"the description of a DDPM++ or NCSN++ network does not fit this difrob: {error}") from None


def _first(tensors: Mapping[str, Tensor]) -> Tensor:
    names = [name for name in tensors if re.fullmatch(r"enc\.(\d+)x\1_conv\.weight", name)]
    if len(names) != 1:
        raise UserError(
            "the weights have no convolution 'enc.<edge>x<edge>_conv' at the start of a DDPM++ or NCSN++ network"
        )
    return _sized(tensors, names[0], 4)


def _levels(tensors: Mapping[str, Tensor]) -> tuple[list[int], int]:
    """Image heights of the levels, falling, and the number of blocks that each has on the way down."""
    counts: dict[int, int] = {}
    for name in tensors:
        if found := re.fullmatch(r"enc\.(\d{1,5})x\1_block(\d{1,3})\.conv0\.weight", name):
            counts[int(found[1])] = max(counts.get(int(found[1]), 0), int(found[2]) + 1)
    edges = sorted(counts, reverse=True)
    top = next(name for name in tensors if re.fullmatch(r"enc\.(\d+)x\1_conv\.weight", name))
    if not edges or not top.startswith(f"enc.{edges[0]}x"):
        raise UserError(f"the level of '{top}' has no blocks")
    if edges != [edges[0] >> level for level in range(len(edges))] or len(set(counts.values())) != 1:
        shown = ", ".join(f"{counts[edge]} at {edge} pixels" for edge in edges)
        raise UserError(f"the levels of the network have {shown} blocks; each must have as many, at half the pixels")
    return edges, counts[edges[0]]


def _encoder(tensors: Mapping[str, Tensor]) -> Literal["standard", "skip", "residual"]:
    ways = {found[1] for name in tensors if (found := re.search(r"^enc\.\d+x\d+_aux_(skip|residual)\.", name))}
    if len(ways) > 1:
        raise UserError(
            "the network gives the image to its levels in two ways at once; a DDPM++ or NCSN++ network does not"
        )
    if "skip" in ways:
        return "skip"
    return "residual" if ways else "standard"


def _sized(tensors: Mapping[str, Tensor], name: str, dimensions: int) -> Tensor:
    if name not in tensors:
        raise UserError(f"the weights lack '{name}'; they are not those of a DDPM++ or NCSN++ network")
    if tensors[name].ndim != dimensions:
        raise UserError(f"'{name}' has shape {list(tensors[name].shape)}, which no DDPM++ or NCSN++ network has")
    return tensors[name]
