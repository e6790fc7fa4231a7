"""Whether runs may be compared, in what their specifications differ, and which numbers they share. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from difrob.errors import UserError
from difrob.quantities import quantity_of
from difrob.quantities.conditions import INPUTS, STATED_LATER, condition_text, condition_title, differ
from difrob.quantities.features import FEATURES_IN_TRAINING
from difrob.runs import Measure, RunSummary
from difrob.specs import KINDS, conditions_of, face_of, parse_spec
from difrob.words import kind_word

MISSING = "–"


@dataclass(frozen=True)
class Difference:
    """One field of the specifications; ``values`` in the order of the runs, :data:`MISSING` where a run has no such field."""

    path: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether any two runs that have the field differ in it; runs of another kind have no say."""
        return len(set(self.values) - {MISSING}) > 1


@dataclass(frozen=True)
class Unlike:
    """A condition of measurement in which runs of one kind differ: ``values`` maps run ids to what they have.

    ``concerns`` names the numbers that it matters for, where these are not all.
    """

    kind: str
    path: str
    title: str
    values: dict[str, str]
    concerns: str = ""

    @property
    def sentence(self) -> str:
        """``eps (0.1 · 0.15)``."""
        return f"{self.title} ({' · '.join(dict.fromkeys(self.values.values()))})"


@dataclass(frozen=True)
class ResultRow:
    """One result of several runs; ``best`` holds the runs with the best value, and those that cannot be told from it."""

    name: str
    unit: str
    measures: dict[str, Measure]
    best: frozenset[str]
    tied: frozenset[str]


def flatten(spec: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested fields as ``{"attack.eps": "0.15"}``, in order."""
    result: dict[str, str] = {}
    for name, value in spec.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            result.update(flatten(value, f"{path}."))
        else:
            result[path] = spec_text(value)
    return result


def spec_text(value: Any) -> str:
    """A value of a specification as people write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(spec_text(item) for item in value) if value else "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {spec_text(item)}" for name, item in value.items()) if value else "none"
    return str(value)


def completed(spec: dict[str, Any]) -> dict[str, Any]:
    """A specification with the defaults of the fields that it leaves out, so that an old record compares with a new one."""
    try:
        return parse_spec(spec).model_dump(mode="json")
    except UserError:
        return spec


def spec_differences(specs: Sequence[dict[str, Any]], *, skip: Iterable[str] = ("name", "version")) -> list[Difference]:
    """All fields of the specifications by dotted path, in the order of their first appearance."""
    flat = [flatten(completed(spec)) for spec in specs]
    paths = dict.fromkeys(path for fields in flat for path in fields)
    left_out = set(skip)
    return [
        Difference(path, tuple(fields.get(path, MISSING) for fields in flat)) for path in paths if path not in left_out
    ]


def unlike_conditions(runs: Sequence[RunSummary]) -> list[Unlike]:
    """Conditions of measurement in which runs of the same kind differ; empty when like is compared with like."""
    result = []
    for kind in dict.fromkeys(run.kind for run in runs):
        alike = [run for run in runs if run.kind == kind]
        if len(alike) < 2 or kind not in KINDS:
            continue
        flat = {run.run_id: flatten(completed(run.spec)) for run in alike}
        for path, info in conditions_of(KINDS[kind]).items():
            values = {run_id: _condition(path, info, fields) for run_id, fields in flat.items()}
            if len(set(values.values())) > 1:
                result.append(Unlike(kind, path, str(face_of(info)["condition"]), values))
    for kind in dict.fromkeys(run.kind for run in runs):
        # What a specification tells need not be told again from the results.
        told = {(item.kind, item.title) for item in result}
        found = _unlike_results(kind, [run for run in runs if run.kind == kind])
        result += [item for item in found if (kind, item.title) not in told or item.concerns]
        result += _silent_about_features(kind, [run for run in runs if run.kind == kind])
    return result


def warning_text(unlike: Sequence[Unlike]) -> str:
    """In what runs differ and what follows from it, first of all numbers, then of some; empty where all is alike."""
    sentences = []
    for concerns in sorted({item.concerns for item in unlike}):
        concerned = [item for item in unlike if item.concerns == concerns]
        for kind in dict.fromkeys(item.kind for item in concerned):
            fields = "; ".join(item.sentence for item in concerned if item.kind == kind)
            sentences.append(f"{kind_word(kind)} runs differ in {fields}.")
        sentences.append(f"Their {concerns or 'numbers'} do not compare.")
    return " ".join(sentences)


def result_rows(runs: Sequence[RunSummary]) -> list[ResultRow]:
    """The final numbers of the runs side by side.

    Nothing is called best among runs that were measured under unlike conditions, nor where a single run has the number.
    A run is *tied* when its interval overlaps that of the best.
    """
    names = dict.fromkeys(name for run in runs for name in run.results)
    rows = []
    for name in names:
        measures = {run.run_id: run.results[name] for run in runs if name in run.results}
        having = [run for run in runs if run.run_id in measures]
        best: frozenset[str] = frozenset()
        tied: frozenset[str] = frozenset()
        if len(having) > 1 and len({run.kind for run in having}) == 1 and _are_alike(having, name):
            best, tied = _best(name, measures)
        unit = next(iter(measures.values())).unit
        rows.append(ResultRow(name, unit, measures, best, tied))
    return rows


