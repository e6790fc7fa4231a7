"""Learning rates as functions of the step alone, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math


def warmup_cosine(step: int, steps: int, *, peak: float, warmup_steps: int) -> float:
    """A linear warm-up to ``peak``, then a half cosine that would reach zero one step after the last.

    It is stepped once per optimiser step and defined for any number of steps, where the one-cycle schedule of the
    released code of Wang et al. 2023 divides by zero or loses its warm-up for short runs, and cycles the momentum.

    Args:
        step: number of the step about to be made, 0 <= step < steps.
        steps: total number of steps, at least 1.
        peak: largest rate.
        warmup_steps: the first this many steps rise; 0 <= warmup_steps < steps. The step after them has the peak rate.

    Returns:
        A rate in (0, peak].
    """
    if not 0 <= warmup_steps < steps or not 0 <= step < steps:
        raise ValueError(f"step {step} and warm-up {warmup_steps} must lie in [0, {steps})")
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    share = (step - warmup_steps) / (steps - warmup_steps)
    return peak * (1 + math.cos(math.pi * share)) / 2
