"""The style sheet of the window, written from a theme.

It sets spacing, corners and typographic steps; every colour in it is read from the :class:`~difrob_gui.themes.Theme`. Sizes of
text are points relative to the system's font, so they follow the user's settings.
"""

from __future__ import annotations

from difrob.resources import resource_path
from difrob_gui.themes import Theme


def style_sheet(theme: Theme, points: float) -> str:
    """The whole style sheet for a theme and the size of the application's font in points."""
    base = points if points > 0 else 10.0
    parts = (_frames, _buttons, _fields, _choices, _views, _bars)
    return "\n".join([_text(theme, base), *(part(theme) for part in parts)])


def _text(t: Theme, base: float) -> str:
    return f"""
    QLabel[role="title"] {{ font-size: {base * 1.6:.1f}pt; font-weight: 600; }}
    QLabel[role="heading"] {{ font-size: {base * 1.15:.1f}pt; font-weight: 600; }}
    QLabel[role="strong"] {{ font-weight: 600; }}
    QLabel[role="number"] {{ font-size: {base * 1.45:.1f}pt; font-weight: 600; }}
    QLabel[role="muted"] {{ color: {t.text_muted}; }}
    QLabel[role="caption"] {{ color: {t.text_muted}; font-size: {base * 0.9:.1f}pt; }}
    QLabel[role="mono"] {{ font-family: monospace; }}
    QToolTip {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.border}; padding: 6px 8px; }}
    """


def _frames(t: Theme) -> str:
    banners = "".join(
        f'QFrame[role="banner-{name}"] {{ background: {t.mix(t.surface, colour, 0.12)};'
        f" border: 1px solid {t.mix(t.surface, colour, 0.55)}; border-radius: 8px; }}"
        for name, colour in (("info", t.info), ("warning", t.warning), ("bad", t.bad), ("good", t.good))
    )
    return f"""
    QFrame[role="card"] {{ background: {t.surface}; border: 1px solid {t.border}; border-radius: 10px; }}
    QFrame[role="strip"] {{ background: {t.surface}; border: none; }}
    QFrame[role="separator"] {{ background: {t.border}; border: none; max-height: 1px; min-height: 1px; }}
    {banners}
    QGroupBox {{ border: 1px solid {t.border}; border-radius: 8px; margin-top: 1.2em; padding: 10px 8px 8px 8px; }}
    QGroupBox::title {{ subcontrol-origin: margin; left: 10px; padding: 0 4px; color: {t.text_muted}; }}
    QSplitter::handle {{ background: transparent; }}
    QSplitter::handle:hover {{ background: {t.mix(t.background, t.accent, 0.35)}; }}
    QScrollArea, QScrollArea > QWidget > QWidget[role="plain"] {{ background: transparent; border: none; }}
    QStatusBar {{ background: {t.background}; color: {t.text_muted}; }}
    QStatusBar::item {{ border: none; }}
    QDockWidget::title {{ background: {t.background}; padding: 6px 8px; }}
    """


def _buttons(t: Theme) -> str:
    hover = t.mix(t.surface, t.raised, 0.8)
    pressed = t.mix(t.raised, t.border, 0.7)
    faint = t.mix(t.text_muted, t.background, 0.4)
    return f"""
    QPushButton {{ background: {t.surface}; border: 1px solid {t.border}; border-radius: 6px; padding: 5px 14px; }}
    QPushButton:hover {{ background: {hover}; }}
    QPushButton:pressed, QPushButton:checked {{ background: {pressed}; }}
    QPushButton:focus {{ border: 1px solid {t.accent}; }}
    QPushButton:disabled {{ color: {faint}; background: {t.background}; }}
    QPushButton[role="primary"] {{ background: {t.accent}; color: {t.accent_text}; border-color: {t.accent};
                                  font-weight: 600; }}
    QPushButton[role="primary"]:hover {{ background: {t.mix(t.accent, t.text, 0.15)}; }}
    QPushButton[role="primary"]:pressed {{ background: {t.mix(t.accent, t.text, 0.3)}; }}
    QPushButton[role="primary"]:focus {{ border: 2px solid {t.text}; padding: 4px 13px; }}
    QPushButton[role="primary"]:disabled {{ background: {t.raised}; color: {faint}; border-color: {t.border}; }}
    QPushButton[role="danger"] {{ color: {t.bad}; border-color: {t.mix(t.border, t.bad, 0.4)}; }}
    QPushButton[role="danger"]:hover {{ background: {t.mix(t.surface, t.bad, 0.14)}; }}
    QPushButton[role="danger"]:disabled {{ color: {faint}; border-color: {t.border}; }}
    QPushButton[role="quiet"] {{ background: transparent; border-color: transparent; padding: 5px 8px; }}
    QPushButton[role="quiet"]:hover {{ background: {hover}; }}
    QPushButton[role="quiet"]:focus {{ border-color: {t.accent}; }}
    QPushButton::menu-indicator {{ width: 0; }}
    QToolButton {{ background: transparent; border: 1px solid transparent; border-radius: 6px; padding: 4px; }}
    QToolButton:hover {{ background: {hover}; }}
    QToolButton:pressed, QToolButton:checked {{ background: {pressed}; }}
    QToolButton:focus {{ border: 1px solid {t.accent}; }}
    QToolButton::menu-indicator {{ image: none; }}
    """


