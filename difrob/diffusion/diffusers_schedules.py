"""The noise schedule that a folder of diffusers states beside its network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from difrob.diffusion.noise_schedules import NoiseSchedule, cosine_schedule
from difrob.errors import UserError

MAX_CONFIG_BYTES = 1_000_000
MOST_STEPS = 100_000

# Those that sample, each in its way, from a network that was trained on betas.
SCHEDULERS = (
    "DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler", "DEISMultistepScheduler",
)  # fmt: skip


def schedule_file(folder: Path) -> Path | None:
    """Where the schedule of a pipeline, or of a network within one, stands; None where it does not."""
    places = [folder / "scheduler", folder]
    if folder.name == "unet":
        places.append(folder.parent / "scheduler")
    found = [place / "scheduler_config.json" for place in places]
    return next((file for file in found if file.is_file()), None)


def read_schedule(path: Path) -> NoiseSchedule:
    """The noise schedule of a ``scheduler_config.json``.

    Raises:
        UserError: for a network that predicts something else than the noise, or a schedule that is not known.
    """
    try:
        with open(path, "rb") as file:
            values = json.loads(file.read(MAX_CONFIG_BYTES + 1).decode())
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not a configuration of diffusers: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"'{path}' is not a configuration of diffusers")
    kind = values.get("_class_name")
    if kind not in SCHEDULERS:
        raise UserError(f"'{path}' describes {kind or 'no scheduler'}; one of these is needed: {', '.join(SCHEDULERS)}")
    predicted = values.get("prediction_type", "epsilon")
    if predicted != "epsilon":
        raise UserError(
            f"'{path}' says that the network predicts '{predicted}'; only networks that predict the noise ('epsilon') can be "
            "imported"
        )
    if values.get("rescale_betas_zero_snr"):
        raise UserError(f"'{path}' ends in pure noise (rescale_betas_zero_snr), where no network can predict the noise")
    try:
        return _schedule(values)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"'{path}' states no noise schedule: {error}") from None


def _schedule(values: dict[str, Any]) -> NoiseSchedule:
    if values.get("trained_betas") is not None:
        betas = [float(beta) for beta in values["trained_betas"]]
        if len(betas) > MOST_STEPS:
            raise ValueError(f"{len(betas)} trained_betas; at most {MOST_STEPS} steps can be kept")
        return NoiseSchedule("listed", betas)
    steps = values.get("num_train_timesteps", 1000)
    if not isinstance(steps, int) or not 2 <= steps <= MOST_STEPS:
        raise ValueError(f"num_train_timesteps = {steps}")
    name = values.get("beta_schedule", "linear")
    if name == "squaredcos_cap_v2":
        return cosine_schedule(steps)
    first, last = float(values.get("beta_start", 1e-4)), float(values.get("beta_end", 0.02))
    if name == "linear":
        return NoiseSchedule("linear", np.linspace(first, last, steps))
    if name == "scaled_linear":
        return NoiseSchedule("scaled linear", np.linspace(np.sqrt(first), np.sqrt(last), steps) ** 2)
    raise ValueError(f"beta_schedule = '{name}' is none of linear, scaled_linear, squaredcos_cap_v2")
