"""From a declaration to the runs it needs: one run for everything that arms and seeds have in common."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from difrob.errors import UserError
from difrob.runs import new_run_id
from difrob.specs import JobSpec, parse_spec, spec_class
from difrob.studies.declaration import SEED, Study, is_reference, nested


@dataclass
class Plan:
    """The runs of a study.

    Attributes:
        entries: specification of each run by run id, in an order in which every run follows those it reads.
        cells: run id by (arm, seed, stage); several cells may share a run.
    """

    entries: dict[str, JobSpec] = field(default_factory=dict)
    cells: dict[tuple[str, int, str], str] = field(default_factory=dict)

    def requests(self) -> list[dict[str, Any]]:
        """What the queue is asked to take."""
        return [{"run_id": run_id, "spec": spec.model_dump(mode="json")} for run_id, spec in self.entries.items()]


def plan_study(study: Study) -> Plan:
    """Resolve every cell of a study into runs.

    Two cells whose stage has the same specification, inputs included, share one run: a denoiser that all arms use is
    trained once per seed, an independent judge with a fixed seed once altogether.

    Raises:
        UserError: for a field or value that a stage's kind does not allow, or stages that refer to each other in a circle.
    """
    plan = Plan()
    known: dict[str, str] = {}
    for seed in study.seeds:
        for arm in study.arms:
            for outcome in study.outcomes.values():
                _resolve(study, plan, known, arm, seed, outcome.stage, ())
    return plan


def _resolve(
    study: Study, plan: Plan, known: dict[str, str], arm: str, seed: int, stage: str, above: tuple[str, ...]
) -> str:
    """The id of the run that does ``stage`` in a cell; planned now if it has not been."""
    if stage in above:
        raise UserError(
            f"study '{study.name}': the stages {' -> '.join([*above, stage])} refer to each other in a circle"
        )
    if (arm, seed, stage) in plan.cells:
        return plan.cells[arm, seed, stage]
    declared = study.stages[stage]
    values = {"seed": SEED, **declared.values(), **_changes(study, arm, stage)}
    for path, value in values.items():
        if value == SEED:
            values[path] = seed
        elif is_reference(value):
            values[path] = _resolve(study, plan, known, arm, seed, str(value)[1:], (*above, stage))
    name = f"{study.name} · {stage}"
    try:
        spec = parse_spec({"kind": declared.kind, **nested(values), "name": name})
    except UserError as error:
        raise UserError(f"study '{study.name}', arm '{arm}', stage '{stage}': {error}") from None
    key = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    if key not in known:
        known[key] = new_run_id(spec.kind, f"{study.name}-{stage}")
        title = f"{name} · {arm} · seed {seed}"
        plan.entries[known[key]] = spec.model_copy(update={"name": title[: _name_length(declared.kind)]})
    plan.cells[arm, seed, stage] = known[key]
    return known[key]


def _changes(study: Study, arm: str, stage: str) -> dict[str, Any]:
    found = ((path.partition("."), value) for path, value in study.arms[arm].changes.items())
    return {path: value for (name, _, path), value in found if name == stage}


def _name_length(kind: str) -> int:
    metadata = spec_class(kind).model_fields["name"].metadata
    return next(limit.max_length for limit in metadata if hasattr(limit, "max_length"))
