"""What the window remembers between sessions: geometry, page, chosen runs, theme. Nothing here belongs to a run."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings

THEME_CHOICES = {
    "system": "Follow the system",
    "light": "Light",
    "dark": "Dark",
    "contrast": "High contrast",
}


class WindowSettings:
    """An ini file in the workspace; unreadable or foreign values count as absent."""

    def __init__(self, path: Path | str) -> None:
        """Open (or begin) the ini file at ``path``."""
        self._store = QSettings(str(path), QSettings.Format.IniFormat)

    @classmethod
    def of_workspace(cls, root: Path) -> WindowSettings:
        """The settings of the window on this workspace."""
        return cls(root / "window.ini")

    def text(self, key: str, default: str = "") -> str:
        """A stored text."""
        value = self._store.value(key, default)
        return value if isinstance(value, str) else default

    def texts(self, key: str) -> list[str]:
        """A stored list of texts."""
        value = self._store.value(key, [])
        if isinstance(value, str):
            return [value] if value else []
        return [str(item) for item in value] if isinstance(value, (list, tuple)) else []

    def flag(self, key: str, default: bool) -> bool:
        """A stored yes or no."""
        value = self._store.value(key, default)
        return value if isinstance(value, bool) else str(value).lower() in ("true", "1")

    def data(self, key: str) -> QByteArray | None:
        """Stored bytes, e.g. the geometry of a window."""
        value = self._store.value(key)
        return value if isinstance(value, QByteArray) and not value.isEmpty() else None

    def put(self, key: str, value: str | bool | list[str] | QByteArray) -> None:
        """Remember a value."""
        self._store.setValue(key, value)

    @property
    def theme(self) -> str:
        """The chosen theme, one of :data:`THEME_CHOICES`."""
        chosen = self.text("theme", "system")
        return chosen if chosen in THEME_CHOICES else "system"

    @theme.setter
    def theme(self, name: str) -> None:
        self.put("theme", name)

    def save(self) -> None:
        """Write the file now."""
        self._store.sync()
