"""Diffusion models from files of others: which format it is, and the denoiser that it holds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.diffusers_schedules import read_schedule, schedule_file
from difrob.diffusion.edm import EDMDenoiser
from difrob.diffusion.noise_schedules import NoiseSchedule, noise_schedule
from difrob.diffusion.parameterisations import TrainedDenoiser
from difrob.errors import UserError
from difrob.foreign import read_edm_snapshot, read_safetensors, read_torch_state
from difrob.nets.imported import load_diffusers_unet, weights_file
from difrob.nets.improved_diffusion import improved_diffusion_unet
from difrob.nets.song_unet_names import KNOWN_BY, bare_names, song_unet_of
from difrob.specs import ImportDenoiserSpec

Format = Literal["diffusers", "improved_diffusion", "edm"]

TITLES: dict[Format, str] = {
    "diffusers": "a folder of diffusers",
    "improved_diffusion": "a state dictionary of improved-diffusion or guided-diffusion",
    "edm": "a network of EDM",
}
SNAPSHOTS = (".pkl", ".pickle")
IMPROVED_BY = "input_blocks.0.0.weight"

# Under which of these names training codes keep a state dictionary beside other things; averaged weights come first.
PARTS = ("ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "net")
HASHED_BYTES = 1 << 22


@dataclass(frozen=True)
class FoundModel:
    """What a path holds.

    Attributes:
        format: where the model comes from.
        denoiser: it, in float32 on the CPU, in evaluation mode.
        files: all files that were read.
        notes: what a person should know of how they were read.
    """

    format: Format
    denoiser: TrainedDenoiser
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def read_model(path: Path, spec: ImportDenoiserSpec, image_size: int) -> FoundModel:
    """Read a diffusion model. Nothing in the files is executed, and nothing is fetched.

    Args:
        path: a file or a folder.
        spec: its format where it is named, and what the files may not tell.
        image_size: edge of the images that it is for, in pixels, where the weights do not tell.

    Raises:
        UserError: naming what is missing, damaged, of a kind that cannot be read, or no diffusion model.
    """
    if not path.exists():
        raise UserError(f"there is no file or folder '{path}'")
    if path.is_dir():
        return _from_folder(path, spec)
    if path.suffix.lower() in SNAPSHOTS:
        return _from_snapshot(path, spec)
    tensors, note = _state(path)
    found = _format_of(tensors, path)
    _require_format(spec, found, path)
    if found == "edm":
        network = song_unet_of(bare_names(tensors), null_class=spec.label_dropout > 0)
        return FoundModel("edm", EDMDenoiser(network, spec.sigma_data).eval(), (path,), note)
    schedule = noise_schedule(spec.schedule, spec.time_steps)
    unet = improved_diffusion_unet(
        tensors, f"'{path}'", image_size=image_size, heads=spec.heads, head_width=spec.head_width,
        time_scale=1000 / spec.time_steps if spec.rescaled_time else 1.0, null_class=spec.label_dropout > 0,
    )  # fmt: skip
    return FoundModel(found, DDPMDenoiser(unet, schedule).eval(), (path,), (*note, _assumed(schedule)))


def file_digests(files: tuple[Path, ...], between: Callable[[], None]) -> dict[str, str]:
    """SHA-256 of each file, by its path.

    Args:
        files: which.
        between: called between parts of a file; whatever it raises ends the reading.

    Raises:
        UserError: for a file that can no longer be read.
    """
    found = {}
    for path in files:
        digest = hashlib.sha256()
        try:
            with open(path, "rb") as file:
                while part := file.read(HASHED_BYTES):
                    digest.update(part)
                    between()
        except OSError as error:
            raise UserError(f"cannot read '{path}': {error.strerror or error}") from None
        found[str(path)] = digest.hexdigest()
    return found


def _from_folder(folder: Path, spec: ImportDenoiserSpec) -> FoundModel:
    _require_format(spec, "diffusers", folder)
    inner = folder / "unet" if (folder / "unet" / "config.json").is_file() else folder
    inner = folder if (folder / "config.json").is_file() else inner
    stated = schedule_file(folder)
    schedule = noise_schedule(spec.schedule, spec.time_steps) if stated is None else read_schedule(stated)
    network = load_diffusers_unet(folder, null_class=spec.label_dropout > 0)
    files = [inner / "config.json", weights_file(inner), *([] if stated is None else [stated])]
    notes = (_assumed(schedule),) if stated is None else ()
    return FoundModel("diffusers", DDPMDenoiser(network, schedule).eval(), tuple(files), notes)


def _from_snapshot(path: Path, spec: ImportDenoiserSpec) -> FoundModel:
    _require_format(spec, "edm", path)
    snapshot = read_edm_snapshot(path)
    if snapshot.preconditioning != "EDMPrecond":
        raise UserError(
            f"'{path}' holds a network inside '{snapshot.preconditioning}'; only networks inside 'EDMPrecond' can be imported"
        )
    if snapshot.network != "SongUNet":
        raise UserError(
            f"'{path}' holds a network '{snapshot.network}'; only 'SongUNet' (DDPM++ and NCSN++) can be imported"
        )
    dropped = snapshot.number("model.label_dropout", 0.0)
    if (dropped > 0) != (spec.label_dropout > 0) and "model.label_dropout" in snapshot.facts:
        raise UserError(
            f"'{path}' says that it was trained with label_dropout = {dropped:g}, not with {spec.label_dropout:g}; enter that"
        )
    network = song_unet_of(bare_names(snapshot.tensors), null_class=spec.label_dropout > 0)
    sigma_data = snapshot.number("sigma_data", spec.sigma_data)
    if not 0 < sigma_data < math.inf:
        raise UserError(f"'{path}' says that sigma_data is {sigma_data:g}; it must be finite and lie above 0")
    return FoundModel("edm", EDMDenoiser(network, sigma_data).eval(), (path,))


def _state(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dictionary in a file, and which part of the file it was, where it is not the whole."""
    content: dict[str, Any] = read_safetensors(path) if path.suffix == ".safetensors" else read_torch_state(path)
    if _is_state(content):
        return content, ()
    for name in PARTS:
        part = content.get(name)
        if isinstance(part, dict) and _is_state(part):
            return part, (f"the weights were taken from '{name}' in the file",)
    raise UserError(
        f"'{path}' holds no state dictionary, neither as a whole nor as one of {', '.join(PARTS)}; save that alone, with "
        "safetensors"
    )


