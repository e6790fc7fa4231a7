"""A diffusion model from elsewhere as plain data: what its run must tell, beside the weights, for it to be built again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.edm import EDMDenoiser
from difrob.diffusion.noise_schedules import NoiseSchedule
from difrob.diffusion.parameterisations import TrainedDenoiser
from difrob.errors import UserError
from difrob.nets.imported import ImportedUNet, build_unet
from difrob.nets.song_unet import SongUNet
from difrob.nets.song_unet_names import empty_song_unet, options_as_json, options_from_json

MOST_STEPS = 100_000


def description_of(denoiser: TrainedDenoiser) -> dict[str, Any]:
    """Network and parameterisation as JSON data, from which :func:`described_denoiser` builds them again."""
    network = denoiser.network
    shape: dict[str, Any] = {"image_shape": list(denoiser.image_shape), "num_classes": denoiser.num_classes}
    if isinstance(network, SongUNet):
        built: dict[str, Any] = {"kind": "song_unet", "options": options_as_json(network.options)}
    elif isinstance(network, ImportedUNet):
        stated = {name: value for name, value in dict(network.unet.config).items() if not name.startswith("_")}
        settings = json.loads(json.dumps(stated))  # tuples become lists, as they do in the run
        null_class = network.num_classes > 0 and network.has_null_class
        built = {"kind": "unet2d", "settings": settings, "null_class": null_class, "time_scale": network.time_scale}
    else:
        raise TypeError(f"a {type(network).__name__} is trained here and described by its specification")
    if isinstance(denoiser, DDPMDenoiser):
        schedule = denoiser.schedule
        wrapped: dict[str, Any] = {"kind": "ddpm", "schedule": schedule.name, "betas": schedule.betas.tolist()}
    else:
        wrapped = {"kind": "edm", "sigma_data": denoiser.sigma_data}
    return {**shape, "network": built, "parameterisation": wrapped}


def described_denoiser(description: Mapping[str, Any]) -> TrainedDenoiser:
    """The denoiser of a description, without memory for its weights, in evaluation mode; weights are assigned to it.

    Raises:
        UserError: for a description that was not written by difrob, or by a newer one.
    """
    try:
        network = _network(description)
        wrapped = description["parameterisation"]
        if wrapped["kind"] == "ddpm":
            betas = wrapped["betas"]
            if not isinstance(betas, list) or not 2 <= len(betas) <= MOST_STEPS:
                raise ValueError("the schedule has no steps")
            return DDPMDenoiser(network, NoiseSchedule(str(wrapped["schedule"]), betas)).eval()
        sigma_data = float(wrapped["sigma_data"])
        if wrapped["kind"] != "edm" or not (sigma_data > 0 and math.isfinite(sigma_data)):
            raise ValueError(f"parameterisation '{wrapped['kind']}'")
        return EDMDenoiser(network, sigma_data).eval()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"the run does not describe its diffusion model as this difrob can read it: {error!r}"
        ) from None


def _network(description: Mapping[str, Any]) -> SongUNet | ImportedUNet:
    built = description["network"]
    if built["kind"] == "song_unet":
        return empty_song_unet(options_from_json(built["options"]))
    if built["kind"] != "unet2d":
        raise ValueError(f"network '{built['kind']}'")
    channels, height, width = description["image_shape"]
    unet = build_unet(built["settings"], "the run")
    return ImportedUNet(
        unet,
        (int(channels), int(height), int(width)),
        null_class=bool(built["null_class"]),
        time_scale=float(built["time_scale"]),
    )
