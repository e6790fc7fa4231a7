"""Each adversarial objective against an independent float64 reference, its pass count, and what it leaves behind."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from support.toy_classifiers import PassCounter, WavyClassifier
from torch import Tensor, nn
from torch.nn import functional as F

from difrob.specs import AttackSpec, TrainClassifierSpec
from difrob.training.classifying import passes_per_image
from difrob.training.inner_attack import draw_start_noise
from difrob.training.mart import boosted_cross_entropy, mart_loss
from difrob.training.objectives import Terms, as_distribution
from difrob.training.pgd_training import pgd_training_loss
from difrob.training.scores import score_loss
from difrob.training.trades import trades_loss

CLASSES = 5
SHAPE = (12, 1, 4, 4)
LINF, L2 = AttackSpec(eps=0.1, steps=6), AttackSpec(norm="l2", eps=0.3, steps=6)
Objective = Callable[..., Terms]
OBJECTIVES: dict[str, Objective] = {
    "trades": partial(trades_loss, beta=5.0, label_smoothing=0.1),
    "pgd_at": partial(pgd_training_loss, label_smoothing=0.1),
    "mart": partial(mart_loss, beta=5.0),
    "score": partial(score_loss, beta=5.0, label_smoothing=0.1, robust_clip=0.0),
}


def case() -> tuple[WavyClassifier, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    network = WavyClassifier(SHAPE[1:], CLASSES)
    images = torch.rand(SHAPE, generator=source, dtype=torch.float64)
    return network, images, torch.randint(CLASSES, (12,), generator=source)


def mixed_labels() -> Tensor:
    """Labels like those of CutMix: two classes each, the others exactly 0."""
    source = torch.Generator().manual_seed(9)
    share = torch.rand(12, 1, generator=source, dtype=torch.float64)
    first, second = (F.one_hot(torch.randint(CLASSES, (12,), generator=source), CLASSES) for _ in range(2))
    return share * first + (1 - share) * second


def noise_for(attack: AttackSpec, dtype: torch.dtype = torch.float64) -> Tensor:
    return draw_start_noise(attack, SHAPE, torch.Generator().manual_seed(1)).to(dtype)


# The references: probabilities instead of logarithms, everything recomputed ------------------------------------------


def climbed(attack: AttackSpec, x: Tensor, start: Tensor, goal: Callable[[Tensor], Tensor]) -> Tensor:
    """Where projected ascent ends, image by image."""
    eps, eta, point = attack.eps, attack.resolved_step_size, start
    for _ in range(attack.steps):
        point = point.detach().requires_grad_()
        (g,) = torch.autograd.grad(goal(point).sum(), point)
        if attack.norm == "linf":
            point = torch.min(torch.max(point.detach() + eta * g.sign(), x - eps), x + eps).clamp(0, 1)
        else:
            step = (point.detach() + eta * g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp(0, 1)
            length = (step - x).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            point = x + (step - x) * (eps / length).clamp(max=1)
    return point.detach()


def reference(name: str, network: nn.Module, x: Tensor, y: Tensor, attack: AttackSpec, noise: Tensor) -> Tensor:
    def p(images: Tensor) -> Tensor:
        return torch.softmax(network(images), 1)

    start = (x + attack.eps * (2 * noise - 1) if attack.norm == "linf" else x + 0.001 * noise).clamp(0, 1)
    onehot = F.one_hot(y, CLASSES).double() if y.dim() == 1 else y
    smooth = 0.9 * onehot + 0.1 / CLASSES
    anchor = p(x).detach() if y.dim() == 1 else onehot
    goal = {
        "trades": lambda point: -(anchor * p(point).log()).sum(1),
        "pgd_at": lambda point: -(onehot * p(point).log()).sum(1),
        "mart": lambda point: -(onehot * p(point).log()).sum(1),
        "score": lambda point: ((p(point) - anchor) ** 2).sum(1),
    }[name]
    attacked = climbed(attack, x, start, goal)
    clean, robust = p(x), p(attacked)
    if name == "trades":
        divergence = (clean * (clean / robust).log()).sum(1)
        return -(smooth * clean.log()).sum(1).mean() + 5 * divergence.mean()
    if name == "pgd_at":
        return -(smooth * robust.log()).sum(1).mean()
    if name == "mart":
        right = (robust * onehot).sum(1)
        wrong = (robust - 2 * onehot).amax(1)  # the right class is out of the running
        divergence = (clean * (clean / robust).log()).sum(1)
        doubt = 1 - (clean * onehot).sum(1)
        return (-right.log() - (1 - wrong).log()).mean() + 5 * (divergence * doubt).mean()
    return ((clean - smooth) ** 2).sum(1).mean() + 5 * ((robust - clean) ** 2).sum(1).mean()


@pytest.mark.parametrize("attack", [LINF, L2], ids=["linf", "l2"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_loss_and_gradient_are_those_of_the_reference(name: str, attack: AttackSpec) -> None:
    network, x, y = case()
    check_against_reference(name, network, x, y, attack)


@pytest.mark.parametrize("name", ["trades", "pgd_at", "score"])
def test_mixed_labels_too(name: str) -> None:
    network, x, _ = case()
    check_against_reference(name, network, x, mixed_labels(), LINF)


def check_against_reference(name: str, network: nn.Module, x: Tensor, y: Tensor, attack: AttackSpec) -> None:
    noise = noise_for(attack)
    expected = reference(name, network, x, y, attack, noise)
    gradients = torch.autograd.grad(expected, list(network.parameters()))
    terms = OBJECTIVES[name](network, x, y, attack=attack, start_noise=noise)
    assert float(terms.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-9)
    assert all(parameter.grad is None for parameter in network.parameters())  # the attack left them alone
    terms.loss.backward()
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        assert parameter.grad is not None and torch.allclose(parameter.grad, gradient, rtol=1e-7, atol=1e-10)
    assert terms.adversarial is not None and not terms.adversarial.requires_grad
    assert terms.robust is not None and not terms.robust.requires_grad


def test_mart_refuses_mixed_labels() -> None:
    network, x, _ = case()
    with pytest.raises(ValueError, match="mixed labels"):
        OBJECTIVES["mart"](network, x, mixed_labels(), attack=LINF, start_noise=noise_for(LINF))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_cost_is_exactly_what_is_said(name: str, steps: int, mixed: bool) -> None:
    if name == "mart" and mixed:
        return
    network, x, y = case()
    counter = PassCounter(network)
    attack = AttackSpec(eps=0.1, steps=steps)
    labels = mixed_labels() if mixed else y
    OBJECTIVES[name](network, x, labels, attack=attack, start_noise=noise_for(attack), counts=True).loss.backward()
    said = passes_per_image(
        TrainClassifierSpec(objective=name, attack=attack, batch_size=12, augmentation={"cutmix": 4 if mixed else 0})
    )
    found = {
        "forward": counter.forward, "backward_to_input": counter.backward_to_input, "backward": counter.backward,
    }  # fmt: skip
    assert found == {which: 12 * number for which, number in said.items()}
    floor = {"trades": (steps + 3, 2), "score": (steps + 3, 2), "pgd_at": (steps + 1, 1), "mart": (steps + 2, 2)}[name]
    assert (said["forward"] + (mixed and name != "pgd_at"), said["backward"]) == floor


class SaturatedLogits(nn.Module):
    """The logits (0, 200, 0), whose outer probabilities are exactly zero in float32, plus a little of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([0.0, 200.0, 0.0]) * self.scale + x.flatten(1)[:, :3]


