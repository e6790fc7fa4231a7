"""Load of the machine, read by the supervisor and shown by the window."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from difrob.worker.messages import GpuMeter, Meters


class MachineMeters:
    """Reads CPU, memory, disk and NVIDIA GPUs. Without a driver the list of GPUs is empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nvml, self._handles = _open_nvml()
        psutil.cpu_percent(None)  # the first reading is meaningless; the next one covers the time since

    @property
    def gpu_count(self) -> int:
        """NVIDIA devices that the driver knows."""
        return len(self._handles)

    def read(self) -> Meters:
        """One reading; takes about a millisecond."""
        memory = psutil.virtual_memory()
        return Meters(
            time=time.time(),
            cpu=psutil.cpu_percent(None) / 100,
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_free=shutil.disk_usage(self._folder).free,
            gpus=[self._read_gpu(handle) for handle in self._handles],
        )

    def _read_gpu(self, handle: Any) -> GpuMeter:
        nvml = self._nvml
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        temperature = power = None
        with suppress(nvml.NVMLError):
            temperature = float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        with suppress(nvml.NVMLError):
            power = nvml.nvmlDeviceGetPowerUsage(handle) / 1000
        load = 0.0
        with suppress(nvml.NVMLError):
            load = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        name = nvml.nvmlDeviceGetName(handle)
        return GpuMeter(
            name=name if isinstance(name, str) else name.decode(), load=load, memory_used=int(memory.used),
            memory_total=int(memory.total), temperature=temperature, power=power,
        )  # fmt: skip


def _open_nvml() -> tuple[Any, list[Any]]:
    try:
        import pynvml

        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        return pynvml, [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    except Exception:  # no package, no driver, no device: each of these means that there is nothing to read
        return None, []
