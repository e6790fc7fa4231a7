"""What the term of an alignment costs and computes in: passes counted exactly, precision, compilation, statistics."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.feature_networks import DATA, classifier_run, denoiser_run
from support.memory_recorder import MemoryRecorder
from support.small_classifiers import RESIDUAL
from support.toy_classifiers import PassCounter
from torch import Tensor, nn

from difrob.data import as_float
from difrob.memory import MicroBatches
from difrob.nets.classifiers import Classifier
from difrob.specs import TrainClassifierSpec
from difrob.training import alignment as alignment_module
from difrob.training.alignment import Alignment, open_alignment
from difrob.training.classifying import ClassifierTraining, StepRecord, passes_per_image
from difrob.training.compute import Autocast
from difrob.training.outer_features import OuterFeatures

CPU = torch.device("cpu")
RUNS = {"denoiser": denoiser_run(), "classifier": classifier_run()}
ROWS = np.arange(12)
NOTHING = np.empty(0, dtype=np.int64)


def spec_of(student: str = "adversarial", **changes: Any) -> TrainClassifierSpec:
    values: dict[str, Any] = {
        "data": DATA.model_dump(), "network": {"channels": (8,), "features": 12}, "attack": {"steps": 2, "eps": 0.1},
        "batch_size": len(ROWS), "steps": 10,
        "alignment": {"teacher": "denoiser", "denoiser": "denoiser", "classifier": "classifier", "student": student},
    }  # fmt: skip
    alignment = values["alignment"] | changes.pop("alignment", {})
    return TrainClassifierSpec(**{**values, **changes, "alignment": alignment})


class Training:
    """A training whose alignment can be looked at."""

    def __init__(self, spec: TrainClassifierSpec, pieces: int = 64) -> None:
        real = load_split(DATA, "train")
        self.spec = spec

        def align(network: Classifier, autocast: Autocast) -> Alignment | None:
            self.alignment = open_alignment(
                spec.alignment, MemoryRecorder(runs=RUNS), real, network, spec.seed, CPU,
                augmented=spec.augmentation.varies, autocast=autocast,
            )  # fmt: skip
            return self.alignment

        batches = MicroBatches(pieces, may_shrink=False, tell=lambda size, text: None)
        self.model = ClassifierTraining(spec, real, CPU, batches, lambda text: None, align)
        self.images = as_float(real.images[ROWS])
        self.labels = torch.from_numpy(real.labels[ROWS].copy())

    @property
    def teacher(self) -> nn.Module:
        assert self.alignment is not None and isinstance(self.alignment._teacher, nn.Module)
        return self.alignment._teacher

    def step(self, number: int = 0) -> StepRecord:
        return self.model.step(number, self.images, self.labels, (ROWS, NOTHING))


COUNTED = [(objective, student) for objective in ("trades", "pgd_at", "mart", "score", "gaussian", "standard")
           for student in ("adversarial", "clean", "both") if objective != "standard" or student == "clean"]  # fmt: skip


@pytest.mark.parametrize(("objective", "student"), COUNTED)
def test_the_cost_is_exactly_what_is_said(objective: str, student: str) -> None:
    training = Training(spec_of(student, objective=objective))
    counter, teacher_counter = PassCounter(training.model.network.convolutions), PassCounter(training.teacher)  # type: ignore[arg-type]
    training.step()
    found = {
        "forward": counter.forward, "backward_to_input": counter.backward_to_input, "backward": counter.backward,
        "teacher_forward": teacher_counter.forward,
    }  # fmt: skip
    said = passes_per_image(training.spec)
    assert found == {which: 12 * number for which, number in said.items()}
    plain = passes_per_image(spec_of(objective=objective, alignment={"teacher": "none"}))
    # Only clean features of an objective that looks at no clean image cost a pass of the student.
    extra = int(student != "adversarial" and objective in ("pgd_at", "gaussian"))
    expected = {**plain, "forward": plain["forward"] + extra, "backward": plain["backward"] + extra}
    assert said == {**expected, "teacher_forward": 1}


def test_remembered_targets_cost_no_pass_of_the_teacher() -> None:
    for alignment in ({"noise": "image"}, {"noise": "none"}, {"teacher": "classifier"}):
        training = Training(spec_of(alignment=alignment))
        counter = PassCounter(training.teacher)
        training.step()
        assert counter.forward == 0 == passes_per_image(training.spec)["teacher_forward"]
        assert passes_per_image(training.spec, 0.7)["teacher_forward"] == 0.7  # those of generated images come anew
        varied = spec_of(alignment=alignment, augmentation={"padding": 1})
        assert passes_per_image(varied, 0.7)["teacher_forward"] == 1
    assert "teacher_forward" not in passes_per_image(spec_of(alignment={"teacher": "none"}))


@pytest.mark.parametrize("teacher", ["denoiser", "classifier"])
@pytest.mark.parametrize("student", ["adversarial", "both"])
def test_half_precision_reaches_student_head_and_teacher_and_not_the_cosine(
    teacher: str, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(student, objective="pgd_at", compute={"precision": "bfloat16"}, alignment={"teacher": teacher})
    training = Training(spec)
    assert training.alignment is not None
    seen: dict[str, set[torch.dtype]] = {}

    def watch(name: str, module: nn.Module) -> None:
        (first, *_) = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        first.register_forward_hook(lambda layer, inputs, output: seen.setdefault(name, set()).add(output.dtype))

    cosine = alignment_module.alignment_loss

    def watched_cosine(projected: Tensor, targets: Tensor) -> Tensor:
        seen.setdefault("cosine", set()).update({projected.dtype, targets.dtype, cosine(projected, targets).dtype})
        return cosine(projected, targets)

    watch("student", training.model.network)
    watch("head", training.alignment.head)
    watch("teacher", training.teacher)
    monkeypatch.setattr(alignment_module, "alignment_loss", watched_cosine)
    if teacher == "classifier":
        training.alignment._known = None  # its targets would be remembered
    terms = training.step().terms
    half = {torch.bfloat16}
    assert seen == {"student": half, "head": half, "teacher": half, "cosine": {torch.float32}}
    assert terms.alignment is not None and terms.alignment.dtype == torch.float32
    full = Training(spec.model_copy(update={"compute": spec_of().compute}))
    expected = full.step().terms.alignment
    assert expected is not None and expected != terms.alignment
    assert float(terms.alignment) == pytest.approx(float(expected), abs=0.03)


@pytest.mark.parametrize("objective", ["trades", "pgd_at"])
def test_compilation_reaches_every_pass_of_the_student(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = 0

    def compile_nothing(method: Any) -> Any:
        def counted(*args: Any) -> Any:
            nonlocal passes
            passes += 1
            return method(*args)

        return counted

    monkeypatch.setattr(torch, "compile", compile_nothing)
    training = Training(spec_of("both", objective=objective, compute={"compile": True}))
    training.step()
    assert passes == passes_per_image(training.spec)["forward"]


@pytest.mark.parametrize("pieces", [64, 5])
@pytest.mark.parametrize("student", ["adversarial", "clean", "both"])
def test_kept_features_give_the_gradient_of_a_pass_of_their_own(student: str, pieces: int) -> None:
    spec = spec_of(student, network=RESIDUAL, alignment={"weight": 2.0})
    keeping, passing = Training(spec, pieces), Training(spec, pieces)
    passing.model._outer.of = lambda x: None  # type: ignore[union-attr, method-assign, assignment]
    plain = Training(spec_of(network=RESIDUAL, alignment={"teacher": "none"}), pieces)
    kept, passed, alone = (training.step().terms for training in (keeping, passing, plain))
    torch.testing.assert_close(kept.loss, passed.loss)
    torch.testing.assert_close(kept.alignment, passed.alignment)
    gradients = dict(passing.model.network.named_parameters())
    for name, parameter in keeping.model.network.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, rtol=1e-4, atol=1e-5)
    assert kept.clean == alone.clean
    for name, buffer in keeping.model.network.named_buffers():  # running statistics: as without a term
        assert torch.equal(buffer, dict(plain.model.network.named_buffers())[name]), name


def test_features_are_kept_of_outer_passes_alone_and_let_go() -> None:
    network = copy.deepcopy(Training(spec_of()).model.network)
    seen = OuterFeatures(network, network)
    x, other = torch.rand(4, 1, 8, 8), torch.rand(4, 1, 8, 8)
    seen(x)
    assert seen.of(x) is None  # nobody has asked for it
    with seen.kept():
        with torch.no_grad():
            seen(x)
        torch.autograd.grad(seen(point := other.clone().requires_grad_()).sum(), point)
        assert seen.of(x) is None and seen.of(other) is None and seen.of(point) is None
        logits = seen(x)
        features = seen.of(x)
        assert features is not None and seen.of(x.clone()) is None
        torch.testing.assert_close(network.head(features), logits)
        features.sum().backward()
        assert network.convolutions[0].weight.grad is not None  # type: ignore[index]
    assert seen.of(x) is None
    with pytest.raises(RuntimeError, match="full"), seen.kept():
        seen(x)
        raise RuntimeError("the device is full")
    assert seen.of(x) is None and seen._kept == [] and seen._newest is None


def test_pieces_count_flipped_images_exactly() -> None:
    changes: dict[str, Any] = {"alignment": {"teacher": "none"}, "attack": {"steps": 3, "eps": 0.3}}
    whole, cut = (Training(spec_of(**changes), pieces) for pieces in (64, 5))
    for training in (whole, cut):
        for number in range(6):
            record = training.step(number)
            assert record.images == 12
            terms = record.terms
            assert terms.flips is not None
            right, flipped = terms.flips.tolist()
            assert 0 <= flipped <= right <= 12
    first, second = (Training(spec_of(**changes), pieces).step().terms.flips for pieces in (64, 5))
    assert first is not None and second is not None and first.tolist() == second.tolist()
