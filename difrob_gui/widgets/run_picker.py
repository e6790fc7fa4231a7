"""Choose a run that another run reads: finished ones, and live or waiting ones that will be waited for."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QFocusEvent, QWheelEvent
from PySide6.QtWidgets import QComboBox, QCompleter, QSizePolicy, QWidget

from difrob import words
from difrob.runs import RunState
from difrob_gui.theme import state_icon
from difrob_gui.widgets.box_line import completer_of, line_of


@dataclass(frozen=True)
class RunOption:
    """A run that could be chosen."""

    run_id: str
    kind: str
    title: str
    state: RunState
    created: float = 0.0
    result: str = ""

    @property
    def usable(self) -> bool:
        """Finished, or on its way to it."""
        return not self.state.is_end or self.state is RunState.FINISHED

    def label(self) -> str:
        """Title, result and age, or what it waits for."""
        if self.state is RunState.FINISHED:
            parts = [self.title, self.result, words.age(self.created)]
        elif self.state.is_end:
            parts = [self.title, str(self.state)]
        else:
            parts = [self.title, f"{self.state}: will be waited for"]
        return "  ·  ".join(part for part in parts if part)


class RunPicker(QComboBox):
    """A searchable list of runs of some kinds; ``picked`` after each choice by the user."""

    picked = Signal()

    def __init__(
        self, kinds: tuple[str, ...], optional: bool, empty_means: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._kinds = kinds
        self._optional = optional
        self._empty = empty_means if optional else ""
        self._chosen = ""
        self._known: dict[str, RunOption] = {}
        self._signature: list[tuple[str, str, RunState]] = []
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        line_of(self).setPlaceholderText(self._placeholder())
        line_of(self).setAccessibleName(f"Search {self._nouns()}")
        completer = completer_of(self)
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.activated.connect(self._on_activated)
        line_of(self).editingFinished.connect(self._settle)
        self._fill([])

    @property
    def run_id(self) -> str:
        """The chosen run; empty for none."""
        return self._chosen

    @property
    def chosen(self) -> RunOption | None:
        """What is known of the chosen run."""
        return self._known.get(self._chosen)

    def set_run_id(self, run_id: str) -> None:
        """Choose a run, or none; does not emit ``picked``."""
        self._chosen = run_id
        self._fill_again()

    def set_options(self, options: list[RunOption]) -> None:
        """All runs there are; those of other kinds are left out. The choice stays."""
        self._known = {option.run_id: option for option in options if option.kind in self._kinds}
        self._fill_again()

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if event.reason() != Qt.FocusReason.PopupFocusReason:
            self._settle()

    def _fill_again(self) -> None:
        usable = [option for option in self._known.values() if option.usable or option.run_id == self._chosen]
        usable.sort(key=lambda option: (option.state is not RunState.FINISHED, -option.created))
        signature = [(option.run_id, option.label(), option.state) for option in usable]
        typing = line_of(self).hasFocus() and line_of(self).isModified()
        if signature == self._signature and self._row_of(self._chosen) >= 0:
            if not typing:
                self._show_choice()
            return
        if self.view().isVisible() or typing:
            return  # never pull the list away under somebody who is choosing; the next change comes soon
        self._signature = signature
        self._fill(usable)

    def _fill(self, usable: list[RunOption]) -> None:
        with QSignalBlocker(self):
            self.clear()
            if self._optional:
                self.addItem(f"None ({self._empty})" if self._empty else "None", "")
            for option in usable:
                self.addItem(state_icon(option.state), option.label(), option.run_id)
                self.setItemData(self.count() - 1, option.run_id, Qt.ItemDataRole.ToolTipRole)
            if self._chosen and self._chosen not in {option.run_id for option in usable}:
                self.addItem(f"{self._chosen} (not in this workspace)", self._chosen)
            self._show_choice()
        line_of(self).setPlaceholderText(self._placeholder())

    def _show_choice(self) -> None:
        with QSignalBlocker(self):
            row = self._row_of(self._chosen)
            self.setCurrentIndex(row if self._chosen or self._optional else -1)
            if not self._chosen:
                self.setCurrentIndex(-1)
                self.clearEditText()
            line_of(self).setCursorPosition(0)
            line_of(self).setModified(False)

    def _row_of(self, run_id: str) -> int:
        return self.findData(run_id) if run_id or self._optional else -1

    def _on_activated(self, row: int) -> None:
        self._choose(str(self.itemData(row) or ""))

    def _settle(self) -> None:
        """What was typed either is a run, or is empty, or is taken back."""
        if not line_of(self).isModified():
            return
        text = line_of(self).text().strip()
        if not text and self._optional:
            self._choose("")
            return
        hits = [row for row in range(self.count()) if text.lower() in self.itemText(row).lower() and self.itemData(row)]
        exact = [row for row in hits if self.itemText(row).lower() == text.lower()]
        if text and len(exact or hits) == 1:
            self._choose(str(self.itemData((exact or hits)[0])))
        else:
            self._show_choice()

    def _choose(self, run_id: str) -> None:
        changed = run_id != self._chosen
        self._chosen = run_id
        self._show_choice()
        if changed:
            self.picked.emit()

    def _nouns(self) -> str:
        return " or ".join(words.kind_word(kind).lower() for kind in self._kinds)

    def _placeholder(self) -> str:
        if not any(option.usable for option in self._known.values()):
            return self._empty or f"No {self._nouns()} yet"
        return self._empty or f"Choose a {self._nouns()} …"
