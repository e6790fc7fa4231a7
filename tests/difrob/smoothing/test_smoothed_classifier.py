"""Class counts under noise: a closed form, independence of the batch size, and the two independent streams."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from support.toy_classifiers import LinearClassifier, ThresholdClassifier

from difrob.errors import Stopped
from difrob.smoothing.smoothed import BLOCK, ESTIMATION, SELECTION, SmoothedClassifier, draw_noise


def smoothed(batch_size: int = 1000, sigma: float = 0.25, seed: int = 0, **changes: object) -> SmoothedClassifier:
    arguments = {
        "base": ThresholdClassifier(),
        "num_classes": 2,
        "sigma": sigma,
        "seed": seed,
        "batch_size": batch_size,
    }
    return SmoothedClassifier(**{**arguments, **changes})  # type: ignore[arg-type]


def pixels(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1)


def test_counts_follow_the_closed_form() -> None:
    """One pixel x against a threshold t: P(class 1) = Phi((x - t) / sigma), and its radius is |x - t|."""
    n, sigma = 20_000, 0.25
    images = pixels(0.2, 0.45, 0.5, 0.8)
    counts = smoothed(sigma=sigma).count_classes(images, range(4), n, ESTIMATION)
    assert (counts.sum(axis=1) == n).all()
    for count, x in zip(counts[:, 1], images.flatten().tolist(), strict=True):
        p = stats.norm.cdf((x - 0.5) / sigma)
        assert stats.binomtest(int(count), n, p).pvalue > 1e-4


def test_certified_radii_approach_the_true_distance_from_below() -> None:
    images = pixels(0.2, 0.45, 0.62, 0.8)
    found = smoothed().certify(images, range(4), n0=100, n=20_000, alpha=0.001)
    distance = (images.flatten() - 0.5).abs().numpy()
    assert found.predictions.tolist() == [0, 0, 1, 1]
    assert (found.radii <= distance).all() and (found.radii > distance - 0.02).all()
    assert (found.majorities == found.candidates).all()


def test_an_image_on_the_boundary_is_abstained_on() -> None:
    found = smoothed().certify(pixels(0.5), [0], n0=100, n=1000, alpha=0.001)
    assert (found.predictions[0], found.radii[0]) == (-1, 0.0)
    assert found.candidates[0] in (0, 1)


@pytest.mark.parametrize("batch_size", [1, 37, 100, 250, 1000, 100_000])
def test_counts_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    network = LinearClassifier((1, 3, 3), 4)
    images = torch.rand(5, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    draws = 150 if batch_size > 1 else 20
    expected = smoothed(777, base=network, num_classes=4).count_classes(images, range(5), draws, ESTIMATION)
    found = smoothed(batch_size, base=network, num_classes=4).count_classes(images, range(5), draws, ESTIMATION)
    assert np.array_equal(found, expected)


def test_batches_are_filled_across_images_and_never_larger_than_asked() -> None:
    sizes: list[int] = []

    def base(noisy: torch.Tensor) -> torch.Tensor:
        sizes.append(len(noisy))
        return ThresholdClassifier()(noisy)

    smoothed(256, base=base).count_classes(pixels(0.1, 0.2, 0.3, 0.4), range(4), 150, SELECTION)
    assert sizes == [256, 256, 88]


def test_counts_of_an_image_belong_to_its_number_not_to_its_place() -> None:
    images = pixels(0.4, 0.5, 0.6)
    together = smoothed().count_classes(images, [10, 11, 12], 500, ESTIMATION)
    alone = smoothed().count_classes(images[1:2], [11], 500, ESTIMATION)
    elsewhere = smoothed().count_classes(images[1:2], [99], 500, ESTIMATION)
    assert np.array_equal(together[1], alone[0])
    assert not np.array_equal(alone, elsewhere)


def test_the_first_draws_of_a_longer_series_are_those_of_a_shorter_one() -> None:
    seen: list[torch.Tensor] = []

    def base(noisy: torch.Tensor) -> torch.Tensor:
        seen.append(noisy)
        return ThresholdClassifier()(noisy)

    smoothed(base=base).count_classes(pixels(0.5), [3], 130, ESTIMATION)
    smoothed(base=base).count_classes(pixels(0.5), [3], 970, ESTIMATION)
    assert torch.equal(seen[0], seen[1][:130])


def test_selection_and_estimation_use_independent_noise() -> None:
    """The guarantee rests on it: draws that chose the class must not be used again to bound its probability."""
    selection = torch.cat([draw_noise(0, SELECTION, 0, block, (1, 4, 4)) for block in range(5)]).flatten()
    estimation = torch.cat([draw_noise(0, ESTIMATION, 0, block, (1, 4, 4)) for block in range(5)]).flatten()
    assert len(selection) == 5 * BLOCK * 16
    assert abs(float(torch.corrcoef(torch.stack([selection, estimation]))[0, 1])) < 4 / np.sqrt(len(selection))
    assert not torch.isin(selection, estimation).float().mean() > 0.01


def test_noise_is_standard_normal_and_differs_between_seeds_images_and_blocks() -> None:
    noise = draw_noise(0, ESTIMATION, 0, 0, (1, 8, 8))
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-3
    for other in (draw_noise(1, ESTIMATION, 0, 0, (1, 8, 8)), draw_noise(0, ESTIMATION, 1, 0, (1, 8, 8)),
                  draw_noise(0, ESTIMATION, 0, 1, (1, 8, 8))):  # fmt: skip
        assert not torch.equal(noise, other)


def test_every_batch_asks_whether_to_stop() -> None:
    asked = 0

    def between() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Stopped("stop")

    with pytest.raises(Stopped):
        smoothed(100, between=between).count_classes(pixels(0.5), [0], 1000, ESTIMATION)
    assert asked == 3
