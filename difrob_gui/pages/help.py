"""Help: everything that can be done, with its keys, made from the table of actions."""

from __future__ import annotations

from html import escape

from PySide6.QtWidgets import QFrame, QLabel, QTextBrowser, QVBoxLayout, QWidget

from difrob_gui.actions import ACTIONS, MENUS, ActionInfo, keys_text
from difrob_gui.theme import current_theme, set_role, theme_signals
from difrob_gui.widgets.search_line import SearchLine

_WHERE = {"runs": "while the table of runs has the focus", "queue": "on the Queue page"}


class HelpPage(QWidget):
    """A searchable table of actions and keys."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        title = QLabel("Keys and actions")
        set_role(title, "title")
        lead = QLabel(
            "Every action is also in the menus and in the command palette (Ctrl+Shift+P), where a few letters find it.",
            wordWrap=True,
        )
        set_role(lead, "muted")
        self.search = SearchLine("Search actions …", "Words must all occur in an action, its help or its keys.")
        self.search.textChanged.connect(self._write)
        self.text = QTextBrowser()
        self.text.setAccessibleName("Table of actions")
        self.text.setFrameShape(QFrame.Shape.NoFrame)
        self.text.setOpenLinks(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(10)
        column.addWidget(title)
        column.addWidget(lead)
        column.addWidget(self.search)
        column.addWidget(self.text, 1)
        theme_signals.changed.connect(self._write)
        self._write()

    def _write(self, _what: object = None) -> None:
        self.text.setHtml(help_html(self.search.text()))


def help_html(query: str = "") -> str:
    """The table of actions as HTML in the colours of the theme; only those in which every word of ``query`` occurs."""
    theme = current_theme()
    parts = []
    for menu in MENUS:
        rows = [_row(info) for info in ACTIONS if info.menu == menu and _fits(info, query)]
        if rows:
            parts.append(
                f'<h3 style="color:{theme.accent}">{escape(menu)}</h3>'
                f'<table width="100%" cellpadding="5" cellspacing="0">{"".join(rows)}</table>'
            )
    if not parts:
        return f'<p style="color:{theme.text_muted}">No action fits. Fewer letters find more.</p>'
    return "".join(parts)


def _row(info: ActionInfo) -> str:
    theme = current_theme()
    keys = escape(keys_text(info)).replace(" ", "&nbsp;")
    cap = f'<span style="background:{theme.raised}; font-weight:600">&nbsp;{keys}&nbsp;</span>' if keys else ""
    where = f" <i>(keys {_WHERE[info.where]})</i>" if info.where and keys else ""
    return (
        f'<tr><td width="30%">{escape(info.plain_text)}</td><td width="22%">{cap}</td>'
        f'<td style="color:{theme.text_muted}">{escape(info.help)}{where}</td></tr>'
    )


def _fits(info: ActionInfo, query: str) -> bool:
    text = f"{info.plain_text} {info.help} {keys_text(info)} {info.words} {info.menu}".lower()
    return all(word in text for word in query.lower().split())
