"""Studies of a workspace: what was declared, when, and which run fills which cell. Written before the first run starts."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from difrob.errors import UserError
from difrob.json_files import read_json_object
from difrob.runs import Workspace
from difrob.specs import JobSpec, parse_spec
from difrob.studies.declaration import Study, parse_study
from difrob.studies.plan import Plan

VERSION = 1
MAX_RECORD_BYTES = 64 << 20  # a record holds the specification of each of its runs


@dataclass(frozen=True)
class StudyRecord:
    """One study as it was begun.

    Attributes:
        study_id: name of its record.
        study: the declaration, as it stood then.
        created: seconds since the epoch.
        digest: SHA-256 of the declaration as it was written down.
        plan: the runs.
    """

    study_id: str
    study: Study
    created: float
    digest: str
    plan: Plan


def digest_of(study: Study) -> str:
    """SHA-256 of a declaration."""
    return hashlib.sha256(json.dumps(study.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def is_unchanged(record: StudyRecord, shipped: Study) -> bool:
    """Whether a shipped declaration still says what was written down, whatever the seeds and the time it may take.

    The declarations are compared, not their digests: a later difrob may know further fields, which then have their defaults.
    """
    cosmetic = {"seeds": record.study.seeds, "minutes": record.study.minutes}
    return shipped.model_copy(update=cosmetic) == record.study


def begin(workspace: Workspace, study: Study, plan: Plan) -> StudyRecord:
    """Write the record of a study that is about to run; durable on return.

    Raises:
        UserError: when the workspace cannot be written.
    """
    now = time.time()
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    record = StudyRecord(f"{stamp}-{study.name}-{secrets.token_hex(3)}", study, now, digest_of(study), plan)
    values = {
        "version": VERSION, "study": study.model_dump(mode="json"), "created": now, "digest": record.digest,
        "runs": {run_id: spec.model_dump(mode="json") for run_id, spec in plan.entries.items()},
        "cells": [[arm, seed, stage, run_id] for (arm, seed, stage), run_id in plan.cells.items()],
    }  # fmt: skip
    folder = _folder(workspace)
    path = folder / f"{record.study_id}.json"
    partial = folder / f".{record.study_id}.partial"
    try:
        folder.mkdir(exist_ok=True)
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(values, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write the study to '{path}': {error.strerror}; free some room first") from None
    return record


def study_records(workspace: Workspace) -> list[StudyRecord]:
    """All studies of a workspace, newest first; a damaged record is left out."""
    records = []
    for path in sorted(_folder(workspace).glob("*.json"), reverse=True):
        try:
            records.append(_read(path))
        except UserError:
            continue
    return records


def find_record(workspace: Workspace, text: str) -> StudyRecord:
    """The record whose id is, begins or ends with ``text``, else the newest of the study of that name.

    Raises:
        UserError: when nothing fits, or the record cannot be read.
    """
    paths = sorted(_folder(workspace).glob("*.json"), reverse=True)
    fitting = [path for path in paths if path.stem == text or path.stem.startswith(text) or path.stem.endswith(text)]
    fitting = fitting or [path for path in paths if path.stem.split("-", 1)[-1].rsplit("-", 1)[0] == text]
    if not fitting:
        known = ", ".join(path.stem for path in paths[:5]) or "none yet; 'difrob study run NAME' begins one"
        raise UserError(f"no study '{text}' has been run in '{workspace.root}' ({known})")
    return _read(fitting[0])


def _folder(workspace: Workspace) -> Path:
    return workspace.root / "studies"


def _values(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path, MAX_RECORD_BYTES)
    except UserError as error:
        raise UserError(f"the study record '{path}' is damaged: {error}; its runs are not affected") from None


def _read(path: Path) -> StudyRecord:
    try:
        values = _values(path)
        if values["version"] > VERSION:
            raise UserError(
                f"study record '{path.name}' has version {values['version']}; this difrob reads up to {VERSION}: "
                "install a newer difrob"
            )
        entries: dict[str, JobSpec] = {run_id: parse_spec(spec) for run_id, spec in values["runs"].items()}
        cells = {(str(arm), int(seed), str(stage)): str(run_id) for arm, seed, stage, run_id in values["cells"]}
        study = parse_study(values["study"], path.stem)
        return StudyRecord(path.stem, study, float(values["created"]), str(values["digest"]), Plan(entries, cells))
    except OSError as error:
        raise UserError(
            f"the study record '{path}' cannot be read: {error.strerror}; its runs are not affected"
        ) from None
    except KeyError as error:
        raise UserError(f"the study record '{path}' is damaged: it has no {error}; its runs are not affected") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"the study record '{path}' is damaged: {error}; its runs are not affected") from None