def _fields(t: Theme) -> str:
    fields = "QLineEdit, QComboBox, QAbstractSpinBox, QPlainTextEdit, QTextEdit"
    arrow_down, arrow_up = _control("arrow-down"), _control("arrow-up")
    faint = t.mix(t.text_muted, t.background, 0.4)
    focus = ", ".join(f"{field.strip()}:focus" for field in fields.split(","))
    off = ", ".join(f"{field.strip()}:disabled" for field in fields.split(","))
    return f"""
    {fields} {{ background: {t.surface}; border: 1px solid {t.border}; border-radius: 6px; padding: 4px 8px;
                selection-background-color: {t.accent}; selection-color: {t.accent_text}; }}
    {focus} {{ border: 1px solid {t.accent}; }}
    {off} {{ color: {faint}; background: {t.background}; }}
    QLineEdit[invalid="true"], QAbstractSpinBox[invalid="true"], QComboBox[invalid="true"] {{ border: 1px solid {t.bad}; }}
    QComboBox {{ padding-right: 22px; }}
    QComboBox::drop-down {{ subcontrol-origin: border; subcontrol-position: center right; width: 22px; border: none; }}
    QComboBox::down-arrow {{ image: url("{arrow_down}"); width: 12px; height: 12px; }}
    QComboBox QAbstractItemView {{ background: {t.surface}; border: 1px solid {t.border}; padding: 4px; outline: none;
                selection-background-color: {t.mix(t.surface, t.accent, 0.22)}; selection-color: {t.text}; }}
    QAbstractSpinBox {{ padding: 3px 20px 3px 8px; }}
    QAbstractSpinBox::up-button {{ subcontrol-origin: border; subcontrol-position: top right; width: 20px; border: none; }}
    QAbstractSpinBox::down-button {{ subcontrol-origin: border; subcontrol-position: bottom right; width: 20px;
                border: none; }}
    QAbstractSpinBox::up-button:hover, QAbstractSpinBox::down-button:hover {{ background: {t.raised}; border-radius: 3px; }}
    QAbstractSpinBox::up-arrow {{ image: url("{arrow_up}"); width: 10px; height: 10px; }}
    QAbstractSpinBox::down-arrow {{ image: url("{arrow_down}"); width: 10px; height: 10px; }}
    """


def _choices(t: Theme) -> str:
    ink = "dark" if t.is_dark else "light"
    frame = t.mix(t.border, t.text_muted, 0.6)
    both = ("QCheckBox", "QRadioButton", "QTableView", "QTreeView", "QListView", "QMenu")
    boxes = ", ".join(f"{name}::indicator" for name in both)
    checked = ", ".join(f"{name}::indicator:checked" for name in both)
    focused = ", ".join(f"{name}::indicator:focus" for name in both[:2])
    disabled = ", ".join(f"{name}::indicator:disabled" for name in both)
    return f"""
    QCheckBox, QRadioButton {{ spacing: 8px; padding: 2px 0; }}
    {boxes} {{ width: 14px; height: 14px; border: 1px solid {frame}; border-radius: 4px; background: {t.surface}; }}
    QRadioButton::indicator, QMenu::indicator:exclusive {{ border-radius: 8px; }}
    {checked} {{ background: {t.accent}; border-color: {t.accent}; image: url("{_control(f"check-{ink}")}"); }}
    QRadioButton::indicator:checked, QMenu::indicator:exclusive:checked {{ image: url("{_control(f"dot-{ink}")}"); }}
    QCheckBox::indicator:indeterminate {{ background: {t.accent}; border-color: {t.accent};
                image: url("{_control(f"dash-{ink}")}"); }}
    {focused} {{ border: 1px solid {t.accent}; }}
    QCheckBox:focus, QRadioButton:focus {{ color: {t.accent}; }}
    {disabled} {{ background: {t.raised}; border-color: {t.border}; }}
    QMenu::indicator {{ margin-left: 8px; }}
    """


