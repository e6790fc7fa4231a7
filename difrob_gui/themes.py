"""The colours of the window: what a theme holds, and the three that there are."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtGui import QColor

Dash = tuple[float, ...]

# Lengths of dashes and gaps in pixels; the empty pattern is a solid line.
DASHES: tuple[Dash, ...] = (
    (),
    (6.0, 3.0),
    (2.0, 2.0),
    (9.0, 3.0, 2.0, 3.0),
    (12.0, 4.0),
    (4.0, 2.0, 1.0, 2.0, 1.0, 2.0),
    (1.0, 3.0),
    (9.0, 3.0, 4.0, 3.0),
)


@dataclass(frozen=True)
class Theme:
    """All colours of the window, as ``#rrggbb``.

    ``background`` lies behind everything, ``surface`` is the ground of cards, lists and fields, ``raised`` that of headers and
    hovered things. ``series`` are eight colours that people with a colour vision deficiency can tell apart (after Okabe and
    Ito, darkened or lightened until each has a contrast of 3:1 against the plot), and ``dashes`` go with them.
    """

    name: str
    title: str
    is_dark: bool
    background: str
    surface: str
    raised: str
    border: str
    text: str
    text_muted: str
    accent: str
    accent_text: str
    good: str
    warning: str
    bad: str
    info: str
    plot_background: str
    plot_grid: str
    plot_axis: str
    series: tuple[str, ...]
    dashes: tuple[Dash, ...] = DASHES

    def series_style(self, index: int) -> tuple[str, Dash]:
        """Colour and dash of the curve number ``index``; 64 different pairs before they repeat."""
        colours, dashes = len(self.series), len(self.dashes)
        return self.series[index % colours], self.dashes[(index + index // colours) % dashes]

    def mix(self, first: str, second: str, share: float) -> str:
        """A colour between two: ``share`` = 0 is the first, 1 the second."""
        a, b = QColor(first), QColor(second)
        pairs = ((a.red(), b.red()), (a.green(), b.green()), (a.blue(), b.blue()))
        parts = ((1 - share) * x + share * y for x, y in pairs)
        return "#{:02x}{:02x}{:02x}".format(*(round(part) for part in parts))


THEMES: dict[str, Theme] = {
    "light": Theme(
        name="light",
        title="Light",
        is_dark=False,
        background="#f4f5f8",
        surface="#ffffff",
        raised="#e9ecf2",
        border="#d5dae3",
        text="#1a2230",
        text_muted="#566174",
        accent="#3157d5",
        accent_text="#ffffff",
        good="#1a7a4a",
        warning="#8f5d00",
        bad="#c0322b",
        info="#1f6aa5",
        plot_background="#ffffff",
        plot_grid="#e8ebf0",
        plot_axis="#566174",
        series=("#0067a8", "#cc5200", "#008763", "#b04a8b", "#a87300", "#2b8cc4", "#7d7300", "#454f5e"),
    ),
    "dark": Theme(
        name="dark",
        title="Dark",
        is_dark=True,
        background="#13161b",
        surface="#1b1f26",
        raised="#262c36",
        border="#343c49",
        text="#e6eaf1",
        text_muted="#9aa6b8",
        accent="#7da2ff",
        accent_text="#0d1321",
        good="#5ac98b",
        warning="#e5b454",
        bad="#ff7f76",
        info="#6fb7f2",
        plot_background="#1b1f26",
        plot_grid="#2b323d",
        plot_axis="#9aa6b8",
        series=("#4da3e8", "#ff8a4a", "#36c398", "#e48bc1", "#f0b545", "#9bd6ff", "#e9e06a", "#c8d0dc"),
    ),
    "contrast": Theme(
        name="contrast",
        title="High contrast",
        is_dark=True,
        background="#000000",
        surface="#000000",
        raised="#242424",
        border="#ffffff",
        text="#ffffff",
        text_muted="#e0e0e0",
        accent="#ffd60a",
        accent_text="#000000",
        good="#4dff9d",
        warning="#ffd60a",
        bad="#ff9a94",
        info="#7fd4ff",
        plot_background="#000000",
        plot_grid="#4a4a4a",
        plot_axis="#ffffff",
        series=("#5cc0ff", "#ff9a4d", "#3dffbf", "#ff9fdc", "#ffc933", "#c2e8ff", "#fff56b", "#ffffff"),
    ),
}
