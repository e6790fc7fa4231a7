"""Learning rates and momenta as functions of the step alone, so that a resumed run needs no scheduler state.

All are stepped once per optimiser step and defined for any number of steps. The one-cycle schedule of the released code of
Wang et al. 2023 is stepped once per epoch, divides by zero or loses its warm-up for short runs, and cycles the momentum
unasked.
"""

from __future__ import annotations

import math

# torch.optim.lr_scheduler.OneCycleLR: start and end of the rate as shares of its peak, and the two ends of the momentum.
START_SHARE = 1 / 25
END_SHARE = START_SHARE / 1e4
HIGH_MOMENTUM = 0.95
LOW_MOMENTUM = 0.85


def warmup_cosine(step: int, steps: int, *, peak: float, warmup_steps: int) -> float:
    """A linear warm-up to ``peak``, then a half cosine that would reach zero one step after the last.

    Args:
        step: number of the step about to be made, 0 <= step < steps.
        steps: total number of steps, at least 1.
        peak: largest rate.
        warmup_steps: the first this many steps rise; 0 <= warmup_steps < steps. The step after them has the peak rate.

    Returns:
        A rate in (0, peak].
    """
    _check(step, steps, warmup_steps)
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    share = (step - warmup_steps) / (steps - warmup_steps)
    return peak * (1 + math.cos(math.pi * share)) / 2


def one_cycle(step: int, steps: int, *, peak: float, warmup_steps: int) -> float:
    """Half cosines from peak/25 up to ``peak`` and down to peak/250000 (Smith & Topin 2019, as in torch's OneCycleLR).

    Args:
        step: number of the step about to be made, 0 <= step < steps.
        steps: total number of steps, at least 1.
        peak: largest rate.
        warmup_steps: the last of the first this many steps has the peak rate; with less than two there is no rise.

    Returns:
        A rate in [peak/250000, peak].
    """
    return _cycle(step, steps, warmup_steps, START_SHARE * peak, peak, END_SHARE * peak)


def one_cycle_momentum(step: int, steps: int, *, warmup_steps: int) -> float:
    """The momentum that goes with :func:`one_cycle`: from 0.95 down to 0.85 and back."""
    return _cycle(step, steps, warmup_steps, HIGH_MOMENTUM, LOW_MOMENTUM, HIGH_MOMENTUM)


def _cycle(step: int, steps: int, warmup_steps: int, start: float, turn: float, end: float) -> float:
    _check(step, steps, warmup_steps)
    turning = max(warmup_steps - 1, 0)
    if step < turning:
        return _between(start, turn, step / turning)
    return _between(turn, end, (step - turning) / max(steps - 1 - turning, 1))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _check(step: int, steps: int, warmup_steps: int) -> None:
    if not 0 <= warmup_steps < steps or not 0 <= step < steps:
        raise ValueError(f"step {step} and warm-up {warmup_steps} must lie in [0, {steps})")
