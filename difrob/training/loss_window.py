"""Losses of the steps since the last point of the curves, kept on the device until they are wanted.

Reading a number back stalls a GPU until all queued work is done. So steps only add to tensors here, and one read per
point fetches everything: the mean loss, its parts by noise level, and whether any step went wrong.
"""

from __future__ import annotations

import torch
from torch import Tensor

from difrob.training.divergence import LastFinite

BANDS = ("low", "mid", "high")


class LossWindow:
    """Accumulates up to ``length`` steps.

    Args:
        length: largest number of steps between two reads.
        band_ends: the two noise levels between the three bands.
        device: where the losses are.
    """

    def __init__(self, length: int, band_ends: tuple[float, float], device: torch.device) -> None:
        self.band_ends = band_ends
        self._ends = torch.tensor(self.band_ends, device=device)
        self._numbers = torch.arange(len(BANDS), device=device)
        self._steps = torch.zeros(2, length, device=device)  # mean loss and gradient norm of each step
        self._penalty = torch.zeros(2, device=device)  # sum of mean penalties, and number of steps that had one
        self._bands = torch.zeros(2, len(BANDS), device=device)  # sum of losses and number of images per band
        self.count = 0
        self._last = LastFinite()

    def add(self, losses: Tensor, sigma: Tensor, gradient_norm: Tensor, penalty: Tensor | None = None) -> None:
        """Take one step: loss and noise level of each image, [B], gradient norm before clipping, mean penalty if any."""
        self._steps[0, self.count] = losses.mean()
        self._steps[1, self.count] = gradient_norm
        band = torch.bucketize(sigma, self._ends)
        members = (band[:, None] == self._numbers).to(losses.dtype)
        self._bands[0] += losses @ members
        self._bands[1] += members.sum(dim=0)
        if penalty is not None:
            self._penalty[0] += penalty
            self._penalty[1] += 1
        self.count += 1

    def check(self, last_step: int, rate: float) -> None:
        """Refuse to go on after a loss or a gradient that is not a number; waits for the device.

        Args:
            last_step: number of the newest step added.
            rate: the learning rate there.

        Raises:
            NotFinite: naming the first bad step, the learning rate and the last finite numbers.
        """
        losses, norms = self._steps[:, : self.count].tolist()
        for place, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
            self._last.check(last_step - self.count + 1 + place, rate, loss, norm)

    def read(self) -> dict[str, float]:
        """Means over the window by metric name, and start a new one; waits for the device.

        A band that no image fell into is left out.
        """
        loss, norm = self._steps[:, : self.count].cpu().double().mean(dim=1).tolist()
        sums, numbers = self._bands.tolist()
        penalty, penalised = self._penalty.tolist()
        means = {"loss": loss, "gradient_norm": norm}
        means |= {f"loss/sigma_{band}": s / n for band, s, n in zip(BANDS, sums, numbers, strict=True) if n > 0}
        if penalised:
            means["loss/penalty"] = penalty / penalised
        for tensor in (self._steps, self._bands, self._penalty):
            tensor.zero_()
        self.count = 0
        return means

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint between two points, so that a resumed run draws the same curve."""
        return {"steps": self._steps, "bands": self._bands, "penalty": self._penalty}

    def counters(self) -> dict[str, float | int | None]:
        """What else the checkpoint must hold, as plain JSON data."""
        return {"count": self.count, "last_finite": self._last.loss, "last_gradient_norm": self._last.gradient_norm}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, float | int | None]) -> None:
        """Go on from :meth:`state_dict` and :meth:`counters`."""
        self._steps.copy_(tensors["steps"])
        self._bands.copy_(tensors["bands"])
        if "penalty" in tensors:  # not in checkpoints from before there were penalties
            self._penalty.copy_(tensors["penalty"])
        self.count = int(counters["count"] or 0)
        self._last = LastFinite(counters["last_finite"], counters.get("last_gradient_norm"))
