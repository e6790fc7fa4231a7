"""Data: the data sets of the workspace, what one of them holds, and taking in another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QItemSelectionModel, Qt, QTimer, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.words import plural
from difrob_gui.data_work import ADD, CHECK, REMOVE, DataWork
from difrob_gui.feeds import FeedHub
from difrob_gui.models.data_examples import Examples, read_examples
from difrob_gui.models.data_sets_model import DataSetsModel
from difrob_gui.models.data_shelf import DataShelf
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.add_data_form import AddDataForm
from difrob_gui.widgets.badges import Banner
from difrob_gui.widgets.data_set_view import DataSetView
from difrob_gui.widgets.file_drop import dropped_paths
from difrob_gui.widgets.row_table import fit_rows, row_table
from difrob_gui.widgets.scrolling import scroll_area

REFRESH_MS = 4000
_TEACHING = (
    "So far there is only what comes with difrob. Drop MNIST, CIFAR-10, SVHN, NumPy files or a folder of pictures onto this "
    "window: it is read once, checked against the published digests, and from then on every form offers it by name."
)
_DOING = {ADD: "Adding", CHECK: "Checking", REMOVE: "Removing"}


class DataPage(QWidget):
    """A table of data sets, the chosen one below it, and a card to add one.

    ``notice`` carries (text, tone, (label, function) or None) with ``tone`` one of ``info``, ``good``, ``bad``.
    """

    notice = Signal(str, str, object)
    use_wanted = Signal(str)
    changed = Signal()

    def __init__(self, feeds: FeedHub, shelf: DataShelf, work: DataWork, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._feeds, self.shelf, self.work = feeds, shelf, work
        self._wanted = ""
        self._asked: tuple[str, str, str] | None = None
        self._is_closed = False
        self.setAcceptDrops(True)
        self.model = DataSetsModel()
        self._build()
        shelf.changed.connect(self._on_shelf)
        work.begun.connect(self._on_begun)
        work.progressed.connect(self._on_progress)
        work.ended.connect(self._on_ended)
        work.failed.connect(self._on_failed)
        self._clock = QTimer(self, interval=REFRESH_MS)
        self._clock.timeout.connect(self._refresh_if_seen)
        self._on_shelf()

    # ------------------------------------------------------------------ what others call

    def begin(self) -> None:
        """Read the data sets, and again now and then while the page is seen: the command line may add some too."""
        self.shelf.refresh()
        self._clock.start()

    def close_down(self) -> None:
        """The window closes; what is still being read comes too late."""
        self._is_closed = True
        self._clock.stop()
        self.work.close()

    @property
    def current(self) -> str:
        """Name of the chosen data set; empty for none."""
        rows = self.table.selectionModel().selectedRows()
        return self.model.name_at(rows[0].row()) if rows else ""

    def choose(self, name: str) -> None:
        """Show a data set; one that is not there yet as soon as it is."""
        self._wanted = name
        if name in self.model.names():
            row = self.model.names().index(name)
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self.table.selectionModel().setCurrentIndex(self.model.index(row, 0), flags)
            self._wanted = ""

    def allows(self, action_id: str) -> bool:
        """Whether an action on the chosen data set makes sense now."""
        if self.work.is_busy or not self.current:
            return False
        record = self.shelf.get(self.current)
        if record is None:  # damaged: it can only go
            return action_id == "data.remove"
        return record.folder is not None

    def add(self, paths: list[str] | None = None) -> None:
        """Show the card for adding, with these paths."""
        self.form.show()
        self.form.offer(paths or [])
        self._show_state()
        self.area.verticalScrollBar().setValue(0)

    def check(self) -> None:
        """Read every byte of the chosen data set again."""
        if self.allows("data.check"):
            self.work.start(CHECK, self.current)

    def remove(self) -> None:
        """Move the chosen data set to the bin, unless runs need it."""
        if self.allows("data.remove"):
            self.work.start(REMOVE, self.current)

    # ------------------------------------------------------------------ building

    def _build(self) -> None:
        self.setAccessibleName("Data")
        title = QLabel("Data")
        set_role(title, "title")
        self.count = QLabel()
        set_role(self.count, "muted")
        self.add_button = _button("Add …", "add", "Take a data set over from its files (Ctrl+Shift+A)", self.add)
        self.check_button = _button("Check", "check-circle", "Read every byte again and compare digests", self.check)
        self.remove_button = _button("Remove", "delete", "Move it to the bin, unless runs need it", self.remove)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(title)
        head.addWidget(self.count, 1, Qt.AlignmentFlag.AlignBottom)
        for button in (self.check_button, self.remove_button, self.add_button):
            head.addWidget(button)
        self.table = row_table("Data sets")
        self.table.setModel(self.model)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.selectionModel().selectionChanged.connect(self._on_chosen)
        self.form = AddDataForm()
        self.form.hide()
        self.form.accepted.connect(self._on_add)
        self.form.closed.connect(self._on_form_closed)
        self.problem = Banner()
        self.problem.acted.connect(lambda _text: self.problem.silence())
        self.view = DataSetView()
        self.view.split_changed.connect(self._ask_examples)
        self.view.use_wanted.connect(self.use_wanted)
        self.damaged = Banner()
        self.teach = Banner()
        self.teach.acted.connect(lambda _text: self.add())
        inner = QWidget()
        below = QVBoxLayout(inner)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(12)
        below.addWidget(self.form)
        below.addWidget(self.damaged)
        below.addWidget(self.view)
        below.addStretch(1)
        self.area = scroll_area(inner)
        self.area.setAccessibleName("The chosen data set")
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 12)
        column.setSpacing(10)
        column.addLayout(head)
        column.addWidget(self._make_progress())
        column.addWidget(self.problem)
        column.addWidget(self.teach)
        column.addWidget(self.table)
        column.addWidget(self.area, 1)

    def _make_progress(self) -> QWidget:
        self.progress = QWidget()
        self.doing = QLabel()
        self.bar = QProgressBar(textVisible=False)
        self.bar.setAccessibleName("Progress")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop, and leave nothing behind; closing the window does the same")
        self.cancel_button.clicked.connect(self._on_cancel)
        row = QHBoxLayout(self.progress)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(self.doing)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel_button)
        self.progress.hide()
        return self.progress

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """The table is as high as its rows, but leaves most of the page to the chosen one."""
        fit_rows(self.table, self.height() // 120)

    # ------------------------------------------------------------------ hands

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_paths(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = dropped_paths(event.mimeData())
        if paths:
            event.acceptProposedAction()
            self.add(paths)

    def _on_add(self, path: str, options: list[str]) -> None:
        if self.work.is_busy:
            self.problem.say("warning", "Not yet.", "Another command is at work; wait for it, or cancel it.", "Close")
            return
        self.problem.silence()
        self.work.start(ADD, path, options)

    def _on_form_closed(self) -> None:
        self.form.hide()
        self.form.clear()
        self._show_state()

    def _on_cancel(self) -> None:
        self.cancel_button.setEnabled(False)
        self.doing.setText("Cancelling …")
        self.work.cancel()

    # ------------------------------------------------------------------ news

    def _refresh_if_seen(self) -> None:
        if self.isVisible() and not self.work.is_busy:
            self.shelf.refresh()

    def _on_shelf(self) -> None:
        name = self._wanted or self.current
        self.model.show_sets(self.shelf.records, self.shelf.damaged)
        self.count.setText(plural(self.model.rowCount(), "data set") if self.shelf.is_read else "")
        self._fit()
        names = self.model.names()
        if names:
            self.choose(name if name in names else names[0])
        if self.shelf.problem:
            self.problem.say("bad", "The data sets cannot be read.", self.shelf.problem)
        self._show_state()
        self.changed.emit()

    def _on_chosen(self, *_: object) -> None:
        record = self.shelf.get(self.current)
        if record is not None:
            self.view.show_record(record)
            self._ask_examples()
        self._show_state()
        self.changed.emit()

    def _ask_examples(self, _split: str = "") -> None:
        record, split = self.view.record, self.view.chosen_split
        if record is None:
            return
        asked = (record.name, record.digest, split)
        if asked == self._asked:
            return
        self._asked = asked

        def done(result: Examples | None, error: str | None) -> None:
            if self._asked == asked and not self._is_closed:
                self.view.show_examples(result if result is not None else Examples(), error or "")

        self._feeds.submit(self, lambda _workspace: read_examples(record, split), done)

    def _on_begun(self, command: str, subject: str) -> None:
        self.doing.setText(f"{_DOING[command]} {_short(subject)} …")
        self.bar.setRange(0, 0)
        self.cancel_button.setEnabled(True)
        self.progress.show()
        self.form.add_button.setEnabled(False)
        self._show_state()
        self.changed.emit()

    def _on_progress(self, done: float, total: float, what: str) -> None:
        self.bar.setRange(0, 1000 if total > 0 else 0)
        self.bar.setValue(round(1000 * done / total) if total > 0 else 0)
        if self.cancel_button.isEnabled():
            self.doing.setText(f"{what[:1].upper()}{what[1:]} …" if what else self.doing.text())

    def _on_ended(self, command: str, subject: str, result: dict[str, Any]) -> None:
        self._settle()
        name = str(result.get("name", subject))
        if command == ADD:
            self._on_form_closed()
            self._wanted = name
            self.notice.emit(f"“{name}” was added.", "good", ("Use in a new run", lambda: self.use_wanted.emit(name)))
        elif command == CHECK:
            self.notice.emit(f"“{name}” is whole: every byte is as it was written.", "good", None)
        else:
            place = str(result.get("bin", ""))
            undo = ("Undo", lambda: self._restore(name, place)) if place else None
            self.notice.emit(f"“{name}” is in the bin.", "info", undo)
        self.shelf.refresh()

    def _on_failed(self, command: str, subject: str, sentence: str) -> None:
        self._settle()
        if sentence:
            title = {ADD: "Not added.", CHECK: "Not whole.", REMOVE: "Not removed."}[command]
            self.problem.say("bad", title, sentence[:1].upper() + sentence[1:], "Close")
        else:
            self.notice.emit(
                f"{_DOING[command]} {_short(subject)} was cancelled; nothing is left behind.", "info", None
            )
        self.shelf.refresh()

    def _settle(self) -> None:
        self.progress.hide()
        self.problem.silence()
        self.form.add_button.setEnabled(True)
        self._show_state()
        self.changed.emit()

    def _restore(self, name: str, place: str) -> None:
        def done(_result: object, error: str | None) -> None:
            if self._is_closed:
                return
            if error is not None:
                self.problem.say("bad", "Not taken out of the bin.", error, "Close")
            self._wanted = name
            self.shelf.refresh()

        self._feeds.submit(self, lambda workspace: restore(workspace, name, place), done)

    def _show_state(self) -> None:
        """Show what fits the chosen data set, and enable what can be done."""
        name, adding = self.current, not self.form.isHidden()
        record = self.shelf.get(name)
        own = any(each.folder is not None for each in self.shelf.records) or bool(self.shelf.damaged)
        self.view.setVisible(record is not None and not adding)
        if self.shelf.is_read and not own and not adding:
            self.teach.say("info", "", _TEACHING, "Add a data set")
        else:
            self.teach.silence()
        if name in self.shelf.damaged and not adding:
            self.damaged.say("bad", "This data set cannot be used.", self.shelf.damaged[name])
        else:
            self.damaged.silence()
        self.check_button.setEnabled(self.allows("data.check"))
        self.remove_button.setEnabled(self.allows("data.remove"))
        built_in = "; it is built in" if self._is_built_in() else ""
        self.remove_button.setToolTip(f"Move it to the bin, unless runs need it{built_in}")

    def _is_built_in(self) -> bool:
        record = self.shelf.get(self.current)
        return record is not None and record.folder is None


def restore(workspace: Workspace, name: str, place: str) -> None:
    """Take a data set back out of the bin.

    Raises:
        UserError: when the name has been given to another one meanwhile, or the disk refuses.
    """
    target = workspace.datasets.folder / name
    if target.exists():
        raise UserError(f"there is a data set '{name}' again; remove it first")
    try:
        Path(place).rename(target)
    except OSError as error:
        raise UserError(f"'{place}' cannot be moved to '{target}': {error.strerror}") from None


def _short(subject: str) -> str:
    """A name, or the last part of a path."""
    return f"“{Path(subject).name or subject}”"


def _button(text: str, picture: str, tip: str, act: Callable[[], object]) -> QPushButton:
    button = QPushButton(icon(picture, "text_muted"), text)
    button.setToolTip(tip)
    button.clicked.connect(lambda _checked=False: act())
    return button
