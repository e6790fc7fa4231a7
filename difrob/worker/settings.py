"""What a person may set for the whole queue: checked, kept on disk, sent to clients under the names of ``QueueState``."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from difrob.errors import UserError
from difrob.worker.messages import Message

Policy = Literal["skip_dependants", "stop", "go_on"]
POLICIES: tuple[str, ...] = get_args(Policy)
MAX_CPU_LANES = 64

_RULES = {
    "paused": "true or false",
    "on_failure": f"one of {', '.join(POLICIES)}",
    "cpu_lanes": f"a whole number from 1 to {MAX_CPU_LANES}",
    "stuck_minutes": "a number of minutes above 0, or nothing for never",
}


class Settings(Message):
    """Settings of the queue.

    Attributes:
        paused: start nothing new.
        on_failure: what happens after a run has failed.
        cpu_lanes: so many runs may use the CPU at once.
        stuck_minutes: a run that has been stuck for so long is stopped; None for never.
    """

    paused: bool = Field(default=False, strict=True)
    on_failure: Policy = "skip_dependants"
    cpu_lanes: int = Field(default=1, ge=1, le=MAX_CPU_LANES, strict=True)
    stuck_minutes: float | None = Field(default=30.0, gt=0, allow_inf_nan=False)

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Settings:
        """Settings out of what was stored; a value that makes no sense (from a newer difrob, say) gives its default."""
        settings = cls()
        for name in cls.model_fields.keys() & stored.keys():
            try:
                settings = settings.with_value(name, stored[name])
            except UserError:
                continue
        return settings

    def with_value(self, name: str, value: Any) -> Settings:
        """These settings with another value of one of them. Raises UserError for a value that it cannot have."""
        try:
            return Settings.model_validate({**self.model_dump(), name: value})
        except ValidationError:
            raise UserError(f"'{name}' = {value!r} does not work; it must be {_RULES[name]}") from None

    def order(self, name: str) -> str:
        """What setting one of them to its value is called: ``pause the queue``."""
        match name:
            case "paused":
                return "pause the queue" if self.paused else "let the queue go on"
            case "on_failure":
                return f"set the policy to {self.on_failure}"
            case "cpu_lanes":
                return f"set the CPU lanes to {self.cpu_lanes}"
        limit = "never" if self.stuck_minutes is None else f"{self.stuck_minutes:g} min"
        return f"set the limit for stuck runs to {limit}"

    @property
    def stuck_seconds(self) -> float:
        """After so long a stuck run is stopped; infinite for never."""
        return math.inf if self.stuck_minutes is None else 60 * self.stuck_minutes
