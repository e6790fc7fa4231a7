"""Snapshots as EDM's training code pickles them, made with look-alikes of its modules that exist only while pickling."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

SOURCE = "raise SystemExit('the source code within a snapshot must never run')"
REBUILD = "_reconstruct_persistent_obj"


@contextmanager
def modules_of_edm() -> Iterator[types.SimpleNamespace]:
    """``torch_utils.persistence`` and ``dnnlib.util`` as far as pickling needs them, under their names."""
    persistence, utilities = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")

    def rebuild(meta: Any) -> Any:
        raise AssertionError("a snapshot was unpickled")

    class EasyDict(dict):  # type: ignore[type-arg]
        pass

    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = persistence.__name__, REBUILD, REBUILD
    EasyDict.__module__, EasyDict.__qualname__ = utilities.__name__, "EasyDict"
    setattr(persistence, REBUILD, rebuild)
    utilities.EasyDict = EasyDict  # type: ignore[attr-defined]
    new = {
        "torch_utils": types.ModuleType("torch_utils"), persistence.__name__: persistence,
        "dnnlib": types.ModuleType("dnnlib"), utilities.__name__: utilities,
    }  # fmt: skip
    sys.modules.update(new)
    try:
        yield types.SimpleNamespace(rebuild=rebuild, EasyDict=EasyDict)
    finally:
        for name in new:
            del sys.modules[name]


class Persistent(nn.Module):
    """A module that is pickled with its class's name, source code and attributes."""

    rebuild: Any = None

    def __init__(self, class_name: str, **attributes: Any) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)
        self.class_name = class_name

    def __reduce__(self) -> Any:
        state = {name: value for name, value in self.__dict__.items() if name != "class_name"}
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.class_name, "state": state}
        return type(self).rebuild, (meta,)


def persistent(module: nn.Module, class_name: str | None = None) -> nn.Module:
    """A network with each of its parts, but for containers, as EDM would pickle it."""
    if isinstance(module, nn.ModuleDict):
        return nn.ModuleDict({name: persistent(part) for name, part in module.items()})
    made = Persistent(class_name or type(module).__name__, skip_scale=np.sqrt(0.5), absent=None)
    made._parameters = dict(module._parameters)
    made._buffers = dict(module._buffers)
    for name, part in module._modules.items():
        made._modules[name] = None if part is None else persistent(part)
    return made


def snapshot(
    network: nn.Module, *, protocol: int = pickle.DEFAULT_PROTOCOL, outer: str = "EDMPrecond", inner: str = "SongUNet",
    extra: dict[str, Any] | None = None, label_dropout: float = 0.0, sigma_data: float = 0.5,
) -> bytes:  # fmt: skip
    """What ``pickle.dump`` of EDM's training loop would have written of this network."""
    with modules_of_edm() as edm:
        Persistent.rebuild = staticmethod(edm.rebuild)
        wrapped = Persistent(
            outer, img_resolution=8, sigma_min=0, sigma_max=float("inf"), sigma_data=sigma_data, use_fp16=False,
            init=edm.EasyDict(model_type="SongUNet", channel_mult=[2, 2, 2], dropout=np.float64(0.13)),
        )  # fmt: skip
        wrapped.model = persistent(network, inner)
        wrapped.model.label_dropout = label_dropout
        wrapped.requires_grad_(False)
        content = {
            "ema": wrapped, "loss_fn": Persistent("EDMLoss", P_mean=-1.2), "augment_pipe": None,
            "dataset_kwargs": edm.EasyDict(class_name="training.dataset.ImageFolderDataset", path="somewhere"),
            **(extra or {}),
        }  # fmt: skip
        return pickle.dumps(content, protocol=protocol)


def bare_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The state dictionary of the preconditioned network."""
    return {f"model.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