def _control(name: str) -> str:
    return resource_path("icons", "controls", f"{name}.svg").as_posix()


def _views(t: Theme) -> str:
    return f"""
    QTableView, QTreeView, QListView {{ background: {t.surface}; border: 1px solid {t.border}; border-radius: 8px;
                alternate-background-color: {t.mix(t.surface, t.raised, 0.45)}; gridline-color: {t.plot_grid}; outline: none;
                selection-background-color: {t.mix(t.surface, t.accent, 0.22)}; selection-color: {t.text}; }}
    QTableView::item, QTreeView::item, QListView::item {{ padding: 4px 6px; border: none; }}
    QTableView::item:selected, QTreeView::item:selected, QListView::item:selected {{
                background: {t.mix(t.surface, t.accent, 0.22)}; color: {t.text}; }}
    QTableView::item:focus, QTreeView::item:focus, QListView::item:focus {{ border: 1px solid {t.accent}; }}
    QHeaderView {{ background: transparent; border: none; }}
    QHeaderView::section {{ background: {t.surface}; color: {t.text_muted}; border: none;
                border-bottom: 1px solid {t.border}; padding: 6px 8px; font-weight: 600; }}
    QHeaderView::section:hover {{ color: {t.text}; }}
    QTableCornerButton::section {{ background: {t.surface}; border: none; border-bottom: 1px solid {t.border}; }}
    QMenu {{ background: {t.surface}; border: 1px solid {t.border}; padding: 5px; }}
    QMenu::item {{ padding: 6px 26px 6px 12px; border-radius: 5px; }}
    QMenu::item:selected {{ background: {t.mix(t.surface, t.accent, 0.22)}; color: {t.text}; }}
    QMenu::item:disabled {{ color: {t.mix(t.text_muted, t.background, 0.4)}; background: transparent; }}
    QMenu::separator {{ height: 1px; background: {t.border}; margin: 5px 8px; }}
    QMenu::icon {{ padding-left: 8px; }}
    QMenuBar {{ background: {t.background}; padding: 2px 4px; }}
    QMenuBar::item {{ padding: 5px 9px; border-radius: 5px; background: transparent; }}
    QMenuBar::item:selected {{ background: {t.raised}; }}
    """


def _bars(t: Theme) -> str:
    return f"""
    QTabWidget::pane {{ border: none; border-top: 1px solid {t.border}; }}
    QTabBar {{ qproperty-drawBase: 0; }}
    QTabBar::tab {{ background: transparent; color: {t.text_muted}; padding: 7px 14px; border: none;
                border-bottom: 2px solid transparent; }}
    QTabBar::tab:hover {{ color: {t.text}; }}
    QTabBar::tab:selected {{ color: {t.text}; border-bottom: 2px solid {t.accent}; }}
    QTabBar::tab:focus {{ color: {t.accent}; }}
    QProgressBar {{ background: {t.raised}; border: none; border-radius: 4px; min-height: 8px; max-height: 8px; }}
    QProgressBar::chunk {{ background: {t.accent}; border-radius: 4px; }}
    QProgressBar[tone="good"]::chunk {{ background: {t.good}; }}
    QProgressBar[tone="warning"]::chunk {{ background: {t.warning}; }}
    QProgressBar[tone="bad"]::chunk {{ background: {t.bad}; }}
    QProgressBar[tone="muted"]::chunk {{ background: {t.text_muted}; }}
    QScrollBar:vertical {{ background: transparent; width: 12px; margin: 0; }}
    QScrollBar:horizontal {{ background: transparent; height: 12px; margin: 0; }}
    QScrollBar::handle {{ background: {t.mix(t.border, t.text_muted, 0.35)}; border-radius: 4px; margin: 2px; }}
    QScrollBar::handle:vertical {{ min-height: 32px; }}
    QScrollBar::handle:horizontal {{ min-width: 32px; }}
    QScrollBar::handle:hover {{ background: {t.text_muted}; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
    QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
    QSlider::groove:horizontal {{ background: {t.raised}; height: 4px; border-radius: 2px; }}
    QSlider::sub-page:horizontal {{ background: {t.accent}; border-radius: 2px; }}
    QSlider::handle:horizontal {{ background: {t.accent}; width: 14px; height: 14px; margin: -5px 0; border-radius: 7px; }}
    QSlider::handle:horizontal:focus {{ border: 2px solid {t.text}; width: 10px; height: 10px; }}
    QSlider::handle:horizontal:disabled {{ background: {t.border}; }}
    QSlider::sub-page:horizontal:disabled {{ background: {t.border}; }}
    """