def _is_state(content: dict[str, Any]) -> bool:
    return bool(content) and all(isinstance(name, str) and isinstance(part, Tensor) for name, part in content.items())


def _format_of(tensors: dict[str, Tensor], path: Path) -> Format:
    if any(name.endswith(KNOWN_BY) for name in tensors):
        return "edm"
    if IMPROVED_BY in tensors:
        return "improved_diffusion"
    if "conv_in.weight" in tensors:
        raise UserError(f"'{path}' holds weights of diffusers, whose settings stand beside it; give the folder instead")
    raise UserError(
        f"'{path}' holds no diffusion model that is known: neither '{IMPROVED_BY}' of improved-diffusion nor '{KNOWN_BY}' of "
        f"EDM is among its {len(tensors)} tensors"
    )


def _require_format(spec: ImportDenoiserSpec, found: Format, path: Path) -> None:
    if spec.format != "auto" and spec.format != found:
        raise UserError(f"'{path}' is {TITLES[found]}, not {TITLES[spec.format]}; choose format = '{found}' or 'auto'")


def _assumed(schedule: NoiseSchedule) -> str:
    return (
        f"the files do not tell the noise schedule: the {schedule.name} one of {len(schedule)} steps was assumed; if drawn "
        "images look wrong, set schedule and time_steps"
    )
