"""Random streams: stable, independent, and bound to the sample rather than to the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from difrob.randomness import (
    generator,
    normal_per_sample,
    numpy_generator,
    seeded_globally,
    stream_key,
    uniform_per_sample,
)


def test_keys_are_the_same_for_ever() -> None:
    """Recorded results depend on these numbers: a change here silently changes every run."""
    assert stream_key(0, "noise", 1) == 1153676407781847189
    assert stream_key(7) == 6272623799921091395


def test_keys_tell_streams_apart() -> None:
    streams = [
        (0, "a", 1),
        (0, "a", "1"),
        (0, "a1"),
        (1, "a", 1),
        (0, 1, "a"),
        (0, "a", 1, 0),
        (0, "a", 10),
        (0, "|", "a"),
    ]
    assert len({stream_key(*stream) for stream in streams}) == len(streams)
    assert stream_key(0, "a", np.int64(1)) == stream_key(0, "a", 1)
    assert all(0 <= stream_key(seed) < 2**63 for seed in range(100))


def test_generators_repeat_and_leave_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    first = torch.randn(5, generator=generator(3, "noise", 4))
    assert torch.equal(first, torch.randn(5, generator=generator(3, "noise", 4)))
    assert not torch.equal(first, torch.randn(5, generator=generator(3, "noise", 5)))
    assert np.array_equal(numpy_generator(3, "x").permutation(9), numpy_generator(3, "x").permutation(9))
    assert torch.equal(before, torch.get_rng_state())


@settings(max_examples=30, deadline=None)
@given(indices=st.lists(st.integers(0, 2**62), min_size=1, max_size=8), seed=st.integers(0, 2**31 - 1))
def test_noise_belongs_to_the_sample(indices: list[int], seed: int) -> None:
    for draw in (normal_per_sample, uniform_per_sample):
        together = draw(seed, "noise", indices, (1, 3, 5))
        assert together.shape == (len(indices), 1, 3, 5) and together.dtype == torch.float32
        for row, index in enumerate(indices):
            assert torch.equal(together[row], draw(seed, "noise", [index], (1, 3, 5))[0])


def test_noise_is_normal_and_uncorrelated_between_samples_and_streams() -> None:
    noise = normal_per_sample(0, "noise", range(2000), (50,)).double()
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-3
    other = normal_per_sample(0, ("noise", 1), range(2000), (50,)).double()
    bound = 5 / noise.numel() ** 0.5
    assert abs(float((noise * other).mean())) < bound
    assert abs(float((noise[1:] * noise[:-1]).mean())) < bound
    uniform = uniform_per_sample(0, "noise", range(2000), (50,))
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 1e-3
    assert 0 <= float(uniform.min()) and float(uniform.max()) < 1


def test_empty_and_bad_indices() -> None:
    assert normal_per_sample(0, "noise", [], (2, 2)).shape == (0, 2, 2)
    with pytest.raises(ValueError, match="non-negative"):
        normal_per_sample(0, "noise", [-1], (2,))


def test_seeding_globally_is_torch_seeded_with_the_key_of_the_stream() -> None:
    with seeded_globally(torch.device("cpu"), 5, "weights"):
        drawn = torch.randn(3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_key(5, "weights"))
        assert torch.equal(drawn, torch.randn(3))


def test_seeding_globally_is_undone_even_after_an_error() -> None:
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), seeded_globally(torch.device("cpu"), 5, "weights"):
        first = torch.randn(3)
        raise RuntimeError
    assert torch.equal(before, torch.get_rng_state())
    with seeded_globally(torch.device("cpu"), 5, "weights"):
        assert torch.equal(first, torch.randn(3))
