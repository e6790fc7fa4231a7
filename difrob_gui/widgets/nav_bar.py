"""The slim bar above the pages: one button per page, at the right the command palette and help."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton, QWidget

from difrob_gui.actions import ActionTable
from difrob_gui.theme import current_theme, set_role, theme_signals

PAGES = ("view.launch", "view.queue", "view.monitor", "view.compare", "view.studies", "view.data")


class NavBar(QFrame):
    """Buttons of page actions; a number can stand behind a word, e.g. how many entries wait.

    Where there is too little room for all words, only the page on show keeps its own; the others are icons with tooltips.
    """

    def __init__(self, actions: ActionTable, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "strip")
        self.setAccessibleName("Pages")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 12, 6)
        row.setSpacing(4)
        self._buttons: dict[str, QToolButton] = {}
        for action_id in PAGES:
            self._buttons[action_id] = self._button(actions[action_id], Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            row.addWidget(self._buttons[action_id])
            actions[action_id].toggled.connect(self._fit)
        row.addStretch(1)
        for action_id in ("view.palette", "help.keys"):
            self._buttons[action_id] = self._button(actions[action_id], Qt.ToolButtonStyle.ToolButtonIconOnly)
            row.addWidget(self._buttons[action_id])
        theme_signals.changed.connect(self._restyle)
        self._restyle()

    def set_number(self, action_id: str, number: int) -> None:
        """Show a number behind the word of a page; none for 0."""
        action = self._buttons[action_id].defaultAction()
        word = action.text().replace("&", "")
        action.setIconText(f"{word}  {number}" if number else word)
        self._buttons[action_id].setAccessibleName(f"{word}, {number}" if number else word)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def minimumSizeHint(self) -> QSize:
        """As narrow as its icons; words come with room."""
        return QSize(len(self._buttons) * 40, super().minimumSizeHint().height())

    def _fit(self, _checked: bool = False) -> None:
        """Words where they fit."""
        pages = [self._buttons[action_id] for action_id in PAGES]
        words = sum(self.fontMetrics().horizontalAdvance(f"{b.defaultAction().iconText()}  ") + 50 for b in pages)
        narrow = words + 2 * 46 > self.width()
        for button in pages:
            beside = not narrow or button.isChecked()
            style = Qt.ToolButtonStyle.ToolButtonTextBesideIcon if beside else Qt.ToolButtonStyle.ToolButtonIconOnly
            if button.toolButtonStyle() != style:
                button.setToolButtonStyle(style)

    @staticmethod
    def _button(action: QAction, style: Qt.ToolButtonStyle) -> QToolButton:
        button = QToolButton()
        button.setDefaultAction(action)
        button.setToolButtonStyle(style)
        button.setIconSize(QSize(18, 18))
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        button.setAccessibleName(action.text().replace("&", "").rstrip(" …"))
        return button

    def _restyle(self, _theme: object = None) -> None:
        """The page on show is marked in the accent colour, which every theme keeps readable."""
        theme = current_theme()
        ground = theme.mix(theme.surface, theme.accent, 0.16)
        for button in self._buttons.values():
            button.setStyleSheet(
                "QToolButton { padding: 5px 10px; }"
                f"QToolButton:checked {{ background: {ground}; color: {theme.accent}; font-weight: 600; }}"
            )
