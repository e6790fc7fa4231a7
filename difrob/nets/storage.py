"""Weights and optimiser states as bytes that anyone can read and nothing can execute (safetensors, never pickle)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from difrob.errors import UserError


def pack(**parts: Mapping[str, Tensor]) -> bytes:
    """Several named dictionaries of tensors as one safetensors document with keys ``part/name``.

    Tensors are copied to the CPU and made contiguous; tied ones are stored once per name.
    """
    tensors = {
        f"{part}/{name}": tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)
        for part, named in parts.items()
        for name, tensor in named.items()
    }
    return save(tensors)


def unpack(weights: bytes, device: torch.device | str = "cpu") -> dict[str, dict[str, Tensor]]:
    """The inverse of :func:`pack`: ``{part: {name: tensor}}``.

    Raises:
        UserError: when the bytes are not such a document.
    """
    try:
        tensors = load(weights)
    except Exception as error:
        raise UserError(f"the checkpoint's weights cannot be read ({error}); the file is damaged") from None
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        part, slash, name = key.partition("/")
        if not slash:
            raise UserError(f"the checkpoint's tensor '{key}' belongs to no part; it was not written by difrob")
        parts.setdefault(part, {})[name] = tensor.to(device)
    return parts


def part_of(parts: Mapping[str, dict[str, Tensor]], name: str) -> dict[str, Tensor]:
    """One part of an unpacked checkpoint.

    Raises:
        UserError: when the checkpoint lacks it, naming what it holds.
    """
    if name not in parts:
        raise UserError(f"the checkpoint has no part '{name}'; it holds {', '.join(sorted(parts)) or 'nothing'}")
    return parts[name]


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], *, assign: bool = False) -> None:
    """Load a state dictionary into a module that must fit it exactly.

    Args:
        module: any module.
        tensors: its state, by name.
        assign: let the module have the tensors themselves, for one that was built without memory.

    Raises:
        UserError: naming the first tensor that is missing, superfluous, of another shape or of whole numbers where others
            belong.
    """
    expected = module.state_dict()
    for name, tensor in expected.items():
        if name not in tensors:
            raise UserError(f"the checkpoint lacks '{name}'; it belongs to another network")
        if tensors[name].shape != tensor.shape:
            shapes = f"{list(tensors[name].shape)} instead of {list(tensor.shape)}"
            raise UserError(f"'{name}' has shape {shapes} in the checkpoint; it belongs to another network")
        if tensors[name].is_floating_point() != tensor.is_floating_point():
            kinds = " instead of ".join(str(each.dtype).removeprefix("torch.") for each in (tensors[name], tensor))
            raise UserError(f"'{name}' holds numbers of type {kinds} in the checkpoint; it belongs to another network")
    for name in tensors:
        if name not in expected:
            raise UserError(f"the checkpoint holds '{name}', which this network does not have")
    module.load_state_dict(dict(tensors), assign=assign)


def pack_optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of an optimiser as tensors, named ``<parameter index>.<quantity>``, and plain JSON data."""
    state = optimiser.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, quantities in state["state"].items():
        for name, value in quantities.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                plain.setdefault(str(index), {})[name] = value
    return tensors, {"param_groups": state["param_groups"], "plain": plain}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], state: dict[str, Any]) -> None:
    """Put an optimiser back where :func:`pack_optimiser` found it.

    Raises:
        UserError: when the state belongs to another set of parameters.
    """
    quantities: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        quantities.setdefault(int(index), {})[name] = tensor
    for index, values in state["plain"].items():
        quantities.setdefault(int(index), {}).update(values)
    # JSON has no tuples; an option that is one now (Adam's betas) was one when it was stored.
    groups = [
        {key: tuple(value) if isinstance(now.get(key), tuple) else value for key, value in group.items()}
        for group, now in zip(state["param_groups"], optimiser.param_groups, strict=False)
    ]
    try:
        optimiser.load_state_dict({"state": quantities, "param_groups": groups})
    except ValueError as error:
        raise UserError(f"the checkpoint's optimiser state does not fit this network: {error}") from None
