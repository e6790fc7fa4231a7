"""What a study is: stages of work, arms that differ in stated fields, seeds, outcomes, and decisions made beforehand.

A declaration is one JSON file. Stages are job specifications that name each other with ``@stage``; an arm is a set of
changed fields; ``@seed`` stands for the seed at hand. All arms share their seeds, so differences are paired.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from difrob.errors import UserError
from difrob.json_files import read_json_object
from difrob.resources import resource_path
from difrob.specs.base import Spec
from difrob.specs.presets import load_preset
from difrob.specs.words.near_names import nearest

SEED = "@seed"
MAX_BYTES = 1_000_000


class Stage(Spec):
    """One job of each cell: a kind, a preset to begin with, and fields by dotted path."""

    kind: str
    preset: str = ""
    spec: dict[str, Any] = Field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """The fields by dotted path, the preset's first."""
        base = load_preset(self.preset, self.kind).spec if self.preset else {}
        return {**flat(base), **self.spec}


class Arm(Spec):
    """A way to do it: fields of stages (``stage.field``) that differ from what the stages say.

    ``level`` is the arm's place on an axis, e.g. its number of images, for decisions about a trend.
    """

    title: str
    changes: dict[str, Any] = Field(default_factory=dict)
    level: float | None = None


class Outcome(Spec):
    """A number to compare: a result of a stage's run; ``by_arm`` names another result of it for some arms.

    The latter is for runs that measure several things alike, of which each is an arm: one run probes a diffusion model and
    two classifiers.
    """

    stage: str
    result: str
    by_arm: dict[str, str] = Field(default_factory=dict)
    better: Literal["higher", "lower", "neither"] = "neither"


class Contrast(Spec):
    """A weighted sum of the arms' outcomes within each seed, tested against zero with Student's t over the seeds.

    A difference of two arms is +1 and -1; an interaction, a slope or a curvature have weights of their own.
    """

    test: Literal["contrast"] = "contrast"
    name: str
    outcome: str
    weights: dict[str, float]
    expected: Literal["positive", "negative", "either"]
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    primary: bool = False


class Trend(Spec):
    """The rank correlation, within each seed over the arms, of an outcome with the arms' levels or with another outcome.

    The p-value comes from permuting the arms within each seed.
    """

    test: Literal["trend"] = "trend"
    name: str
    outcome: str
    along: str = "level"
    expected: Literal["positive", "negative", "either"]
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    primary: bool = False


Decision = Annotated[Contrast | Trend, Field(discriminator="test")]


class Study(Spec):
    """A whole comparison, as it stands in its file."""

    name: str
    title: str
    claim: str
    source: str = ""
    minutes: float | None = None
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1, max_length=1000)
    stages: dict[str, Stage] = Field(min_length=1)
    arms: dict[str, Arm] = Field(min_length=1)
    outcomes: dict[str, Outcome] = Field(min_length=1)
    decisions: tuple[Decision, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> Study:
        for arm_name, arm in self.arms.items():
            for path in arm.changes:
                if path.partition(".")[0] not in self.stages:
                    raise ValueError(f"arm '{arm_name}' changes '{path}', but there is no such stage")
        for stage_name, stage in self.stages.items():
            for path, value in stage.spec.items():
                if is_reference(value) and value[1:] not in self.stages:
                    raise ValueError(f"stage '{stage_name}' sets {path} to '{value}', but there is no such stage")
        for name, outcome in self.outcomes.items():
            if outcome.stage not in self.stages:
                raise ValueError(f"outcome '{name}' is of stage '{outcome.stage}', which does not exist")
            if unknown := set(outcome.by_arm) - set(self.arms):
                raise ValueError(f"outcome '{name}' names a result for '{unknown.pop()}', which is no arm")
        for decision in self.decisions:
            self._check_decision(decision)
        return self

    def _check_decision(self, decision: Contrast | Trend) -> None:
        if decision.outcome not in self.outcomes:
            raise ValueError(f"decision '{decision.name}' is about '{decision.outcome}', which is no outcome")
        if isinstance(decision, Contrast):
            if unknown := set(decision.weights) - set(self.arms):
                raise ValueError(f"decision '{decision.name}' weighs '{unknown.pop()}', which is no arm")
            if not any(decision.weights.values()):
                raise ValueError(f"decision '{decision.name}' weighs nothing")
        elif decision.along != "level":
            if decision.along not in self.outcomes:
                raise ValueError(f"decision '{decision.name}' goes along '{decision.along}', which is no outcome")
        elif any(arm.level is None for arm in self.arms.values()):
            raise ValueError(f"decision '{decision.name}' goes along the level of the arms, but not every arm has one")


def is_reference(value: Any) -> bool:
    """Whether a value names another stage."""
    return isinstance(value, str) and value.startswith("@") and value != SEED


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by dotted path."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`flat`."""
    result: dict[str, Any] = {}
    for path, value in values.items():
        place = result
        *groups, leaf = path.split(".")
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = value
    return result


def read_study(path: Path) -> Study:
    """A declaration from its file; the file's name is the study's name.

    Raises:
        UserError: for a missing, too large or malformed file, naming what is wrong.
    """
    try:
        values = read_json_object(path, MAX_BYTES)
    except OSError as error:
        raise UserError(f"cannot read study '{path}': {error.strerror}") from None
    except UserError as error:
        raise UserError(f"'{path}' is not a study: {error}") from None
    return parse_study({**values, "name": path.stem}, str(path))


def parse_study(values: dict[str, Any], where: str) -> Study:
    """A declaration from plain data. Raises UserError naming the field that is wrong."""
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"study '{where}': {place + ': ' if place else ''}{first['msg']}") from None


def shipped_studies() -> list[Study]:
    """The studies that come with difrob, by name."""
    return [read_study(path) for path in sorted(resource_path("studies").glob("*.json"))]


def find_study(name: str) -> Study:
    """A shipped study by name, or one from the path of a JSON file.

    Raises:
        UserError: for an unknown name, with the nearest known one.
    """
    if name.endswith(".json"):
        return read_study(Path(name))
    path = resource_path("studies") / f"{name}.json"
    known = [each.stem for each in sorted(resource_path("studies").glob("*.json"))]
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean '{near}'?" if near else f"known studies: {', '.join(known)}"
        raise UserError(f"there is no study '{name}'; {hint}")
    return read_study(path)