@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_saturated_logits_give_no_nan(name: str, label: int) -> None:
    network, x, noise = SaturatedLogits(), torch.rand(6, 1, 2, 2), torch.rand(6, 1, 2, 2)
    y = torch.full((6,), label)
    terms = OBJECTIVES[name](network, x, y, attack=AttackSpec(eps=0.1, steps=3), start_noise=noise)
    (gradient,) = torch.autograd.grad(terms.loss, network.scale)
    assert terms.loss.isfinite() and gradient.isfinite()


def test_the_boosted_cross_entropy_stays_finite_where_the_wrong_class_is_certain() -> None:
    logits = torch.tensor([[0.0, 300.0, 0.0], [300.0, 0.0, 0.0]], requires_grad=True)
    value = boosted_cross_entropy(logits, torch.tensor([0, 0]))
    # -log p_0 = 300, and 1 - p_1 = 2 e^-300 to first order; the second image is as right as can be.
    assert value.tolist() == pytest.approx([300 + 300 - torch.log(torch.tensor(2.0)).item(), 0.0], abs=1e-4)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert gradient.isfinite().all()


def batch_norm_network() -> nn.Sequential:
    torch.manual_seed(0)
    frozen = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5)).eval()
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), frozen, nn.Flatten(), nn.Linear(16, CLASSES)
    )
    layers.train()
    frozen.eval()
    layers[1].running_mean.fill_(0.3)  # unlike any batch
    return layers


