"""Under which conditions a number was measured: data beside the number, and the sentence that is made from them.

Numbers whose conditions differ must not be put side by side without a warning. So a condition says how something was
measured, never what came out; it is compared as it was recorded, and put into words only for people.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

Conditions = Mapping[str, Any]

DATA_SET = "data_set"  # {"name": ..., "digest": ...}
_TITLES = {"indices": "which images"}
# {role: {"run": id, "finished": ..., "digest": ..., and "weights" with "step", or "rows"}}: in which state what a result rests
# on was read. A role is the field of the specification that names the run.
INPUTS = "inputs"
# For comparisons alone: people are told by other words which images these are and how an attack begins.
_UNSPOKEN = ("indices", "random_start")
# Records of before they were stated are silent about these, and what says nothing is not unlike for that.
STATED_LATER = (DATA_SET, INPUTS, "indices", "attack")


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
    if isinstance(value, Mapping) and any(isinstance(item, Mapping) for item in value.values()):
        return inputs_text(value)
    if isinstance(value, Mapping):
        name, digest = value.get("name", ""), value.get("digest", "")
        return f"{name} ({digest})" if name and digest else str(name or digest)
    return "none" if value is None else str(value)


def compared(name: str, value: Any) -> str:
    """What of a condition is compared: of a data set its digest, as one set may be registered under two names."""
    if name == DATA_SET and isinstance(value, Mapping) and value.get("digest"):
        return str(value["digest"])
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def inputs_text(inputs: Mapping[str, Any]) -> str:
    """``classifier of step 300 (best weights)``, ``generated of 440 rows (its run had not finished)``; role by role."""
    return ", ".join(_input_text(role, state) for role, state in inputs.items())


def _input_text(role: str, state: Mapping[str, Any]) -> str:
    doubt = [] if state.get("finished") else ["its run had not finished"]
    if "rows" in state:
        what = f"{role} of {_counted('row')(state['rows'])}"
    else:
        what = f"{role} of step {state.get('step')}"
        chosen = {"best": "best weights", "last": "last weights"}.get(state.get("weights", ""))
        doubt = [*([chosen] if chosen else []), *doubt]
    return f"{what} ({', '.join(doubt)})" if doubt else what


def differ(name: str, values: Collection[Any]) -> bool:
    """Whether numbers with these values of a condition must not be put side by side without a warning."""
    if name == INPUTS:
        return _inputs_differ([value for value in values if isinstance(value, Mapping)])
    return len({compared(name, value) for value in values}) > 1


def _inputs_differ(values: Collection[Mapping[str, Any]]) -> bool:
    """Whether one run was read in two states, or one of two runs before it had finished, or by other weights.

    Two runs of course have other weights, of other steps: to compare them is what comparisons are for.
    """
    for role in {role for value in values for role in value}:
        states = [value[role] for value in values if role in value]
        digests: dict[Any, set[Any]] = {}
        for state in states:
            digests.setdefault(state.get("run"), set()).add(state.get("digest"))
        if any(len(found) > 1 for found in digests.values()):
            return True
        if len(digests) > 1 and len({(state.get("finished"), state.get("weights")) for state in states}) > 1:
            return True
    return False


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
    ((INPUTS,), inputs_text),
)
