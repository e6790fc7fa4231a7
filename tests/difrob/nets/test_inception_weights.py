"""Weights of the Inception network from files: every format gives the same network, and what does not fit is refused."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.random_inception import random_state

from difrob.errors import UserError
from difrob.nets.inception_weights import PUBLISHED_NAME, PUBLISHED_SHA256, WeightsFile, load_inception

STATE = random_state()
COUNTERS = {name.replace("running_mean", "num_batches_tracked"): torch.tensor(5) for name in STATE if "mean" in name}
SECOND_HEAD = {"AuxLogits.conv0.conv.weight": torch.zeros(128, 768, 1, 1), "AuxLogits.fc.bias": torch.zeros(1008)}


def as_new(state: dict[str, Any], path: Path) -> None:
    torch.save(state, path)


def as_old(state: dict[str, Any], path: Path) -> None:
    torch.save(OrderedDict(state), path, _use_new_zipfile_serialization=False)


def in_a_checkpoint(state: dict[str, Any], path: Path) -> None:
    torch.save({"epoch": 1, "state_dict": {f"module.inception.{name}": tensor for name, tensor in state.items()}}, path)


WAYS: dict[str, tuple[str, Callable[[dict[str, Any], Path], None]]] = {
    "as published": ("weights.pth", as_old),
    "new": ("weights.pt", as_new),
    "safetensors": ("weights.safetensors", save_file),
    "checkpoint": ("weights.pth", in_a_checkpoint),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_format_gives_the_same_network(tmp_path: Path, way: str) -> None:
    name, save = WAYS[way]
    save({**STATE, **COUNTERS, **SECOND_HEAD}, tmp_path / name)
    network, file = load_inception(tmp_path / name)
    loaded = network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in STATE.items())
    assert not network.training and all(tensor.device.type == "cpu" for tensor in loaded.values())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert file == WeightsFile(name, hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert not file.is_published and WeightsFile("any.pth", PUBLISHED_SHA256).is_published


def test_the_published_name_holds_the_first_digits() -> None:
    assert len(PUBLISHED_SHA256) == 64 and PUBLISHED_NAME.endswith(f"-{PUBLISHED_SHA256[:8]}.pth")


def test_half_precision_is_widened(tmp_path: Path) -> None:
    save_file({name: tensor.half() for name, tensor in STATE.items()}, tmp_path / "x.safetensors")
    network, _ = load_inception(tmp_path / "x.safetensors")
    assert {tensor.dtype for name, tensor in network.state_dict().items() if "tracked" not in name} == {torch.float32}
    assert torch.equal(network.fc.bias, STATE["fc.bias"].half().float())


def test_the_home_folder_may_be_abbreviated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.raises(UserError) as caught:
        load_inception(Path("~/weights.pth"))
    assert str(caught.value) == f"there is no file '{tmp_path / 'weights.pth'}'"


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    for name, save in WAYS.values():
        save(STATE, tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) - 1000])
        with pytest.raises(UserError, match=name):
            load_inception(tmp_path / name)


FIRST = "Conv2d_1a_3x3.conv.weight"
WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "another network": ({"weight": torch.zeros(2)}, tuple(STATE), "holds no weights of an Inception network; .*6726825d"),
    "no head": ({}, ("fc.weight", "fc.bias"), "lacks 2 of 472 tensors: 'fc.weight', 'fc.bias'; "),
    "much missing": ({}, tuple(name for name in STATE if "Mixed_7c" in name), r"lacks 45 of 472 tensors: .* and 42 more; "),
    "superfluous": ({"Mixed_8a.branch1x1.conv.weight": torch.zeros(1)}, (), "does not have: 'Mixed_8a.branch1x1.conv"),
    "torchvision's": (
        {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, (), "are for 1000 classes instead of 1008",
    ),
    "another shape": ({FIRST: torch.zeros(32, 1, 3, 3)}, (), rf"'{FIRST}' in .* \[32, 1, 3, 3\] instead of \[32, 3, 3, 3\]"),
    "whole numbers": ({FIRST: torch.zeros(32, 3, 3, 3, dtype=torch.int8)}, (), "is no tensor of real numbers"),
    "no tensor": ({FIRST: [1.0]}, (), "is no tensor of real numbers"),
    "not finite": ({FIRST: torch.full((32, 3, 3, 3), float("nan"))}, (), "values that are not finite"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, what: str) -> None:
    changed, without, message = WRONG[what]
    state = {name: tensor for name, tensor in {**STATE, **changed}.items() if name not in without}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(UserError, match=message):
        load_inception(tmp_path / "x.pth")
