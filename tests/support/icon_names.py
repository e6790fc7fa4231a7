"""The icons that lie in the resources."""

from __future__ import annotations

from difrob.resources import resource_path


def icon_names() -> list[str]:
    """All icons there are."""
    return sorted(path.stem for path in resource_path("icons").glob("*.svg"))
