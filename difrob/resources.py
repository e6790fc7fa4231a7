"""Where presets, icons and help pages lie: inside an installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path


def resource_path(*parts: str) -> Path:
    """Path of a resource, e.g. ``resource_path("presets", "digits-denoiser.json")``; it need not exist."""
    package = Path(__file__).resolve().parent
    installed = package / "_resources"
    root = installed if installed.is_dir() else package.parent / "resources"
    return root.joinpath(*parts)
