"""All batches of pictures of a run: which set, which step, how large."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QScrollArea, QSlider, QToolButton, QVBoxLayout, QWidget

from difrob.runs import Pictures
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.empty_state import EmptyState
from difrob_gui.widgets.image_grid import ImageMosaic, group_size

_SCALES = (("Fit", 0), ("1×", 1), ("2×", 2), ("4×", 4), ("6×", 6), ("8×", 8), ("12×", 12))


class ImageBrowser(QWidget):
    """Chooser, slider over the recorded steps, and the mosaic. At the right end it stays with the newest batch."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sets: dict[str, list[Pictures]] = {}
        self._shown: Pictures | None = None
        self.chooser = QComboBox()
        self.chooser.setAccessibleName("Set of pictures")
        self.chooser.setToolTip("Which pictures of the run")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Step of the pictures")
        self.slider.setToolTip("Go through the recorded steps; at the right end the newest one is shown")
        self.slider.setPageStep(1)
        self.earlier = self._button("chevron-left", "Earlier pictures")
        self.later = self._button("chevron-right", "Later pictures")
        self.where = QLabel()
        self.where.setMinimumWidth(self.fontMetrics().averageCharWidth() * 24)
        self.scale = QComboBox()
        self.scale.setAccessibleName("Enlargement")
        self.scale.setToolTip("By how much each pixel is enlarged, without smoothing")
        for text, factor in _SCALES:
            self.scale.addItem(text, factor)
        self.mosaic = ImageMosaic()
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setWidget(self.mosaic)
        self.area.setFrameShape(QScrollArea.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.empty = EmptyState(
            "image",
            "No pictures yet",
            "Runs record samples and attacked images as they go; they appear here step by step.",
        )

        self.bar = QWidget()
        bar = QHBoxLayout(self.bar)
        bar.setContentsMargins(0, 0, 0, 0)
        bar.setSpacing(8)
        bar.addWidget(self.chooser)
        bar.addWidget(self.earlier)
        bar.addWidget(self.slider, 1)
        bar.addWidget(self.later)
        bar.addWidget(self.where)
        bar.addStretch(0)
        bar.addWidget(self.scale)
        self.caption = QLabel()
        set_role(self.caption, "caption")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.bar)
        layout.addWidget(self.area, 1)
        layout.addWidget(self.caption)
        layout.addWidget(self.empty, 1)

        self.chooser.currentIndexChanged.connect(self._on_chosen)
        self.slider.valueChanged.connect(self._show)
        self.earlier.clicked.connect(lambda: self.slider.setValue(self.slider.value() - 1))
        self.later.clicked.connect(lambda: self.slider.setValue(self.slider.value() + 1))
        self.scale.currentIndexChanged.connect(lambda: self.mosaic.set_scale(self.scale.currentData()))
        self.mosaic.chosen_changed.connect(self._tell)
        self.set_pictures({})

    @property
    def shown(self) -> Pictures | None:
        """The batch in view."""
        return self._shown

    def set_pictures(self, sets: dict[str, list[Pictures]]) -> None:
        """Show these sets, each in order of recording. Called again as they grow; the view follows if it stood at the end."""
        was_at_end = self.slider.value() == self.slider.maximum()
        name = self.chooser.currentData()
        self._sets = {key: list(batches) for key, batches in sets.items() if batches}
        if [self.chooser.itemData(row) for row in range(self.chooser.count())] != list(self._sets):
            self.chooser.blockSignals(True)
            self.chooser.clear()
            for key in self._sets:
                self.chooser.addItem(_heading(key), key)
            self.chooser.setCurrentIndex(max(self.chooser.findData(name), 0))
            self.chooser.blockSignals(False)
        for part in (self.bar, self.area, self.caption):
            part.setVisible(bool(self._sets))
        self.empty.setVisible(not self._sets)
        self._stretch(was_at_end or self.chooser.currentData() != name)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show()

    def _on_chosen(self) -> None:
        self._stretch(to_end=True)

    def _stretch(self, to_end: bool) -> None:
        """Fit the slider to the batches of the chosen set."""
        count = len(self._sets.get(self.chooser.currentData(), []))
        value = count - 1 if to_end else min(self.slider.value(), count - 1)
        self.slider.blockSignals(True)
        self.slider.setRange(0, max(count - 1, 0))
        self.slider.setValue(max(value, 0))
        self.slider.blockSignals(False)
        self._show()

    def _show(self, _value: int = 0) -> None:
        batches = self._sets.get(self.chooser.currentData(), [])
        at = self.slider.value()
        batch = batches[at] if batches else None
        for part in (self.earlier, self.slider, self.later, self.where):
            part.setVisible(len(batches) > 1)
        self.earlier.setEnabled(at > 0)
        self.later.setEnabled(at + 1 < len(batches))
        if batch is None:
            self._shown = None
            self.mosaic.clear()
            return
        self.where.setText(f"step {batch.step:,}  ({at + 1} of {len(batches)})")
        if batch is not self._shown and self.isVisible():
            self._shown = batch
            self.mosaic.show_images(batch.images, batch.captions, group_size(batch))
            self._tell(self.mosaic.chosen)

    def _tell(self, number: int) -> None:
        if number >= 0:
            self.caption.setText(self.mosaic.caption(number))
        elif self._shown is not None:
            high, wide = self._shown.images.shape[1:3]
            self.caption.setText(f"{self.mosaic.count} pictures of {wide} × {high} pixels, enlarged without smoothing")

    def _button(self, icon_name: str, name: str) -> QToolButton:
        button = QToolButton()
        button.setIcon(icon(icon_name))
        button.setAccessibleName(name)
        button.setToolTip(name)
        button.setAutoRepeat(True)
        return button


def _heading(name: str) -> str:
    """A set of pictures: ``features/feature_plane`` as ``Feature plane``."""
    last = name.rsplit("/", 1)[-1].replace("_", " ")
    return last[:1].upper() + last[1:]
