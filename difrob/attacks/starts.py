"""Where an attack begins: points that belong to the image, whatever batch it is attacked in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from difrob.attacks.projections import Ball
from difrob.randomness import normal_per_sample, uniform_per_sample


def starting_points(
    ball: Ball, *, random_start: bool, seed: int, stream: tuple[int | str, ...], indices: Sequence[int] | np.ndarray
) -> Tensor:
    """One starting point per image: a uniformly random point of its ball, or the image itself.

    Args:
        ball: the balls, [B].
        random_start: False starts at the image.
        seed: seed of the run.
        stream: name of the random stream; restarts differ in it.
        indices: number of each image in its data set, [B]; the point of an image depends on (seed, stream, number) only.
    """
    if not random_start:
        return ball.images.clone()
    shape = ball.images.shape[1:]
    device = ball.images.device
    if ball.norm == "linf":
        return ball.random_points(uniform_per_sample(seed, (*stream, "uniform"), indices, shape).to(device))
    uniform = uniform_per_sample(seed, (*stream, "uniform"), indices, (1, 1, 1)).to(device)
    normal = normal_per_sample(seed, (*stream, "normal"), indices, shape).to(device)
    return ball.random_points(uniform, normal)


def tiny_gaussian_start(ball: Ball, noise: Tensor) -> Tensor:
    """The start x + 0.001 n of TRADES (Zhang et al. 2019), for when the ball's own random start is not wanted.

    At x itself the gradient of KL(p(x) || p(x')) is zero, so the attack would never move.

    Args:
        ball: the balls, [B].
        noise: standard normal draws [B, C, H, W].
    """
    return ball.project(torch.add(ball.images, noise, alpha=1e-3))
