"""What is asked before a data set is taken over: where it lies, and what cannot be known from its files."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.field_editor import CalmComboBox
from difrob_gui.widgets.field_editors import NumberEdit
from difrob_gui.widgets.tone_label import ToneLabel

FORMATS = {
    "auto": "Look into the files", "idx": "idx (MNIST, Fashion-MNIST)", "cifar": "CIFAR-10 or -100, binary or python",
    "svhn": "SVHN (.mat)", "arrays": "NumPy arrays (.npz, .npy)", "corrupted": "CIFAR-10-C",
    "hdf5": "HDF5 (image and label, or a run's .h5)", "folders": "Folders of pictures, one per class",
}  # fmt: skip
FLIPS = {"": "What is known of the set", "--flips": "Yes", "--no-flips": "No"}


class AddDataForm(QFrame):
    """Path, name and options; ``accepted`` carries the path and the options of the command."""

    accepted = Signal(str, list)
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "card")
        self.setAccessibleName("Add a data set")
        title = QLabel("Add a data set")
        set_role(title, "heading")
        lead = QLabel(
            "A file or folder as it was published. It is read once, checked, and copied into the workspace; the original "
            "stays as it is.", wordWrap=True,
        )  # fmt: skip
        set_role(lead, "muted")
        self.path = _line("File or folder", "Type a path, browse, or drop it onto the window")
        self.name = _line("Name", "its usual name, e.g. cifar10")
        self.format = _choice("Format", FORMATS)
        self.validation = _line("Validation images", "a tenth of the training images, at most 1,024", NumberEdit())
        self.side = _line("Side in pixels", "for folders of pictures, which are scaled and cut", NumberEdit())
        self.classes = _line("Classes", "all; or some, with commas between: their order gives the labels")
        self.flips = _choice("Mirror images show the same", FLIPS)
        self.problem = ToneLabel("", "bad")
        self.problem.setWordWrap(True)
        self.problem.hide()
        paths = QHBoxLayout()
        paths.setSpacing(6)
        paths.addWidget(self.path, 1)
        for text, mode in (("File …", QFileDialog.FileMode.ExistingFile), ("Folder …", QFileDialog.FileMode.Directory)):
            button = QPushButton(text)
            button.setToolTip(f"Choose a {text.split()[0].lower()}")
            button.clicked.connect(lambda _checked=False, mode=mode: self._browse(mode))
            paths.addWidget(button)
        form = QFormLayout(self)
        form.setContentsMargins(14, 10, 14, 12)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        form.addRow(title)
        form.addRow(lead)
        form.addRow("File or folder", paths)
        for label, widget in (
            ("Name", self.name), ("Format", self.format), ("Validation images", self.validation),
            ("Side in pixels", self.side), ("Classes", self.classes), ("Mirror images the same", self.flips),
        ):  # fmt: skip
            form.addRow(label, widget)
        form.addRow(self.problem)
        form.addRow(self._foot())
        for line in (self.path, self.name, self.validation, self.side, self.classes):
            line.returnPressed.connect(self.accept)

    def offer(self, paths: list[str]) -> None:
        """Take what was dropped or chosen; of several things only a folder that holds them can be one data set."""
        self.path.setText(paths[0] if len(paths) == 1 else "")
        several = (
            "A data set is one file or one folder; drop the folder that holds these files." if len(paths) > 1 else ""
        )
        self._say(several)
        self.path.setFocus()

    def options(self) -> list[str]:
        """The options of the command for what was filled in."""
        given = [
            ("--name", self.name.text()), ("--validation", self.validation.text()), ("--size", self.side.text()),
            ("--classes", self.classes.text()),
        ]  # fmt: skip
        chosen = self.format.currentData()
        options = ["--format", chosen] if chosen != "auto" else []
        options += [f"{option}={text.strip()}" for option, text in given if text.strip()]
        return options + ([self.flips.currentData()] if self.flips.currentData() else [])

    def accept(self) -> None:
        """Say what is missing, or begin."""
        path = self.path.text().strip()
        numbers = {"Validation images": self.validation.text(), "Side in pixels": self.side.text()}
        wrong = [label for label, text in numbers.items() if text.strip() and not text.strip().isdigit()]
        if not path:
            self._say("Say which file or folder.")
            self.path.setFocus()
        elif wrong:
            self._say(f"{wrong[0]} must be a whole number, or be left empty.")
        else:
            self._say("")
            self.accepted.emit(path, self.options())

    def clear(self) -> None:
        """Empty for the next one."""
        for line in (self.path, self.name, self.validation, self.side, self.classes):
            line.clear()
        self.format.setCurrentIndex(0)
        self.flips.setCurrentIndex(0)
        self._say("")

    def _foot(self) -> QHBoxLayout:
        self.add_button = QPushButton(icon("add", "accent_text"), "Add")
        set_role(self.add_button, "primary")
        self.add_button.clicked.connect(self.accept)
        close = QPushButton("Close")
        close.clicked.connect(self.closed)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(close)
        row.addWidget(self.add_button)
        return row

    def _say(self, problem: str) -> None:
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))

    def _browse(self, mode: QFileDialog.FileMode) -> None:
        dialog = QFileDialog(self.window(), "Choose a data set")
        dialog.setFileMode(mode)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.offer([path]))
        dialog.open()


def _line(name: str, hint: str, line: QLineEdit | None = None) -> QLineEdit:
    line = QLineEdit() if line is None else line
    line.setAccessibleName(name)
    line.setPlaceholderText(hint)
    line.setAcceptDrops(False)  # it would take the address of a file for text; the page takes files
    return line


def _choice(name: str, choices: dict[str, str]) -> QComboBox:
    box = CalmComboBox()
    box.setAccessibleName(name)
    for value, text in choices.items():
        box.addItem(text, value)
    return box
