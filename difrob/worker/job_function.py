"""The function of a kind of job, imported where it is run and nowhere else."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import Any

from difrob.errors import UserError
from difrob.runs.interface import Recorder
from difrob.specs import JobSpec

Job = Callable[[Any, Recorder, Any], None]  # (specification, recorder, torch device)


def job_function(spec: JobSpec) -> Job:
    """The function that a specification names.

    Raises:
        UserError: when it cannot be imported, naming it.
    """
    try:
        function: Job = pkgutil.resolve_name(spec.job)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"the function '{spec.job}' of kind '{spec.kind}' cannot be imported: {error}") from error
    return function
