"""Themes: contrast, colour vision, palette, icons, style sheet."""

from __future__ import annotations

import gc
import itertools
import re
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QAction, QColor, QIcon, QPalette
from PySide6.QtWidgets import QApplication, QLabel
from support.icon_names import icon_names

from difrob.resources import resource_path
from difrob.runs import RunState
from difrob_gui import theme as theme_in_force
from difrob_gui.style_sheet import style_sheet
from difrob_gui.theme import apply_theme, current_theme, icon, set_role, state_colour, state_icon
from difrob_gui.themes import THEMES, Theme

COLOURS = [
    name for name, kind in Theme.__annotations__.items() if kind == "str" and name not in ("name", "title")
]  # fmt: skip

# Linear maps of linear RGB that show what people with a full deficiency see (Machado, Oliveira and Fernandes 2009).
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


@pytest.fixture(autouse=True)
def light_afterwards(qapp):
    yield
    apply_theme(qapp, THEMES["light"])


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(first: str, second: str) -> float:
    """Contrast ratio of WCAG 2."""
    a, b = (float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (first, second))
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 1e-6))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("name", THEMES)
def test_every_colour_is_a_colour(name: str) -> None:
    theme = THEMES[name]
    for field in COLOURS:
        assert re.fullmatch(r"#[0-9a-f]{6}", getattr(theme, field)), field
    assert len(theme.series) == 8 and len(set(theme.series)) == 8
    assert len(theme.dashes) == 8 and len(set(theme.dashes)) == 8
    assert theme.name == name


@pytest.mark.parametrize("name", THEMES)
def test_text_can_be_read(name: str) -> None:
    """WCAG AA: 4.5 for text, 3 for lines and signs; AAA (7) in high contrast."""
    theme = THEMES[name]
    least = 7.0 if name == "contrast" else 4.5
    for ground in (theme.background, theme.surface, theme.raised):
        assert contrast(theme.text, ground) >= 7
        assert contrast(theme.text_muted, ground) >= least
    assert contrast(theme.accent_text, theme.accent) >= least
    for sign in (theme.accent, theme.good, theme.warning, theme.bad, theme.info):
        assert contrast(sign, theme.surface) >= least
        banner = theme.mix(theme.surface, sign, 0.14)
        assert contrast(theme.text, banner) >= 7
    assert contrast(theme.plot_axis, theme.plot_background) >= 4.5
    for colour in theme.series:
        assert contrast(colour, theme.plot_background) >= 3


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_neighbouring_curves_differ_for_every_colour_vision(name: str, deficiency: str) -> None:
    """Any two of the first four colours differ clearly; where later ones come close, their dashes differ anyway."""
    matrix = np.array(DEFICIENCIES[deficiency])
    seen = [lab(matrix @ linear(colour)) for colour in THEMES[name].series[:4]]
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(a - b) > 10


@pytest.mark.parametrize("name", THEMES)
def test_sixty_four_curves_have_sixty_four_looks(name: str) -> None:
    looks = {THEMES[name].series_style(index) for index in range(64)}
    assert len(looks) == 64
    assert THEMES[name].series_style(0)[1] == (), "the first curve is solid"


def test_applying_a_theme_changes_palette_and_tells(qapp, qtbot) -> None:
    for name in ("dark", "contrast", "light"):
        with qtbot.waitSignal(theme_in_force.theme_signals.changed) as told:
            apply_theme(qapp, THEMES[name])
        assert told.args == [THEMES[name]]
        assert current_theme() is THEMES[name]
        assert qapp.palette().color(QPalette.ColorRole.Window).name() == THEMES[name].background
        assert qapp.palette().color(QPalette.ColorRole.Text).name() == THEMES[name].text
        disabled = qapp.palette().color(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Text)
        assert disabled != qapp.palette().color(QPalette.ColorRole.Text)


def test_the_style_sheet_names_no_colour_of_its_own() -> None:
    for theme in THEMES.values():
        colours = {c for c in vars(theme).values() if isinstance(c, str) and c.startswith("#")}
        written = style_sheet(theme, 10.0)
        strange = []
        for found in set(re.findall(r"#[0-9a-fA-F]{6}", written)) - colours:
            # What is not a colour of the theme must lie between two of them.
            value = np.array([int(found[k : k + 2], 16) for k in (1, 3, 5)])
            between = any(
                np.all(value >= np.minimum(a, b) - 1) and np.all(value <= np.maximum(a, b) + 1)
                for a, b in itertools.combinations(
                    [np.array([int(c[k : k + 2], 16) for k in (1, 3, 5)]) for c in colours], 2
                )
            )
            if not between:
                strange.append(found)
        assert not strange
        assert "px; font-size" not in written and not re.search(r"font-size:\s*[\d.]+px", written)