def shared_names(names_by_run: Sequence[Iterable[str]]) -> list[str]:
    """Names that at least two runs have (or the only run), those of most runs first; ties in order of appearance."""
    counts: dict[str, int] = {}
    for names in names_by_run:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    least = 2 if len(names_by_run) > 1 else 1
    return sorted((name for name, count in counts.items() if count >= least), key=lambda name: -counts[name])


def without(label: str, have: Sequence[bool], titles: Sequence[str]) -> str:
    """Which runs have nothing to show under ``label``; empty when all have it."""
    absent = [title for has, title in zip(have, titles, strict=True) if not has]
    return f"{label} was not recorded by {', '.join(absent)}." if absent else ""


def _unlike_results(kind: str, runs: Sequence[RunSummary]) -> list[Unlike]:
    """What the results of these runs state differently: sizes of sets, features, classifiers.

    A specification does not tell them: "all images" are as many as there are, and a run's features change with its weights.
    Numbers that rest on their sample size and state nothing, from before they did, must at least have equal ones.
    """
    found: dict[str, Unlike] = {}
    fields = conditions_of(KINDS[kind]).values() if kind in KINDS else ()
    told_by_spec = {face_of(info)["condition"] for info in fields}
    for name in dict.fromkeys(name for run in runs for name in run.results):
        having = {run.run_id: run.results[name] for run in runs if name in run.results}
        quantity = quantity_of(name)
        stated = {run_id: dict(measure.conditions) for run_id, measure in having.items()}
        if quantity.needs_equal_n and not any(conditions.keys() - {INPUTS} for conditions in stated.values()):
            stated = {run_id: {"images": having[run_id].n, **conditions} for run_id, conditions in stated.items()}
        for condition in dict.fromkeys(condition for conditions in stated.values() for condition in conditions):
            values = {run_id: conditions.get(condition) for run_id, conditions in stated.items()}
            if condition in STATED_LATER or condition_title(condition) in told_by_spec:
                values = {run_id: value for run_id, value in values.items() if value is not None}
            if differ(condition, values.values()):
                title = condition_title(condition)
                said = {run_id: MISSING if value is None else condition_text(value) for run_id, value in values.items()}
                unlike = Unlike(kind, f"results.{name}.{title}", title, said, quantity.concerns)
                found.setdefault(f"{unlike.concerns}{title}", unlike)
    return list(found.values())


def _silent_about_features(kind: str, runs: Sequence[RunSummary]) -> list[Unlike]:
    """Trainings of before conditions were stated, beside others: they measured features in another way."""
    values = {run.run_id: "stated" for run in runs if _states_features(run)}
    for run in runs:
        spec = completed(run.spec)
        if run.run_id not in values and spec.get("measure_features") and run.progress.done > spec["validate_every"]:
            values[run.run_id] = "not stated"
    if len(set(values.values())) < 2:
        return []
    return [Unlike(kind, "results.features", "conditions of features", values, FEATURES_IN_TRAINING)]


def _states_features(run: RunSummary) -> bool:
    """Whether a training says under which conditions its features were measured."""
    return any(
        quantity_of(name).concerns == FEATURES_IN_TRAINING and measure.conditions
        for name, measure in run.results.items()
    )


def _are_alike(runs: Sequence[RunSummary], name: str) -> bool:
    """Whether nothing differs that matters for this result."""
    own = quantity_of(name).concerns
    return all(item.concerns and item.concerns != own for item in unlike_conditions(runs))


def _condition(path: str, info: FieldInfo, fields: dict[str, str]) -> str:
    """What a specification says of a condition; of an empty field what that means."""
    value = fields.get(path, MISSING)
    return str(face_of(info)["empty_means"] or value) if value == "none" else value


def _best(name: str, measures: dict[str, Measure]) -> tuple[frozenset[str], frozenset[str]]:
    finite = {run_id: m for run_id, m in measures.items() if m.value == m.value}
    quantities = [quantity_of(name, measure) for measure in finite.values()]
    signs = {quantity.better.sign for quantity in quantities if not quantity.is_check}
    if len(finite) < 2 or len(signs) != 1 or 0 in signs:
        return frozenset(), frozenset()
    sign = signs.pop()
    top = max(sign * m.value for m in finite.values())
    best = frozenset(run_id for run_id, m in finite.items() if sign * m.value == top)
    if len(best) == len(finite):
        return frozenset(), frozenset()
    tied = frozenset(
        run_id
        for run_id, m in finite.items()
        if run_id not in best and any(_overlap(m, finite[winner]) for winner in best)
    )
    return best, tied


def _overlap(first: Measure, second: Measure) -> bool:
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return False
    return first.low <= second.high and second.low <= first.high
