"""TRADES against an independent float64 reference, its exact pass count, and saturated logits."""

from __future__ import annotations

import copy

import pytest
import torch
from support.toy_classifiers import PassCounter, WavyClassifier
from torch import Tensor, nn
from torch.nn import functional as F

from difrob.attacks.pgd import maximise
from difrob.nets.classifiers import build_classifier
from difrob.specs import AttackSpec, ClassifierNetworkSpec
from difrob.training.inner_attack import InnerAttack
from difrob.training.objectives import gaussian_loss, standard_loss
from difrob.training.trades import draw_start_noise, trades_loss

SHAPE = (12, 1, 4, 4)


def case() -> tuple[WavyClassifier, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    network = WavyClassifier(SHAPE[1:], 5)
    return network, torch.rand(SHAPE, generator=source, dtype=torch.float64), torch.randint(5, (12,), generator=source)


def reference(
    network: nn.Module, x: Tensor, y: Tensor, attack: AttackSpec, beta: float, smoothing: float, noise: Tensor
) -> Tensor:
    """Equation by equation, with probabilities instead of log-targets and everything recomputed."""
    eps, eta = attack.eps, attack.resolved_step_size
    q = torch.softmax(network(x), 1).detach()
    adversarial = x + eps * (2 * noise - 1) if attack.norm == "linf" else x + 0.001 * noise
    adversarial = adversarial.clamp(0, 1)
    for _ in range(attack.steps):
        adversarial = adversarial.detach().requires_grad_()
        kl = (q * (q.log() - torch.log_softmax(network(adversarial), 1))).sum()
        (g,) = torch.autograd.grad(kl, adversarial)
        if attack.norm == "linf":
            step = adversarial.detach() + eta * g.sign()
            adversarial = torch.min(torch.max(step, x - eps), x + eps).clamp(0, 1)
        else:
            step = (adversarial.detach() + eta * g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp(0, 1)
            length = (step - x).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            adversarial = x + (step - x) * (eps / length).clamp(max=1)
    p_clean, p_adversarial = torch.softmax(network(x), 1), torch.softmax(network(adversarial.detach()), 1)
    target = (1 - smoothing) * F.one_hot(y, 5).double() + smoothing / 5
    clean = -(target * p_clean.log()).sum(1).mean()
    robust = (p_clean * (p_clean.log() - p_adversarial.log())).sum(1).mean()
    return clean + beta * robust


@pytest.mark.parametrize("attack", [AttackSpec(eps=0.1, steps=7), AttackSpec(norm="l2", eps=0.3, steps=7)])
def test_loss_and_gradient_are_those_of_the_reference(attack: AttackSpec) -> None:
    network, x, y = case()
    noise = draw_start_noise(attack, SHAPE, torch.Generator().manual_seed(1)).double()
    expected = reference(network, x, y, attack, 5.0, 0.1, noise)
    expected_gradient = torch.autograd.grad(expected, list(network.parameters()))
    terms = trades_loss(network, x, y, attack=attack, beta=5.0, label_smoothing=0.1, start_noise=noise)
    assert float(terms.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-9)
    assert terms.robust is not None and float(terms.robust) > 0.01
    assert float(terms.clean + 5 * terms.robust) == pytest.approx(float(terms.loss.detach()))
    assert all(p.grad is None for p in network.parameters())  # the attack left the weights' gradients alone
    terms.loss.backward()
    for parameter, gradient in zip(network.parameters(), expected_gradient, strict=True):
        assert parameter.grad is not None and torch.allclose(parameter.grad, gradient, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_the_cost_is_exactly_the_floor(steps: int) -> None:
    """(K + 3) forward passes, K backward passes to the input, 2 full backward passes per image."""
    network, x, y = case()
    attack = AttackSpec(eps=0.1, steps=steps)
    counter = PassCounter(network)
    noise = draw_start_noise(attack, SHAPE, torch.Generator().manual_seed(1)).double()
    trades_loss(network, x, y, attack=attack, beta=5.0, label_smoothing=0.1, start_noise=noise).loss.backward()
    images = len(x)
    assert counter.forward == (steps + 3) * images
    assert counter.backward_to_input == steps * images
    assert counter.backward == 2 * images


class FixedLogits(nn.Module):
    """The logits (0, 200, 0), whose outer probabilities are exactly zero in float32, plus a little of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([0.0, 200.0, 0.0]) * self.scale + x.flatten(1)[:, :3]


def test_saturated_logits_give_no_nan() -> None:
    network = FixedLogits()
    x = torch.rand(6, 1, 2, 2)
    noise = torch.rand(6, 1, 2, 2)
    for label in range(3):
        y = torch.full((6,), label)
        terms = trades_loss(
            network, x, y, attack=AttackSpec(eps=0.1, steps=3), beta=5.0, label_smoothing=0.1, start_noise=noise
        )
        (gradient,) = torch.autograd.grad(terms.loss, network.scale)
        assert terms.loss.isfinite() and gradient.isfinite()


def test_running_statistics_see_the_two_outer_passes_only() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Flatten(), nn.Linear(16, 5)).train()
    x, y = torch.rand(SHAPE), torch.randint(5, (12,))
    untouched = copy.deepcopy(network)
    attack, noise = AttackSpec(eps=0.1, steps=5), torch.rand(SHAPE)
    trades_loss(network, x, y, attack=attack, beta=1.0, label_smoothing=0.0, start_noise=noise)
    assert int(network[1].num_batches_tracked) == 2  # clean, then adversarial
    with torch.no_grad():
        untouched(x)
    assert not torch.equal(untouched[1].running_mean, network[1].running_mean)
    assert network.training


def test_the_attack_raises_the_divergence() -> None:
    network, x, y = case()
    weak, strong = AttackSpec(eps=0.1, steps=1, step_size=1e-6), AttackSpec(eps=0.1, steps=10)
    noise = torch.full(SHAPE, 0.501, dtype=torch.float64)
    losses = [
        trades_loss(network, x, y, attack=attack, beta=1.0, label_smoothing=0.0, start_noise=noise).robust
        for attack in (weak, strong)
    ]
    assert losses[0] is not None and losses[1] is not None and float(losses[1]) > 10 * float(losses[0])


def test_attack_success_counts_flipped_images_among_the_right_ones() -> None:
    network, x, _ = case()
    right = network(x).argmax(1)
    y = right.clone()
    y[:4] = (y[:4] + 1) % 5  # four images are wrong from the start and do not count
    attack = AttackSpec(eps=0.15, steps=5)
    noise = torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    terms = trades_loss(network, x, y, attack=attack, beta=1.0, label_smoothing=0.0, start_noise=noise)
    assert terms.flips is not None and terms.adversarial is not None
    flipped = int((network(terms.adversarial).argmax(1) != y)[4:].sum())
    assert terms.flips.tolist() == [8, flipped] and 0 < flipped
    nothing = trades_loss(
        network, x, y, attack=AttackSpec(eps=0.0, steps=1), beta=1.0, label_smoothing=0.0, start_noise=noise
    )
    assert nothing.flips is not None and nothing.flips.tolist() == [8, 0]
    assert nothing.robust is not None and float(nothing.robust) == pytest.approx(0, abs=1e-12)


def test_the_start_moves_off_the_image_whatever_is_asked() -> None:
    """KL has no gradient at the image itself, so an attack from there would stand still."""
    for attack in (AttackSpec(eps=0.1, random_start=False), AttackSpec(norm="l2", eps=0.3)):
        network, x, y = case()
        noise = draw_start_noise(attack, SHAPE, torch.Generator().manual_seed(2)).double()
        assert noise.std() == pytest.approx(1, abs=0.2)
        terms = trades_loss(network, x, y, attack=attack, beta=1.0, label_smoothing=0.0, start_noise=noise)
        assert terms.robust is not None and float(terms.robust) > 1e-3


def test_plain_and_gaussian_objectives() -> None:
    torch.manual_seed(0)
    network = build_classifier(ClassifierNetworkSpec(channels=(4,), features=8), (1, 4, 4), 5)
    x, y, noise = torch.rand(SHAPE), torch.randint(5, (12,)), torch.randn(SHAPE)
    expected = F.cross_entropy(network(x + 0.3 * noise), y, label_smoothing=0.2)
    found = gaussian_loss(network, x, y, noise=noise, sigma=0.3, label_smoothing=0.2)
    assert torch.allclose(found.loss, expected)
    assert torch.equal(gaussian_loss(network, x, y, noise=noise, sigma=0.0, label_smoothing=0.2).loss,
                       standard_loss(network, x, y, label_smoothing=0.2).loss)  # fmt: skip
    assert found.robust is None and found.flips is None


def test_the_inner_problem_is_the_shared_ascent() -> None:
    """TRADES and evaluation climb with the same code; a change of one is a change of both."""
    assert InnerAttack.climb.__globals__["maximise"] is maximise