def test_the_style_sheet_finds_its_arrows() -> None:
    for path in re.findall(r'url\("([^"]+)"\)', style_sheet(THEMES["dark"], 10.0)):
        assert Xml.parse(path).getroot().tag.endswith("svg")


def test_mixing() -> None:
    theme = THEMES["light"]
    assert theme.mix("#000000", "#ffffff", 0.5) == "#808080"
    assert theme.mix("#102030", "#ffffff", 0.0) == "#102030"


def test_roles_change_the_look(qapp, qtbot) -> None:
    apply_theme(qapp, THEMES["light"])
    label = QLabel("Title")
    qtbot.addWidget(label)
    before = label.sizeHint().width()
    set_role(label, "title")
    assert label.sizeHint().width() > before


@pytest.mark.parametrize("name", icon_names())
def test_every_icon_draws_something_in_the_colour_of_the_theme(qapp, name: str) -> None:
    source = resource_path("icons", f"{name}.svg").read_text()
    assert "currentColor" in source and not re.search(r"#[0-9a-fA-F]{3,6}\b", source)
    apply_theme(qapp, THEMES["light"])
    image = icon(name).pixmap(QSize(24, 24), 2.0).toImage()
    assert (image.width(), image.height()) == (48, 48)
    opaque = [
        image.pixelColor(x, y).name() for x in range(48) for y in range(48) if image.pixelColor(x, y).alpha() == 255
    ]
    assert len(opaque) >= 8
    assert set(opaque) == {THEMES["light"].text}


def test_icons_recolour_with_the_theme_and_by_role(qapp) -> None:
    play = icon("play", "accent")
    copy = QIcon(play)
    for name in ("light", "dark"):
        apply_theme(qapp, THEMES[name])
        for candidate in (play, copy):
            image = candidate.pixmap(32, 32).toImage()
            colours = {
                image.pixelColor(x, y).name()
                for x in range(32) for y in range(32) if image.pixelColor(x, y).alpha() == 255
            }  # fmt: skip
            assert colours == {THEMES[name].accent}


def test_a_disabled_icon_is_fainter(qapp) -> None:
    apply_theme(qapp, THEMES["light"])
    faint = icon("stop").pixmap(QSize(32, 32), 1.0, QIcon.Mode.Disabled).toImage()
    strong = icon("stop").pixmap(QSize(32, 32), 1.0, QIcon.Mode.Normal).toImage()

    def darkest(image) -> int:
        pixels = [image.pixelColor(x, y) for x in range(32) for y in range(32)]
        return min(QColor(p).lightness() for p in pixels if p.alpha() > 200)

    assert darkest(faint) > darkest(strong) + 40


def test_an_icon_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="no icon 'nothing'"):
        icon("nothing")


def test_icons_survive_their_python_side(qapp) -> None:
    actions = [QAction(icon("play"), "x") for _ in range(50)]
    for _ in range(3):
        gc.collect()
        for action in actions:
            assert not action.icon().pixmap(16, 16).isNull()


@pytest.mark.parametrize("state", list(RunState))
def test_every_state_has_a_colour_and_an_icon(qapp, state: RunState) -> None:
    colours = {getattr(current_theme(), field) for field in COLOURS}
    assert state_colour(state) in colours
    assert not state_icon(state).pixmap(16, 16).isNull()


def test_ends_are_told_apart_without_colour() -> None:
    from difrob_gui.theme import _STATE_LOOK

    ends = [_STATE_LOOK[state][0] for state in RunState if state.is_end]
    assert len(set(ends)) == len(ends)


def test_the_font_is_not_tiny_and_its_figures_align(qapp) -> None:
    apply_theme(qapp, THEMES["light"])
    assert QApplication.font().pointSizeF() >= 10
    metrics = QLabel("x").fontMetrics()
    assert len({metrics.horizontalAdvance(digit) for digit in "0123456789"}) == 1
