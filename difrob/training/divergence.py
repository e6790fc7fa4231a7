"""Refusing to go on with a loss or a gradient that is no longer a number; nothing is ever silently set to zero."""

from __future__ import annotations

import math

from difrob.errors import NotFinite


class LastFinite:
    """The newest loss and gradient norm that were numbers, for the message about those that are not.

    Attributes:
        loss, gradient_norm: of the newest good step; None before the first.
    """

    def __init__(self, loss: float | None = None, gradient_norm: float | None = None) -> None:
        self.loss = loss
        self.gradient_norm = gradient_norm

    def check(self, step: int, learning_rate: float, loss: float, gradient_norm: float) -> None:
        """Take the numbers of one step (counted from 0). The gradient norm is watched because a finite loss can still
        have an infinite gradient, which ruins the weights before the next loss tells.

        Raises:
            NotFinite: naming what went wrong, the step, its learning rate, and the last numbers that were finite.
        """
        for name, value in (("loss", loss), ("gradient norm", gradient_norm)):
            if not math.isfinite(value):
                raise NotFinite(
                    f"the {name} became {value} at step {step} with learning rate {learning_rate:.4g} ({self._before()}); "
                    "lower learning_rate or set a smaller gradient_clip"
                )
        self.loss, self.gradient_norm = loss, gradient_norm

    def _before(self) -> str:
        if self.loss is None or self.gradient_norm is None:
            return "no loss was finite before"
        return f"the last finite loss was {self.loss:.4g}, the last gradient norm {self.gradient_norm:.4g}"
