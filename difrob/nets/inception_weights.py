"""Weights of the Inception network from a local file: read safely, checked tensor by tensor, known by their SHA-256.

They are trained on ImageNet and published by others; nothing here fetches them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from difrob.errors import UserError
from difrob.foreign import read_safetensors, read_torch_state
from difrob.nets.inception import CLASSES, FEATURES, Inception

PUBLISHED_NAME = "pt_inception-2015-12-05-6726825d.pth"

# Of the file of that name, which pytorch-fid, torch-fidelity and torchmetrics share; the name holds its first digits.
PUBLISHED_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

# What other files have besides, and what no feature depends on: the second head of the training, and counters.
_SECOND_HEAD = "AuxLogits."
_COUNTER = "num_batches_tracked"

_FIRST = "Conv2d_1a_3x3.conv.weight"
_HEAD = "fc.weight"
_NAMED_AT_MOST = 3
_WANTED = f"the Fréchet Inception distance is defined with those of '{PUBLISHED_NAME}'"


@dataclass(frozen=True)
class WeightsFile:
    """Which file weights come from.

    Attributes:
        name: its name without folders.
        sha256: of its bytes, 64 hexadecimal digits.
    """

    name: str
    sha256: str

    @property
    def is_published(self) -> bool:
        """Whether it is, byte for byte, the file with which published distances are measured."""
        return self.sha256 == PUBLISHED_SHA256


def load_inception(path: Path) -> tuple[Inception, WeightsFile]:
    """The network with the weights of a file, in float32 on the CPU, in evaluation mode.

    Args:
        path: a safetensors file if it is called so, else one of ``torch.save``; may begin with ``~``.

    Raises:
        UserError: when the file is missing, damaged or would run code, and for tensors that are missing, superfluous, of
            another shape or not finite; before any memory is taken for the network.
    """
    path = path.expanduser().absolute()
    state = read_safetensors(path) if path.suffix == ".safetensors" else read_torch_state(path)
    tensors = _named_as_here(state)
    with torch.device("meta"):
        network = Inception()
    expected = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTER)}
    _require_fit(tensors, expected, path)
    network.to_empty(device="cpu")
    counters = {name: torch.tensor(0) for name in network.state_dict() if name.endswith(_COUNTER)}
    network.load_state_dict({**tensors, **counters})
    return network.eval().requires_grad_(False), WeightsFile(path.name, _sha256(path))


def _named_as_here(state: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors by the network's names: out of a training checkpoint, without a common prefix and what is not needed."""
    inner = state.get("state_dict")
    if isinstance(inner, dict):
        state = inner
    prefixes = [str(name).removesuffix(_FIRST) for name in state if str(name).endswith(f".{_FIRST}")]
    prefix = prefixes[0] if len(prefixes) == 1 and _FIRST not in state else ""
    named = {str(name).removeprefix(prefix): tensor for name, tensor in state.items() if str(name).startswith(prefix)}
    return {
        name: tensor
        for name, tensor in named.items()
        if not name.startswith(_SECOND_HEAD) and not name.endswith(f".{_COUNTER}")
    }


def _require_fit(tensors: Mapping[str, Any], expected: Mapping[str, Tensor], path: Path) -> None:
    missing = [name for name in expected if name not in tensors]
    if len(missing) == len(expected):
        raise UserError(f"'{path}' holds no weights of an Inception network; {_WANTED}")
    if missing:
        raise UserError(f"'{path}' lacks {len(missing)} of {len(expected)} tensors: {_some(missing)}; {_WANTED}")
    superfluous = [name for name in tensors if name not in expected]
    if superfluous:
        raise UserError(f"'{path}' holds what the network does not have: {_some(superfluous)}; {_WANTED}")
    for name, wanted in expected.items():
        found = tensors[name]
        if not isinstance(found, Tensor) or not found.is_floating_point():
            raise UserError(f"'{name}' in '{path}' is no tensor of real numbers; {_WANTED}")
        if name == _HEAD and found.shape[0] != CLASSES and found.shape[1:] == (FEATURES,):
            raise UserError(
                f"the weights in '{path}' are for {found.shape[0]} classes instead of {CLASSES}: they were trained "
                f"elsewhere, and other weights give other distances; {_WANTED}"
            )
        if found.shape != wanted.shape:
            raise UserError(
                f"'{name}' in '{path}' has the shape {list(found.shape)} instead of {list(wanted.shape)}; {_WANTED}"
            )
        if not torch.isfinite(found).all():
            raise UserError(f"'{name}' in '{path}' holds values that are not finite; the file is damaged")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return ", ".join(f"'{name}'" for name in names[:_NAMED_AT_MOST]) + more


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
