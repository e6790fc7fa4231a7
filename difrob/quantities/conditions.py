"""Under which conditions a number was measured: data beside the number, and the sentence that is made from them.

Numbers whose conditions differ must not be put side by side without a warning. So a condition says how something was
measured, never what came out; it is compared as it was recorded, and put into words only for people.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Conditions = Mapping[str, Any]

DATA_SET = "data_set"  # {"name": ..., "digest": ...}
_TITLES = {"indices": "which images"}
# For comparisons alone: people are told by other words which images these are and how an attack begins.
_UNSPOKEN = ("indices", "random_start")
# Records of before they were stated are silent about these, and what says nothing is not unlike for that.
STATED_LATER = (DATA_SET, "indices", "attack")


def condition_title(name: str) -> str:
    """``fitted_to`` as ``fitted to``."""
    return _TITLES.get(name, name.replace("_", " "))


def condition_text(value: Any) -> str:
    """A condition's value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(condition_text(item) for item in value)
    if isinstance(value, Mapping):
        name, digest = value.get("name", ""), value.get("digest", "")
        return f"{name} ({digest})" if name and digest else str(name or digest)
    return "none" if value is None else str(value)


def compared(name: str, value: Any) -> str:
    """What of a condition is compared: of a data set its digest, as one set may be registered under two names."""
    if name == DATA_SET and isinstance(value, Mapping) and value.get("digest"):
        return str(value["digest"])
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def sentence(description: str, conditions: Conditions) -> str:
    """What was measured and how: ``PGD with margin loss, linf eps 0.15, 40 steps, 600 test images; data set: digits``.

    Conditions that are usual together are said in one phrase; any other one follows as ``; name: value``.
    """
    left = {name: value for name, value in conditions.items() if name not in _UNSPOKEN and value not in ("", None)}
    phrases = [description] if description else []
    for names, phrase in _PHRASES:
        if all(name in left for name in names):
            phrases.append(phrase(*(left.pop(name) for name in names)))
    clauses = [f"{condition_title(name)}: {condition_text(value)}" for name, value in left.items()]
    return "; ".join([", ".join(phrases), *clauses] if phrases else clauses)


def _attacked(attack: str, losses: list[str]) -> str:
    spoken = [f"{loss.replace('_', '-')} loss" for loss in losses]
    return f"{attack} with {' and '.join(spoken)}"


def _counted(noun: str) -> Callable[[int], str]:
    return lambda count: f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


_PHRASES: tuple[tuple[tuple[str, ...], Callable[..., str]], ...] = (
    (("attack", "attack_losses"), _attacked),
    (("norm", "eps"), lambda norm, eps: f"{norm} eps {eps:g}"),
    (("attack_steps", "step_size"), lambda steps, size: f"{_counted('step')(steps)} of {size:.3g}"),
    (("validation_attack_steps",), _counted("step")),
    (("restarts",), lambda restarts: f"{_counted('restart')(restarts)} per loss"),
    (("radius",), lambda radius: f"l2 radius {radius:g}"),
    (("sigma", "n0", "n", "alpha"), lambda s, n0, n, alpha: f"sigma {s:g}, n0 {n0}, n {n}, alpha {alpha:g}"),
    (("images", "split"), lambda images, split: _counted(f"{split} image")(images)),
)
