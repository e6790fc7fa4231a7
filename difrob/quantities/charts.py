"""Charts that several quantities share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SharedChart:
    """A chart for quantities of one unit.

    Attributes:
        title: over it.
        joins: the chart into which its curves go as long as they are few; "" for none.
        alone_from: how many of them stand apart from those of ``joins``.
    """

    title: str
    joins: str = ""
    alone_from: int = 0


CHARTS = {
    "accuracy": SharedChart("Accuracy"),
    "loss": SharedChart("Loss"),
    "loss_parts": SharedChart("Parts of the loss", joins="loss", alone_from=3),
    "shares": SharedChart("Shares"),
}
