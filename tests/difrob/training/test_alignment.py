"""Representation alignment: loss, teachers and their controls, noise that belongs to step or image, exact resume."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.feature_networks import DATA, classifier_run, denoiser_run
from support.memory_recorder import MemoryRecorder
from torch.nn import functional

from difrob.data import as_float
from difrob.errors import UserError
from difrob.memory import MicroBatches
from difrob.nets.classifiers import Classifier, build_classifier
from difrob.nets.storage import pack, pack_optimiser, restore_optimiser, unpack
from difrob.randomness import normal_per_sample
from difrob.specs import AttackSpec, DataSpec, TrainClassifierSpec
from difrob.specs.alignment_parts import AlignmentSpec
from difrob.training.alignment import Alignment, AlignmentHead, alignment_loss, open_alignment
from difrob.training.inner_attack import draw_start_noise
from difrob.training.mart import mart_loss
from difrob.training.objectives import gaussian_loss, standard_loss
from difrob.training.optimisers import decay_groups
from difrob.training.pgd_training import pgd_training_loss
from difrob.training.scores import score_loss
from difrob.training.trades import trades_loss

CPU = torch.device("cpu")
ATTACK = AttackSpec(eps=0.1, steps=2)
NOTHING = np.empty(0, dtype=np.int64)
RUNS = {"denoiser": denoiser_run(), "classifier": classifier_run()}


def pieces(size: int = 64) -> MicroBatches:
    return MicroBatches(size, may_shrink=False, tell=lambda size, text: None)


def student(seed: int = 0) -> Classifier:
    spec = TrainClassifierSpec(network={"channels": (8,), "features": 12}).network  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_classifier(spec, (1, 8, 8), 10).train()


def spec_of(**changes: Any) -> AlignmentSpec:
    values = {"teacher": "denoiser", "denoiser": "denoiser", "classifier": "classifier", **changes}
    return AlignmentSpec(**values)


def opened(augmented: bool = False, seed: int = 0, **changes: Any) -> Alignment:
    recorder = MemoryRecorder(runs=RUNS)
    found = open_alignment(
        spec_of(**changes), recorder, load_split(DATA, "train"), student(), seed, CPU, augmented=augmented
    )
    assert found is not None
    return found


def batch(rows: np.ndarray) -> torch.Tensor:
    return as_float(load_split(DATA, "train").images[rows])


def test_the_loss_is_one_minus_the_mean_cosine() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [0.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[5.0, 0.0], [0.0, -1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    assert alignment_loss(a, b).item() == pytest.approx(1 - (1 - 1 + 0.5**0.5 + 0) / 4)
    assert alignment_loss(a[:3], 7 * a[:3]).item() == pytest.approx(0)


def test_the_head_has_the_layers_that_were_asked_for() -> None:
    head = AlignmentHead(6, 5, 3)
    shapes = [tuple(layer.weight.shape) for layer in head.projection if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(10, 6), (10, 10), (5, 10)] and head(torch.zeros(2, 6)).shape == (2, 5)
    assert [type(layer).__name__ for layer in AlignmentHead(6, 5, 1).projection] == ["Linear"]
    assert AlignmentHead(6, 5, 2, 7).projection[0].out_features == 7


@pytest.mark.parametrize("teacher", ["denoiser", "random", "classifier"])
@pytest.mark.parametrize("noise", ["image", "none"])
def test_targets_are_centred_on_the_training_images(teacher: str, noise: str) -> None:
    alignment = opened(teacher=teacher, noise=noise)
    rows = np.arange(200)
    targets = alignment.targets(batch(rows), 0, rows, NOTHING, pieces())
    assert not targets.requires_grad and targets.shape == (200, alignment.head.centre.numel())
    scale = targets.norm(dim=1).mean()
    assert scale > 0 and targets.mean(dim=0).norm() < 1e-4 * scale
    assert alignment.facts()["targets_remembered"]


def test_remembered_targets_are_those_that_would_be_computed() -> None:
    rows, generated = np.array([3, 50, 3]), np.array([8, 9])
    images = torch.cat([batch(rows), batch(np.array([1, 2]))])
    remembering, computing = opened(noise="image"), opened(noise="image", augmented=True)
    assert not computing.facts()["targets_remembered"]
    first, second = (a.targets(images, step, rows, generated, pieces(2))
                     for a, step in ((remembering, 0), (computing, 9)))  # fmt: skip
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first[0], first[2])


def test_the_noise_belongs_to_the_step_or_to_the_image() -> None:
    rows = np.array([4, 7, 9])
    fresh = opened(noise="step")
    zero, again, one = (fresh.targets(batch(rows), step, rows, NOTHING, pieces()) for step in (0, 0, 1))
    assert torch.equal(zero, again) and not torch.equal(zero, one)
    assert not torch.equal(opened(noise="step", seed=1).targets(batch(rows), 0, rows, NOTHING, pieces()), zero)
    kept = opened(noise="image", augmented=True)
    zero, one = (kept.targets(batch(rows), step, rows, NOTHING, pieces()) for step in (0, 1))
    assert torch.equal(zero, one)
    turned = kept.targets(batch(rows[::-1].copy()), 0, rows[::-1].copy(), NOTHING, pieces())
    torch.testing.assert_close(turned, zero.flip(0))
    noise = normal_per_sample(0, ("teacher noise", "real"), rows, (1, 8, 8))
    expected = kept._teacher(batch(rows), noise) - kept.head.centre
    torch.testing.assert_close(zero, expected)
    mixed = kept.targets(batch(np.tile(rows, 2)), 0, rows, NOTHING, pieces())
    torch.testing.assert_close(mixed, zero.repeat(2, 1))


def test_shuffled_targets_are_those_of_other_images_of_the_batch() -> None:
    rows = np.arange(40)
    own, shuffled = opened(noise="none"), opened(noise="none", targets="shuffled")
    expected = own.targets(batch(rows), 0, rows, NOTHING, pieces())
    zero, again, one = (shuffled.targets(batch(rows), step, rows, NOTHING, pieces()) for step in (0, 0, 1))
    assert torch.equal(zero, again) and not torch.equal(zero, one)
    torch.testing.assert_close(zero.sort(dim=0).values, expected.sort(dim=0).values)
    same = (zero == expected).all(dim=1)
    assert same.sum() < 10


def test_a_random_teacher_has_the_architecture_and_blocks_that_differ() -> None:
    x = batch(np.arange(20))
    outputs = {}
    for teacher in ("denoiser", "random"):
        for block in ("block0", "block2"):
            alignment = opened(teacher=teacher, block=block)
            outputs[teacher, block] = alignment._teacher(x)
            assert outputs[teacher, block].shape == (20, 32)
    assert not torch.allclose(outputs["random", "block0"], outputs["random", "block2"])
    assert not torch.allclose(outputs["random", "block2"], outputs["denoiser", "block2"])
    torch.testing.assert_close(opened(teacher="random", block="block2")._teacher(x), outputs["random", "block2"])
    assert not torch.equal(opened(teacher="random", block="block2", seed=5)._teacher(x), outputs["random", "block2"])


def trained_terms(network: Classifier, x: torch.Tensor, y: torch.Tensor) -> Any:
    noise = draw_start_noise(ATTACK, tuple(x.shape), torch.Generator().manual_seed(2))
    return trades_loss(network, x, y, attack=ATTACK, beta=1.0, label_smoothing=0.0, start_noise=noise)


OBJECTIVES: dict[str, Any] = {
    "trades": partial(trades_loss, beta=1.0, label_smoothing=0.1),
    "pgd_at": partial(pgd_training_loss, label_smoothing=0.1),
    "mart": partial(mart_loss, beta=5.0),
    "score": partial(score_loss, beta=4.0, robust_clip=0.1, label_smoothing=0.1),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_tells_what_it_was_trained_on(name: str) -> None:
    network, x = student(), batch(np.arange(6))
    y = torch.from_numpy(load_split(DATA, "train").labels[:6].copy())
    noise = draw_start_noise(ATTACK, tuple(x.shape), torch.Generator().manual_seed(2))
    logits: list[torch.Tensor] = []
    handle = network.register_forward_hook(lambda module, inputs, output: logits.append(inputs[0].detach()))
    attacked = OBJECTIVES[name](network, x, y, attack=ATTACK, start_noise=noise).adversarial
    handle.remove()
    assert attacked is not None and not attacked.requires_grad and torch.equal(attacked, logits[-1])
    assert 0 < (attacked - x).abs().max() <= 0.1 + 1e-6


def test_objectives_without_an_attack_have_no_attacked_images_or_noisy_ones() -> None:
    network, x = student(), batch(np.arange(6))
    y = torch.from_numpy(load_split(DATA, "train").labels[:6].copy())
    assert standard_loss(network, x, y, label_smoothing=0.0).adversarial is None
    noisy = gaussian_loss(network, x, y, noise=torch.ones_like(x), sigma=0.25, label_smoothing=0.0).adversarial
    torch.testing.assert_close(noisy, x + 0.25)


@pytest.mark.parametrize("whose", ["adversarial", "clean", "both"])
def test_the_term_trains_student_and_head_and_nothing_else(whose: str) -> None:
    alignment, network = opened(student=whose, weight=2.5), student()
    rows = np.arange(8)
    x = batch(rows)
    attacked = (x + 0.1).clamp(0, 1)
    targets = alignment.targets(x, 0, rows, NOTHING, pieces())
    loss = alignment.loss(network, x, attacked, targets)
    losses = {name: 1 - functional.cosine_similarity(alignment.head(network.features(image)), targets).mean()
              for name, image in (("clean", x), ("adversarial", attacked))}  # fmt: skip
    losses["both"] = (losses["clean"] + losses["adversarial"]) / 2
    torch.testing.assert_close(loss, losses[whose])
    assert alignment.weight == 2.5
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in alignment.head.parameters())
    assert network.head.weight.grad is None  # the logits have no part in it
    assert all(p.grad is not None for name, p in network.named_parameters() if not name.startswith("head."))
    assert all(p.grad is None for p in alignment._teacher.parameters())  # type: ignore[attr-defined]


def test_pieces_add_up_to_the_batch() -> None:
    alignment, network = opened(), student()
    rows = np.arange(9)
    x = batch(rows)
    whole = alignment.targets(x, 0, rows, NOTHING, pieces())
    torch.testing.assert_close(alignment.targets(x, 0, rows, NOTHING, pieces(4)), whole)
    total = alignment.loss(network, x, x, whole)
    parts = [alignment.loss(network, x[part], x[part], whole[part]) * len(x[part]) / 9 for part in pieces(4).slices(9)]
    torch.testing.assert_close(torch.stack(parts).sum(), total)


def step(network: Classifier, alignment: Alignment, optimiser: torch.optim.Optimizer, number: int) -> float:
    training = load_split(DATA, "train")
    rows = np.random.default_rng(number).integers(200, size=16)
    x, y = as_float(training.images[rows]), torch.from_numpy(training.labels[rows])
    targets = alignment.targets(x, number, rows, NOTHING, pieces())
    optimiser.zero_grad(set_to_none=True)
    terms = trained_terms(network, x, y)
    term = alignment.loss(network, x, terms.adversarial, targets)
    (terms.loss + alignment.weight * term).backward()
    optimiser.step()
    return float(term.detach())


def learner(alignment: Alignment, network: Classifier) -> torch.optim.Optimizer:
    groups = decay_groups(network, 5e-4) + decay_groups(alignment.head, 5e-4)
    return torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True)


def test_training_lowers_the_term_and_goes_on_bit_for_bit() -> None:
    network, alignment = student(), opened()
    optimiser = learner(alignment, network)
    terms = [step(network, alignment, optimiser, number) for number in range(12)]
    momentum, state = pack_optimiser(optimiser)
    kept = pack(network=network.state_dict(), alignment=alignment.head.state_dict(), optimiser=momentum)
    terms += [step(network, alignment, optimiser, number) for number in range(12, 30)]
    assert np.mean(terms[-5:]) < np.mean(terms[:5]) - 0.15 and terms[0] > 0.7

    parts = unpack(kept)
    again, resumed = student(seed=9), opened()
    again.load_state_dict(parts["network"])
    resumed.restore(parts["alignment"])
    second = learner(resumed, again)
    restore_optimiser(second, parts["optimiser"], state)
    assert [step(again, resumed, second, number) for number in range(12, 30)] == terms[12:]
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_the_head_is_a_function_of_the_seed_and_no_teacher_is_no_alignment() -> None:
    first, second, other = (opened(seed=seed).head.projection[0].weight for seed in (3, 3, 4))
    assert torch.equal(first, second) and not torch.equal(first, other)
    recorder = MemoryRecorder(runs=RUNS)
    assert open_alignment(AlignmentSpec(), recorder, load_split(DATA, "train"), student(), 0, CPU) is None
    assert recorder.parents == [] and recorder.attributes == {}


def test_what_cannot_teach_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="no block 'middle'; it has block0, block1, block2"):
        opened(block="middle")
    labelled = denoiser_run("labelled", steps=1, label_dropout=0.0)
    wide = load_split(DataSpec(), "train")
    with pytest.raises(
        UserError, match="'labelled' was trained with label_dropout = 0 .* train one with label_dropout = 0.1"
    ):
        open_alignment(
            spec_of(denoiser="labelled"), MemoryRecorder(runs={"labelled": labelled}), wide, student(), 0, CPU
        )
    large = type(wide)(np.zeros((4, 16, 16, 1), np.uint8), wide.labels[:4].copy(), 10, "x", "train", np.arange(4))
    for teacher in ("denoiser", "classifier"):
        with pytest.raises(
            UserError, match=f"{teacher} '{teacher}' is for images of 1 x 8 x 8, here they have 1 x 16 x 16"
        ):
            open_alignment(spec_of(teacher=teacher), MemoryRecorder(runs=RUNS), large, student(), 0, CPU)
    with pytest.raises(UserError, match="a run of kind 'train_denoiser' or 'import_denoiser' is needed"):
        opened(denoiser="classifier")
    alignment = opened()
    x = batch(np.arange(2))
    targets = alignment.targets(x, 0, np.arange(2), NOTHING, pieces())
    with pytest.raises(UserError, match="needs attacked images.*set it to 'clean'"):
        alignment.loss(student(), x, None, targets)
    with pytest.raises(UserError, match="another network"):
        alignment.restore({**alignment.head.state_dict(), "centre": torch.zeros(3)})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"teacher": "denoiser"}, "teacher = denoiser needs a run in 'denoiser'"),
        ({"teacher": "random", "classifier": "c"}, "teacher = random needs a run in 'denoiser'"),
        ({"teacher": "classifier", "denoiser": "d"}, "teacher = classifier needs a run in 'classifier'"),
        ({"weight": -1}, "greater than or equal to 0"),
    ],
)
def test_a_specification_without_its_teacher_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        AlignmentSpec(**values)
    assert not AlignmentSpec().is_on and spec_of().is_on
