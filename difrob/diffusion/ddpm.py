"""The noise-predicting parameterisation of a denoiser, and the weight of its training (Ho et al. 2020, section 3).

The network e sees the variance-preserving state x_t = v / sqrt(1 + sigma^2) and predicts the noise in it, so that
D(v; sigma) = v - sigma e. In the terms of EDM: c_skip = 1, c_out = -sigma, c_in = 1 / sqrt(1 + sigma^2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from difrob.diffusion.denoiser import class_labels, network_type
from difrob.diffusion.noise_schedules import NoiseSchedule
from difrob.nets.denoisers import DenoiserNetwork


class DDPMDenoiser(nn.Module):
    """A noise-predicting network on a discrete schedule; implements :class:`difrob.diffusion.denoiser.Denoiser`.

    Between two time steps the network is asked at a time interpolated in ln(sigma), or, with ``whole_steps``, at the
    nearest step in ln(sigma); at the schedule's own levels both are that step. The state is scaled by the true sigma
    either way. Outside the schedule the network is asked at the schedule's end: below sigma_0 that is harmless, since
    D tends to v as sigma falls to 0; above sigma_{T-1} it is a guess, which samplers and one-shot denoising refuse by
    ``sigma_max`` (here it would have to be read back from the device).

    Args:
        network: predicts the noise; further output channels (a learned variance, Nichol & Dhariwal 2021) are cut off.
            It is given ln(sigma)/4 like the network of an EDM, or the time step where its attribute
            ``takes_time_steps`` is true.
        schedule: the schedule it was, or is being, trained on.
        whole_steps: ask at whole time steps only.
    """

    def __init__(self, network: DenoiserNetwork, schedule: NoiseSchedule, *, whole_steps: bool = False) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.whole_steps = whole_steps
        self.num_classes = network.num_classes
        self.image_shape = network.image_shape
        self.has_null_class = bool(getattr(network, "has_null_class", True))
        self.sigma_max = schedule.sigma_max

    def denoise(self, v: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`difrob.diffusion.denoiser.Denoiser.denoise`.

        Raises:
            ValueError: for labels when the network knows no classes.
            UserError: without labels when the network has no null class.
        """
        return v - sigma.to(v.dtype).reshape(-1, 1, 1, 1) * self.predict_noise(v, sigma, labels)

    forward = denoise

    def predict_noise(self, v: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """The noise e in v = u + sigma n, [B,C,H,W] of v's type; the network runs in the type of its weights."""
        labels = class_labels(self.network, v, labels)
        scale = (1 + sigma.to(v.dtype).reshape(-1, 1, 1, 1) ** 2).rsqrt()
        x, condition = scale * v, self._condition(sigma)
        wanted = network_type(self.network)
        raw = self.network(x.to(wanted), condition.to(wanted), labels)
        return raw[:, : v.shape[1]].to(v.dtype)

    def _condition(self, sigma: Tensor) -> Tensor:
        """What tells the network the noise level, [B]: a time step, or ln(sigma)/4 of that time step."""
        if getattr(self.network, "takes_time_steps", False):
            time = self.schedule.time_of(sigma)
            return time.round() if self.whole_steps else time
        table = self.schedule.log_sigmas(sigma.device)
        if self.whole_steps:
            return table[self.schedule.time_of(sigma).round().long()] / 4
        return sigma.to(table.dtype).clamp(self.schedule.sigma_min, self.schedule.sigma_max).log() / 4


def draw_step_sigma(count: int, schedule: NoiseSchedule, generator: torch.Generator) -> Tensor:
    """Noise levels of training: sigma_t for t uniform on 0..T-1, float32 [count] on the CPU."""
    steps = torch.randint(len(schedule), (count,), generator=generator)
    return torch.from_numpy(schedule.sigmas)[steps].float()


def noise_weight(sigma: Tensor) -> Tensor:
    """The weight 1 / sigma^2 of the squared error of D that makes it the error |e - n|^2 of the predicted noise, [B].

    Since D - u = sigma (n - e) (Ho et al. 2020, equation 14). EDM's weight is 1 / sigma^2 + 1 / sigma_data^2: the same at
    small noise, larger from sigma_data on.
    """
    return sigma**-2
