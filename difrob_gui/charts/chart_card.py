"""The card around a plot: title, read-out of the position, buttons, legend, plot."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QToolButton, QVBoxLayout, QWidget

from difrob_gui.charts.legend import Legend
from difrob_gui.charts.plot_area import PlotArea
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.elided_label import ElidedLabel


class ChartCard(QFrame):
    """The widgets of a chart and their places; it does nothing by itself."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.area = PlotArea(self)
        self.legend = Legend(self)
        self._title = ElidedLabel(title)
        self._where = QLabel()
        self._log_button = self._tool("log", "Logarithmic y axis (L)", checkable=True)
        self._fit_button = self._tool("", "Show all data (Home)", "fit")
        self._menu_button = self._tool("", "Axes and export of this chart", "more")
        self._menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._fit_button.hide()
        self._menu_button.hide()
        set_role(self, "card")
        set_role(self._title, "strong")
        set_role(self._where, "caption")
        self._arrange()
        self._name(title)

    @property
    def title(self) -> str:
        """The heading of the card."""
        return self._title.text()

    @property
    def position_text(self) -> str:
        """Where the read-out stands, in words; empty without one."""
        return self._where.text()

    def set_title(self, title: str) -> None:
        """Change the heading."""
        self._title.setText(title)
        self._name(title)

    @property
    def menu(self) -> QMenu | None:
        """What its button opens; None for a chart without a menu."""
        return self._menu_button.menu()

    def set_menu(self, menu: QMenu) -> None:
        """Open this menu from the button and by a right click on the plot; whoever makes a chart gives it one."""
        self._menu_button.setMenu(menu)
        self._menu_button.show()
        self.area.menu_wanted.connect(menu.popup)

    def _arrange(self) -> None:
        header = QHBoxLayout()
        header.setSpacing(4)
        for part in (self._title, self._where, self._log_button, self._fit_button, self._menu_button):
            header.addWidget(part)
        header.setStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 8, 12, 10)
        layout.setSpacing(4)
        layout.addLayout(header)
        layout.addWidget(self.legend)
        layout.addWidget(self.area, 1)
        self.setMinimumSize(240, 160)

    def _tool(self, text: str, tip: str, icon_name: str = "", checkable: bool = False) -> QToolButton:
        button = QToolButton(self)
        button.setText(text)
        if icon_name:
            button.setIcon(icon(icon_name, "text_muted"))
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setCheckable(checkable)
        return button

    def _name(self, title: str) -> None:
        self.setAccessibleName(f"{title} chart")
        self.area.setAccessibleName(f"{title} plot")
        self.area.setWhatsThis(
            "Drag to zoom, Shift+drag to pan, Ctrl+wheel to zoom, double-click for all data. "
            "Keys: arrows move the read-out, Shift+arrows the view, + and - zoom, Home fits, L switches the log axis."
        )
