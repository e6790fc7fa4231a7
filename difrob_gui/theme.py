"""One theme object from which palette, style sheet, plot colours and icons come.

``apply_theme`` sets the application's look and announces it by ``theme_signals.changed``; everything that paints by itself
(charts, images, meters) listens to that signal. Widgets ask for a typographic role with :func:`set_role` and never name a
colour themselves.

Roles of labels: ``title`` (page), ``heading`` (section), ``strong``, ``muted``, ``caption``, ``mono``, ``number`` (a big
figure). Roles of frames: ``card``, ``strip`` (a bar at the edge of a page), ``separator``, ``banner-info``,
``banner-warning``, ``banner-bad``, ``banner-good``. Roles of buttons: ``primary``, ``danger``, ``quiet`` (no frame until
hovered).
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QGuiApplication, QIcon, QPalette
from PySide6.QtWidgets import QApplication, QWidget

from difrob.runs import RunState
from difrob_gui.icons import themed_icon
from difrob_gui.style_sheet import style_sheet
from difrob_gui.themes import THEMES, Theme


class ThemeSignals(QObject):
    """Announces a change of theme to whatever paints by itself."""

    changed = Signal(object)


theme_signals = ThemeSignals()
_current = THEMES["light"]


def current_theme() -> Theme:
    """The theme in force."""
    return _current


def system_theme_name() -> str:
    """``"dark"`` or ``"light"``, as the desktop asks for it; light where it says nothing."""
    scheme = QGuiApplication.styleHints().colorScheme()
    return "dark" if scheme == Qt.ColorScheme.Dark else "light"


def apply_theme(app: QApplication, theme: Theme) -> None:
    """Give the whole application the look of ``theme``: style, palette, font, style sheet, icons, plots."""
    lay_ground(app, theme)
    app.setStyleSheet(style_sheet(theme, app.font().pointSizeF()))
    theme_signals.changed.emit(theme)


def lay_ground(app: QApplication, theme: Theme) -> None:
    """Everything of a theme but its style sheet: for a window that is about to be built.

    While a style sheet is in force, Qt styles each part anew, with all that is in it, whenever it is put into a larger one.
    """
    global _current
    _current = theme
    if app.style().objectName().lower() != "fusion" and not app.styleSheet():
        app.setStyle("Fusion")
    app.setFont(_font(app.font()))
    app.setPalette(palette(theme))


def palette(theme: Theme) -> QPalette:
    """The palette of a theme, for all three colour groups."""
    result = QPalette()
    role = QPalette.ColorRole
    colours = {
        role.Window: theme.background,
        role.WindowText: theme.text,
        role.Base: theme.surface,
        role.AlternateBase: theme.mix(theme.surface, theme.raised, 0.45),
        role.Text: theme.text,
        role.Button: theme.surface,
        role.ButtonText: theme.text,
        role.BrightText: theme.bad,
        role.ToolTipBase: theme.raised,
        role.ToolTipText: theme.text,
        role.PlaceholderText: theme.text_muted,
        role.Highlight: theme.accent,
        role.HighlightedText: theme.accent_text,
        role.Accent: theme.accent,
        role.Link: theme.accent,
        role.LinkVisited: theme.mix(theme.accent, theme.text, 0.3),
        role.Light: theme.mix(theme.surface, theme.text, 0.04),
        role.Midlight: theme.mix(theme.surface, theme.border, 0.5),
        role.Mid: theme.border,
        role.Dark: theme.mix(theme.border, theme.text, 0.25),
        role.Shadow: theme.mix(theme.background, "#000000", 0.6),
    }
    for name, colour in colours.items():
        result.setColor(name, QColor(colour))
    faint = QColor(theme.mix(theme.text_muted, theme.background, 0.4))
    for name in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
        result.setColor(QPalette.ColorGroup.Disabled, name, faint)
    result.setColor(QPalette.ColorGroup.Disabled, role.Highlight, QColor(theme.border))
    result.setColor(QPalette.ColorGroup.Disabled, role.Accent, QColor(theme.border))
    return result


def set_role(widget: QWidget, role: str) -> None:
    """Give a widget one of the roles named at the top of this file."""
    if widget.property("role") == role:
        return
    widget.setProperty("role", role)
    if widget.testAttribute(Qt.WidgetAttribute.WA_WState_Polished):  # one that was not seen yet takes it when it is
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def icon(name: str, role: str = "text") -> QIcon:
    """An icon of ``resources/icons`` in a colour of the theme (``"text"``, ``"text_muted"``, ``"accent"``, ``"bad"``...).

    It recolours by itself when the theme changes, and is sharp at every scale.

    Raises:
        KeyError: when there is no icon of this name.
    """
    return themed_icon(name, lambda mode: _icon_colour(role, mode))


def state_colour(state: RunState) -> str:
    """The colour of a run's state in the theme in force; it never stands without the word or the icon."""
    return getattr(_current, _STATE_LOOK[state][1])


def state_icon(state: RunState) -> QIcon:
    """The icon of a run's state, in its colour."""
    name, role = _STATE_LOOK[state]
    return icon(name, role)


_STATE_LOOK: dict[RunState, tuple[str, str]] = {
    RunState.QUEUED: ("clock", "text_muted"),
    RunState.STARTING: ("spinner", "info"),
    RunState.RUNNING: ("play", "accent"),
    RunState.PAUSING: ("pause", "warning"),
    RunState.PAUSED: ("pause", "warning"),
    RunState.STOPPING: ("stop", "warning"),
    RunState.FINISHED: ("check", "good"),
    RunState.FAILED: ("error", "bad"),
    RunState.INTERRUPTED: ("interrupted", "warning"),
    RunState.CANCELLED: ("cancelled", "text_muted"),
}


def _icon_colour(role: str, mode: QIcon.Mode) -> str:
    theme = _current
    if mode is QIcon.Mode.Disabled:
        return theme.mix(theme.text_muted, theme.surface, 0.5)
    return getattr(theme, role)


def _font(font: QFont) -> QFont:
    """The system's font, not smaller than 10 points, with figures of equal width."""
    result = QFont(font)
    if 0 < result.pointSizeF() < 10:
        result.setPointSizeF(10)
    result.setFeature(QFont.Tag("tnum"), 1)
    return result
