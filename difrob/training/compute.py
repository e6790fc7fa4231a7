"""How a network computes during training: half precision, memory layout, compilation. None of it changes its weights' names.

Whatever a device or an installation cannot do is left out, and said.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from difrob.specs.parts import ComputeSpec

Tell = Callable[[str], None]
Autocast = Callable[[], AbstractContextManager[Any]]


class Compute:
    """The settings of a run, as far as its device can follow them.

    Args:
        spec: what is asked for.
        device: where it computes.
        tell: told, in a sentence, what is left out.

    Attributes:
        uncompiled: while true, a compiled network computes without its compiled form. For a step that is unlike all later
            ones, of which every form would be compiled for this once.
    """

    def __init__(self, spec: ComputeSpec, device: torch.device, tell: Tell) -> None:
        self._spec = spec
        self._device = device
        self._tell = tell
        self.uncompiled = False
        self._half = spec.precision == "bfloat16" and self._knows_bfloat16()

    def lay_out(self, network: nn.Module) -> None:
        """Give a network its memory layout, in place, before anybody copies it."""
        if self._spec.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of every forward pass of training."""
        if self._half:
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return nullcontext()

    def logits_of(self, classifier: nn.Module) -> nn.Module:
        """The classifier as an objective should see it: its passes in half precision where asked for, its logits in float32.

        Losses, and the gradients that an attack takes the signs of, are worked out from full numbers.
        """
        return HalfPass(classifier, self) if self._half else classifier

    def compile(self, network: nn.Module, method: str = "forward") -> None:
        """Have a method of a network compiled at its first call, if that is asked for; when it fails, go on without.

        Args:
            network: whose method is replaced by its compiled form, in place.
            method: for a classifier ``features``, through which all of its passes go.
        """
        if not self._spec.compile:
            return
        plain = getattr(network, method)
        compiled = torch.compile(plain)
        state = {"works": True}

        def compiled_or_plain(*args: Any, **kwargs: Any) -> Any:
            if state["works"] and not self.uncompiled:
                try:
                    return compiled(*args, **kwargs)
                except Exception as error:
                    if not _is_compiler_error(error):
                        raise
                    state["works"] = False
                    reason = (str(error).splitlines() or [type(error).__name__])[0]
                    self._tell(f"torch.compile failed ({reason}); going on without it")
            return plain(*args, **kwargs)

        setattr(network, method, compiled_or_plain)

    def _knows_bfloat16(self) -> bool:
        if self._device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
            return True
        if self._device.type == "cpu":
            return True
        self._tell(f"'{self._device.type}' has no bfloat16 here; computing in float32")
        return False


class HalfPass(nn.Module):
    """A network whose forward passes run under autocast and answer in float32; mode and weights are those of the network."""

    def __init__(self, network: nn.Module, compute: Compute) -> None:
        super().__init__()
        self.network = network
        self._compute = compute

    def forward(self, x: Tensor) -> Tensor:
        """What the network answers, float32."""
        with self._compute.autocast():
            answer: Tensor = self.network(x)
        return answer.float()


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """To the device; from pinned memory a GPU fetches it without the host waiting for queued work."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _is_compiler_error(error: Exception) -> bool:
    module = type(error).__module__
    return module.startswith(("torch._dynamo", "torch._inductor", "triton"))
