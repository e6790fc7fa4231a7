"""The line at the beginning of a training's log: what it learns from, and where."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from difrob.metrics.conditions import counted
from difrob.ranks.shares import Ranks


def learning_words(
    name: str,
    count: int,
    noun: str,
    device: torch.device,
    ranks: Ranks,
    *,
    generated: Sequence[tuple[str, int]] = (),
    generated_share: float = 0.0,
) -> str:
    """``learns from 1,000 training images of 'digits'; on cpu, 1 process``, with the generated images of which runs.

    Args:
        name: of the data set.
        count: how many of its training images (or points) are used.
        noun: ``training image`` or ``training point``.
        device: where the leading process computes.
        ranks: how many processes there are.
        generated: names of generated sets, and how many images each has.
        generated_share: their share of each batch, in [0, 1].
    """
    sources = [f"{counted(count, noun)} of '{name}'"]
    if generated:
        sets = " and ".join(f"{counted(images, 'image')} of the {title}" for title, images in generated)
        sources.append(f"{sets} ({100 * generated_share:.0f} % of each batch)")
    return f"learns from {' and '.join(sources)}; on {device}, {_processes(ranks.world)}"


def _processes(world: int) -> str:
    return "1 process" if world == 1 else f"{world} processes"
