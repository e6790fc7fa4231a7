"""CutMix: every pixel comes from where the label says."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob.randomness import generator
from difrob.training.augmentation_mixing import cutmix, draw_box


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(2, 9), shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    draws=st.integers(1, 4), step=st.integers(0, 1000),
)  # fmt: skip
def test_labels_are_the_shares_of_the_pixels(count: int, shape: tuple[int, int, int], draws: int, step: int) -> None:
    # Every image is of one level, which is its number, and every image has a class of its own.
    images = torch.arange(count).float().reshape(-1, 1, 1, 1).expand(count, *shape).contiguous()
    labels = torch.arange(count)
    mixed, targets = cutmix(images, labels, count, draws=draws, seed=0, step=step)
    assert mixed.shape == (draws * count, *shape) and targets.shape == (draws * count, count)
    for image, target in zip(mixed, targets, strict=True):
        shares = torch.stack([(image[0] == number).float().mean() for number in range(count)])
        assert torch.allclose(shares, target, atol=1e-6)
    assert torch.equal(images[:, 0, 0, 0], labels.float())  # the batch itself is left alone


def test_draws_differ_and_repeat() -> None:
    images, labels = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
    mixed, targets = cutmix(images, labels, 3, draws=3, seed=0, step=4)
    first, second, _ = mixed.split(12)
    assert not torch.equal(first, second)
    again, again_targets = cutmix(images, labels, 3, draws=3, seed=0, step=4)
    assert torch.equal(again, mixed) and torch.equal(again_targets, targets)
    assert not torch.equal(cutmix(images, labels, 3, draws=3, seed=0, step=5)[0], mixed)


def test_boxes_have_the_area_of_a_uniform_share_before_they_are_clipped() -> None:
    """E[1 - lambda] = 1/2 for Beta(1, 1); a box around a random pixel keeps (3/4 side)^2-like shares of that inside."""
    areas, random = [], generator(0, "boxes")
    for _ in range(2000):
        box = draw_box(32, 32, random)
        assert 0 <= box.top <= box.bottom <= 32 and 0 <= box.left <= box.right <= 32
        areas.append(box.area / 32**2)
    # A side of share s has mean s (1 - s / 4) inside, so the area has E[s^2 (1 - s / 4)^2] with s^2 uniform: 0.3198...
    expected = 1 / 2 - 2 / 10 * 1 + 1 / 48  # E[s^2] - E[s^3] / 2 + E[s^4] / 16
    assert abs(sum(areas) / len(areas) - expected) < 0.03
