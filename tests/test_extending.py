"""How to add a field, a metric, an attack, a network and a kind of job: each is done here, as ``extending.md`` says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from support.memory_recorder import MemoryRecorder
from torch import Tensor, nn

from difrob.attacks.attack import AttackVerdict, Draws
from difrob.attacks.union import attack_with_each
from difrob.metrics.accuracy import mean_measure
from difrob.metrics.conditions import stated
from difrob.nets.classifiers import NETWORKS, Classifier, build_classifier
from difrob.quantities import Better, Quantity, declare, quantity_of
from difrob.specs import CertifySpec, ClassifierNetworkSpec, apply_overrides, conditions_of, parameter, walk_fields

PAGE = Path(__file__).resolve().parents[1] / "resources" / "help" / "extending.md"


def test_a_field_is_one_line() -> None:
    class WithField(CertifySpec):
        draws_at_once: int | None = parameter(
            None, "Noisy copies that go through the network at once.", unit="draws", group="Smoothing",
            empty_means="as many as memory allows", condition="draws at once", advanced=True, ge=1,
        )  # fmt: skip

    values = apply_overrides({"kind": "certify", "classifier": "c"}, ["draws_at_once=64"], WithField)
    assert WithField.model_validate(values).draws_at_once == 64
    assert "draws_at_once" in dict(walk_fields(WithField)) and "draws_at_once" in conditions_of(WithField)


def test_a_metric_is_one_declaration() -> None:
    declare(Quantity("extending/margin", "mean margin of the logits", "logits", Better.UP))
    recorder = MemoryRecorder()
    recorder.metric("extending/margin", 1, 0.5)
    margins = np.array([0.5, 1.5])
    measure = mean_measure(margins, **stated("of right images", split="test"), unit="logits")
    recorder.result("extending/margin", measure)
    result = recorder.results["extending/margin"]
    assert (result.title, result.unit, result.better) == ("mean margin of the logits", "logits", "up")
    assert result.conditions == {"split": "test"} and quantity_of("extending/margin").better is Better.UP


class Inverted:
    """One forward pass on the negative of each image."""

    name = "inverted"
    restarts = 1

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> AttackVerdict:
        points = 1 - images
        with torch.no_grad():
            held_out = (model(points).argmax(1) == labels).numpy()
        found = np.where(held_out, -1, 0)
        once, none = np.ones(len(images), dtype=np.int64), np.zeros(len(images), dtype=np.int64)
        return AttackVerdict(held_out, points, found, found, once, none)


def test_an_attack_joins_the_union_as_it_is() -> None:
    class Bright(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            mean = images.flatten(1).mean(1)
            return torch.stack([1 - mean, mean], dim=1)

    images = torch.tensor([0.1, 0.9, 0.45]).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    labels = torch.tensor([0, 1, 0])
    found = attack_with_each(Bright(), images, labels, Draws(0, np.arange(3)), [Inverted()])
    assert found.broken_by.tolist() == [0, 0, 0] and not found.held_out.any()
    assert (found.forward == 1).all() and (found.backward == 0).all()


class Linear(Classifier):
    """Pixels to logits."""

    def __init__(self, *, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__(image_shape, num_classes)
        self.head = nn.Linear(int(np.prod(image_shape)), num_classes)

    def features(self, images: Tensor) -> Tensor:
        return self.standardised(images).flatten(1)


def test_a_network_is_a_class_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "linear", lambda spec, **shape: Linear(**shape))
    spec = ClassifierNetworkSpec.model_construct(architecture="linear")
    network = build_classifier(spec, (1, 8, 8), 10)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_every_network_of_the_specification_can_be_built_and_no_other() -> None:
    annotation = ClassifierNetworkSpec.model_fields["architecture"].annotation
    assert isinstance(annotation, type(Literal[1])) and set(get_args(annotation)) == set(NETWORKS)


def test_the_page_names_files_that_are_there() -> None:
    text = PAGE.read_text()
    root = PAGE.parents[2]
    named = {path for path in re.findall(r"`((?:difrob|tests|resources)/[\w/.]+)`", text) if "<" not in path}
    assert len(named) > 5 and not [path for path in named if not (root / path).exists()]
    assert text.count("\n## ") == 6
