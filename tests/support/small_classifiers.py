"""Specifications of classifiers of digits that are trained in seconds."""

from __future__ import annotations

from typing import Any

from difrob.specs import TrainClassifierSpec

RESIDUAL: dict[str, Any] = {"architecture": "wide_resnet", "depth": 10, "widen": 1}
TRANSFORMER: dict[str, Any] = {"architecture": "vit", "patch": 4, "width": 16, "blocks": 1, "heads": 2}
LAID_OUT_OTHERWISE: dict[str, Any] = {
    "network": RESIDUAL, "memory": {"micro_batch": 8}, "compute": {"precision": "bfloat16", "channels_last": True},
}  # fmt: skip


def small_classifier(steps: int, **changes: Any) -> TrainClassifierSpec:
    """A small network, plainly trained and validated at the end; good for much after some 60 steps."""
    values: dict[str, Any] = {
        "data": {"train_size": 200}, "network": {"channels": (8, 16), "features": 32}, "objective": "standard",
        "steps": steps, "batch_size": 64, "validate_every": steps, "validation_attack_steps": 2,
    }  # fmt: skip
    return TrainClassifierSpec(**{**values, **changes})
