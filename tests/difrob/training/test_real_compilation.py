"""``torch.compile`` for real: the same training, two steps of it, with and without."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support.feature_networks import denoiser_run
from support.memory_recorder import MemoryRecorder
from support.trained_runs import trained, weights_of

from difrob.specs import TrainClassifierSpec


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_compiled_training_is_the_plain_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        pytest.skip("needs a C++ compiler")
    import torch._dynamo.utils as dynamo
    import torch._inductor.config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(inductor, "compile_threads", 1)  # others would outlive the test,
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)  # and so would the one that watches progress bars
    torch._dynamo.reset()
    dynamo.counters.clear()
    values: dict[str, Any] = {
        "data": {"train_size": 60}, "network": {"channels": (4, 8), "features": 16}, "attack": {"steps": 2}, "steps": 2,
        "batch_size": 20, "validate_every": 2, "validation_attack_steps": 2, "log_every": 1, "learning_rate": 0.05,
        "alignment": {"teacher": "denoiser", "denoiser": "denoiser", "student": "both"}, "objective": "pgd_at",
    }  # fmt: skip
    found: list[MemoryRecorder] = []
    for compiled in (False, True):
        spec = TrainClassifierSpec(**values, compute={"compile": compiled})
        found.append(trained(spec, runs={"denoiser": denoiser_run()}))
        assert bool(dynamo.counters["frames"]["ok"]) == compiled
    plain, second = found
    assert not [text for _, text in second.notes if "compile" in text]
    for name in ("loss", "loss/alignment", "gradient_norm"):
        assert second.values(name) == pytest.approx(plain.values(name), rel=1e-4), name
    for name, tensor in weights_of(plain).items():
        torch.testing.assert_close(weights_of(second)[name], tensor, rtol=1e-3, atol=1e-4)
    torch._dynamo.reset()