@pytest.mark.parametrize("statistics", ["batch", "running"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_modes_come_back_and_statistics_see_the_outer_passes_only(name: str, statistics: str) -> None:
    network = batch_norm_network()
    x, y, noise = torch.rand(SHAPE), torch.randint(CLASSES, (12,)), torch.rand(SHAPE)
    modes = [module.training for module in network.modules()]
    frozen_before = copy.deepcopy(network[3].state_dict())
    OBJECTIVES[name](network, x, y, attack=LINF, start_noise=noise, statistics=statistics)
    assert [module.training for module in network.modules()] == modes and not network[3].training
    assert all(torch.equal(frozen_before[key], value) for key, value in network[3].state_dict().items())
    assert int(network[1].num_batches_tracked) == (1 if name == "pgd_at" else 2)
    assert all(module.track_running_stats for module in network.modules() if isinstance(module, nn.BatchNorm2d))


def test_the_policy_decides_what_the_adversary_sees() -> None:
    found = {}
    for statistics in ("batch", "running"):
        torch.manual_seed(1)
        x, y, noise = torch.rand(SHAPE), torch.randint(CLASSES, (12,)), torch.rand(SHAPE)
        attack, network = AttackSpec(eps=0.1, steps=2), batch_norm_network()
        terms = OBJECTIVES["pgd_at"](network, x, y, attack=attack, start_noise=noise, statistics=statistics)
        found[statistics] = terms.adversarial
        twin = batch_norm_network()
        for layer in (twin[1],):  # the same attack by hand, with the batch's or the running statistics
            layer.train(statistics == "batch")
            layer.momentum = 0.0
        by_hand = climbed(
            attack, x, (x + 0.1 * (2 * noise - 1)).clamp(0, 1),
            lambda point, net=twin, labels=y: F.cross_entropy(net(point), labels, reduction="none"),
        )  # fmt: skip
        assert torch.allclose(found[statistics], by_hand, atol=1e-6)
    assert not torch.equal(found["batch"], found["running"])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_attack_is_counted_step_by_step(name: str) -> None:
    network, x, y = case()
    terms = OBJECTIVES[name](network, x, y, attack=LINF, start_noise=noise_for(LINF), counts=True)
    assert terms.wrong_by_step is not None and terms.wrong_by_step.shape == (LINF.steps + 1,)
    assert terms.adversarial is not None
    last = (network(terms.adversarial).argmax(1) != y).double().mean()
    assert float(terms.wrong_by_step[-1]) == pytest.approx(float(last))
    first = (network(x + 0.1 * (2 * noise_for(LINF) - 1)).argmax(1) != y).double().mean()
    assert abs(float(terms.wrong_by_step[0]) - float(first)) <= 1 / 12  # clipping to [0,1] apart
    again = OBJECTIVES[name](network, x, y, attack=LINF, start_noise=noise_for(LINF))
    assert again.wrong_by_step is None and torch.equal(again.loss, terms.loss)


def test_without_a_random_start_a_cross_entropy_attack_begins_at_the_image() -> None:
    network, x, y = case()
    attack = AttackSpec(eps=0.1, steps=1, random_start=False)
    noise = noise_for(attack)
    terms = pgd_training_loss(network, x, y, attack=attack, label_smoothing=0.0, start_noise=noise)
    point = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(network(point), y, reduction="sum"), point)
    assert terms.adversarial is not None
    assert torch.allclose(terms.adversarial, (x + attack.resolved_step_size * g.sign()).clamp(0, 1))


def test_only_what_exceeds_the_clip_counts_in_score() -> None:
    network, x, y = case()
    noise = noise_for(LINF)
    score = partial(score_loss, network, x, y, attack=LINF, beta=5.0, label_smoothing=0.0, start_noise=noise)
    free, clipped, none = (score(robust_clip=clip) for clip in (0.0, 0.05, 2.0))
    assert free.adversarial is not None and free.robust is not None
    change = (torch.softmax(network(x), 1) - torch.softmax(network(free.adversarial), 1)).square().sum(1).detach()
    assert float(free.robust) == pytest.approx(float(change.mean()))
    assert float(clipped.robust) == pytest.approx(float((change - 0.05).clamp_min(0).mean()))  # type: ignore[arg-type]
    assert float(none.robust) == 0  # type: ignore[arg-type]


def test_smoothed_distributions() -> None:
    found = as_distribution(torch.tensor([2, 0]), 4, 0.2)
    assert torch.allclose(found, torch.tensor([[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]]))
    assert torch.equal(as_distribution(found, 4), found)
