"""One data set: how many images each class has, some of them, and what is known about their origin."""

from __future__ import annotations

import html
import time

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from difrob.runs.datasets import DataSetRecord
from difrob_gui.models.data_examples import Examples
from difrob_gui.models.data_words import counts_text, origin_meaning, size_text, validation_text
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.card import titled_card
from difrob_gui.widgets.class_bars import ClassBars
from difrob_gui.widgets.field_editor import CalmComboBox
from difrob_gui.widgets.image_grid import ImageMosaic
from difrob_gui.widgets.responsive_grid import ResponsiveGrid
from difrob_gui.widgets.tone_label import ToneLabel

SHOWN_SIDE = 48
MOST_FILES = 6


class DataSetView(QWidget):
    """Everything about the chosen data set; ``split_changed`` asks for examples of another split."""

    split_changed = Signal(str)
    use_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._record: DataSetRecord | None = None
        self.title = QLabel(wordWrap=True)
        set_role(self.title, "heading")
        self.about = QLabel(wordWrap=True)
        set_role(self.about, "muted")
        self.use = QPushButton(icon("launch", "text_muted"), "Use in a new run")
        self.use.setToolTip("Show the Launch page with this data set filled in")
        self.use.clicked.connect(self._on_use)
        self.split = CalmComboBox()
        self.split.setAccessibleName("Split")
        self.split.setToolTip("Of which split classes and examples are shown")
        self.split.activated.connect(self._on_split)
        self.bars = ClassBars()
        self.range = QLabel(wordWrap=True)
        set_role(self.range, "caption")
        self.facts = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.facts.setAccessibleName("Facts")
        self.mosaic = ImageMosaic()
        self.mosaic.setAccessibleName("Examples")
        self.note = ToneLabel("", "text_muted")
        self.note.setWordWrap(True)
        self._bars_card = titled_card("Images per class", self.bars, self.range, at_top=True)
        self._facts_card = titled_card("What it is", self.facts, at_top=True)
        self.origin = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
        self.origin.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.origin.setAccessibleName("Where it comes from")
        self._origin_card = titled_card("Where it comes from", self.origin, at_top=True)
        self._examples_card = titled_card("Examples", self.mosaic, self.note, at_top=True)
        self._cards = ResponsiveGrid(least_width=300, row_height=0, most_columns=2)
        self._cards.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        head = QHBoxLayout()
        head.setSpacing(10)
        names = QVBoxLayout()
        names.setSpacing(0)
        names.addWidget(self.title)
        names.addWidget(self.about)
        head.addLayout(names, 1)
        head.addWidget(self.split, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self.use, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(12)
        column.addLayout(head)
        column.addWidget(self._cards)
        column.addWidget(self._examples_card)
        column.addWidget(self._origin_card)
        column.addStretch(1)

    @property
    def record(self) -> DataSetRecord | None:
        """The data set on show."""
        return self._record

    @property
    def chosen_split(self) -> str:
        """Name of the split on show; empty for a set without any."""
        return str(self.split.currentData() or "")

    def show_record(self, record: DataSetRecord) -> None:
        """Show a data set; its examples follow by :meth:`show_examples`."""
        before, split = self._record, self.chosen_split
        self._record = record
        self.title.setText(record.name)
        self.about.setText(record.title)
        self.split.clear()
        for name, stored in record.splits.items():
            self.split.addItem(f"{name}  ·  {stored.images:,}", name)
        kept = self.split.findData(split) if before is not None and before.name == record.name else -1
        self.split.setCurrentIndex(max(kept, 0))
        self.split.setVisible(bool(record.splits))
        self.facts.setText(table_html(facts_of(record)))
        self.origin.setText(table_html(origin_of(record)))
        self._origin_card.setVisible(record.folder is not None)
        self._cards.set_widgets([self._bars_card, self._facts_card] if record.splits else [self._facts_card])
        self._examples_card.setVisible(not record.is_points)
        self._show_counts()

    def show_examples(self, examples: Examples, problem: str = "") -> None:
        """Show images, or why there are none."""
        if len(examples.images):
            side = max(examples.images.shape[1:3])
            self.mosaic.set_scale(max(1, round(SHOWN_SIDE * self.devicePixelRatioF() / side)))
            self.mosaic.show_images(examples.images, examples.captions)
        else:
            self.mosaic.clear()
        self.mosaic.setVisible(len(examples.images) > 0)
        said = problem or examples.note or ("" if len(examples.images) else "There are no images in this split.")
        self.note.set_tone("bad" if problem else "text_muted")
        self.note.setText(said)
        self.note.setVisible(bool(said))

    def _show_counts(self) -> None:
        if self._record is None or not self._record.splits:
            return
        self.bars.show_counts(self._record.class_names, self._record.splits[self.chosen_split].per_class)
        self.range.setText(f"{self.bars.summary()}, split “{self.chosen_split}”")

    def _on_split(self, _row: int) -> None:
        self._show_counts()
        self.split_changed.emit(self.chosen_split)

    def _on_use(self) -> None:
        if self._record is not None:
            self.use_wanted.emit(self._record.name)


def facts_of(record: DataSetRecord) -> list[tuple[str, str]]:
    """What the data set holds, as (label, text)."""
    mirrored = "show the same" if record.flips else "do not show the same"
    facts = [
        ("Images", counts_text(record)), ("Size", size_text(record)), ("Classes", _classes(record)),
        ("Mirror images", mirrored if not record.is_points else ""), ("Validation", validation_text(record)),
        ("Files", origin_meaning(record)),
    ]  # fmt: skip
    return facts + [("Note", note) for note in record.notes]


def origin_of(record: DataSetRecord) -> list[tuple[str, str]]:
    """From which files it was read and where it lies now, as (label, text)."""
    files = list(record.source_files.items())
    read = [(name, f"{file.bytes:,} bytes, md5 {file.md5}") for name, file in files[:MOST_FILES]]
    more = f"and {len(files) - MOST_FILES} more files" if len(files) > MOST_FILES else ""
    added = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.added)) if record.added else ""
    return [
        ("Format", record.format), ("Source", record.source_path), *read, ("", more), ("Digest", record.digest),
        ("Added", added), ("Lies in", str(record.folder or "")),
    ]  # fmt: skip


def table_html(rows: list[tuple[str, str]]) -> str:
    """Labels and texts as a table; lines without a text are left out."""
    lines = (
        f'<tr><td style="padding-right: 12px"><b>{_breakable(label)}</b></td><td>{_breakable(text)}</td></tr>'
        for label, text in rows
        if text
    )
    return f'<table cellspacing="0" cellpadding="2">{"".join(lines)}</table>'


def _classes(record: DataSetRecord) -> str:
    names = record.class_names
    return ", ".join(names) if len(names) <= 12 else f"{len(names)}: {', '.join(names[:8])} …"


def _breakable(text: str) -> str:
    """Long paths and digests may be broken, or the card could not become narrow."""
    return html.escape(text).replace("/", "/&#8203;").replace("_", "_&#8203;")
