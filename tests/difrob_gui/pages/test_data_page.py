"""The Data page: what is listed and shown, adding, removing with undo, and what an empty workspace teaches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from pytestqt.qtbot import QtBot
from support.data_files import some_images, write_idx

from difrob.data.adding import add_data_set
from difrob.runs import Workspace
from difrob.runs.datasets import DataSetRecord, SplitRecord
from difrob_gui.data_work import DataWork
from difrob_gui.feeds import FeedHub
from difrob_gui.models.data_shelf import DataShelf
from difrob_gui.pages.data import DataPage
from difrob_gui.widgets.class_bars import ClassBars

PATIENCE = 30_000
# Stands for the command line: moves the data set as `difrob data rm` does, and tells so.
PROGRAM = """
import json, sys
from pathlib import Path
root, command, subject = Path(sys.argv[sys.argv.index("--workspace") + 1]), sys.argv[2], sys.argv[-1]
print(json.dumps({"done": 1, "total": 2, "what": "reading"}), flush=True)
if command == "rm":
    target = root / "bin" / subject
    target.parent.mkdir(exist_ok=True)
    (root / "datasets" / subject).rename(target)
    print(json.dumps({"name": subject, "bin": str(target)}))
elif command == "check":
    sys.exit("difrob: data set 'mine' is damaged (train-labels.npy is missing)")
else:
    print(json.dumps({"name": "mine"}))
"""


def add_mine(workspace: Workspace, tmp_path: Path, name: str = "mine") -> None:
    images, labels = some_images(200)
    folder = write_idx(tmp_path / "files", (images, labels), (images[:50], labels[:50]))
    add_data_set(workspace.datasets, folder, name=name, validation=20)


@pytest.fixture
def make_page(qtbot: QtBot, workspace: Workspace) -> Iterator[Callable[[], DataPage]]:
    made: list[tuple[DataPage, FeedHub]] = []

    def make() -> DataPage:
        hub = FeedHub(workspace)
        page = DataPage(hub, DataShelf(hub), DataWork(workspace.root, [sys.executable, "-c", PROGRAM]))
        made.append((page, hub))
        qtbot.addWidget(page)
        page.resize(800, 700)
        page.show()
        page.begin()
        qtbot.waitUntil(lambda: page.shelf.is_read, timeout=PATIENCE)
        return page

    yield make
    for page, hub in made:
        page.close_down()
        hub.close()


def wait_for_pictures(qtbot: QtBot, page: DataPage) -> None:
    qtbot.waitUntil(lambda: page.view.mosaic.count > 0, timeout=PATIENCE)


def test_an_empty_workspace_teaches_and_shows_what_comes_with_it(
    qtbot: QtBot, make_page: Callable[[], DataPage]
) -> None:
    page = make_page()
    assert page.model.names() == ["digits", "toy-gaussian", "toy-ring", "toy-plane", "toy-digits-subspace"]
    assert "Drop MNIST" in page.teach.message and page.current == "digits"
    assert not page.allows("data.remove") and not page.remove_button.isEnabled()
    wait_for_pictures(qtbot, page)
    assert page.view.mosaic.count == 100 and page.view.range.text().startswith("10 classes, 97 to 102 images each")
    page.choose("toy-ring")
    assert not page.view._examples_card.isVisible() and "as many points as asked for" in page.view.facts.text()
    page.teach.button("Add a data set").click()
    assert page.form.isVisible() and not page.teach.isVisible() and not page.view.isVisible()


def test_what_is_known_of_a_data_set(
    qtbot: QtBot, make_page: Callable[[], DataPage], workspace: Workspace, tmp_path: Path
) -> None:
    add_mine(workspace, tmp_path)
    page = make_page()
    assert page.model.names()[0] == "mine" == page.current and not page.teach.isVisible()
    texts = [page.model.index(0, column).data() for column in range(page.model.columnCount())]
    assert texts[:5] == ["mine", "250", "10", "8 × 8 grey", "own files"]
    wait_for_pictures(qtbot, page)
    record = workspace.data_set("mine")
    assert page.view.bars._counts == record.splits["train"].per_class
    assert record.digest in page.view.origin.text() and "md5" in page.view.origin.text()
    assert "20 images, stratified, held out of train" in page.view.facts.text()
    page.view.split.setCurrentIndex(page.view.split.findData("test"))
    with qtbot.waitSignal(page.view.split_changed):
        page.view.split.activated.emit(page.view.split.currentIndex())
    assert page.view.bars._counts == record.splits["test"].per_class
    qtbot.waitUntil(lambda: page.view.mosaic.count == 50, timeout=PATIENCE)
    with qtbot.waitSignal(page.use_wanted) as told:
        page.view.use.click()
    assert told.args == ["mine"]


def test_removing_and_taking_back(
    qtbot: QtBot, make_page: Callable[[], DataPage], workspace: Workspace, tmp_path: Path
) -> None:
    add_mine(workspace, tmp_path)
    page = make_page()
    with qtbot.waitSignal(page.notice, timeout=PATIENCE) as told:
        page.remove_button.click()
        assert page.progress.isVisible() and not page.allows("data.check")
    assert told.args[:2] == ["“mine” is in the bin.", "info"]
    qtbot.waitUntil(lambda: "mine" not in page.model.names(), timeout=PATIENCE)
    label, undo = told.args[2]
    undo()
    qtbot.waitUntil(lambda: page.current == "mine", timeout=PATIENCE)
    assert label == "Undo" and workspace.data_set("mine").splits["train"].images == 180
    assert not page.progress.isVisible()


def test_a_complaint_stands_on_the_page(
    qtbot: QtBot, make_page: Callable[[], DataPage], workspace: Workspace, tmp_path: Path
) -> None:
    add_mine(workspace, tmp_path)
    page = make_page()
    with qtbot.waitSignal(page.work.failed, timeout=PATIENCE):
        page.check()
    assert page.problem.message.startswith("Not whole. Data set 'mine' is damaged")
    page.problem.button("Close").click()
    assert not page.problem.isVisible()


def test_adding_from_the_form(
    qtbot: QtBot, make_page: Callable[[], DataPage], workspace: Workspace, tmp_path: Path
) -> None:
    page = make_page()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "some folder"))])
    event = QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
                       Qt.KeyboardModifier.NoModifier)  # fmt: skip
    page.dropEvent(event)
    form = page.form
    assert form.isVisible() and form.path.text() == str(tmp_path / "some folder")
    form.offer(["/a/one.gz", "/a/two.gz"])
    assert "drop the folder that holds" in form.problem.text()
    form.add_button.click()
    assert form.problem.text() == "Say which file or folder." and not page.work.is_busy
    form.path.setText("/somewhere")
    form.side.setText("big")
    form.accept()
    assert "must be a whole number" in form.problem.text()
    form.side.setText("32")
    form.name.setText("mine")
    form.classes.setText("cat, dog")
    form.flips.setCurrentIndex(form.flips.findData("--no-flips"))
    form.format.setCurrentIndex(form.format.findData("folders"))
    assert form.options() == ["--format", "folders", "--name=mine", "--size=32", "--classes=cat, dog", "--no-flips"]
    add_mine(workspace, tmp_path)  # what the command would have done
    with qtbot.waitSignal(page.notice, timeout=PATIENCE) as told:
        form.add_button.click()
    assert told.args[:2] == ["“mine” was added.", "good"]
    qtbot.waitUntil(lambda: page.current == "mine", timeout=PATIENCE)
    assert not form.isVisible() and form.path.text() == "" and form.options() == []


def test_a_damaged_data_set_says_so_and_can_only_go(
    qtbot: QtBot, make_page: Callable[[], DataPage], workspace: Workspace, tmp_path: Path
) -> None:
    add_mine(workspace, tmp_path)
    (workspace.datasets.folder / "mine" / "dataset.json").write_text("{")
    page = make_page()
    page.choose("mine")
    assert "damaged" in page.damaged.message and not page.view.isVisible()
    assert page.allows("data.remove") and not page.allows("data.check")
    assert page.model.index(page.model.names().index("mine"), 4).data() == "damaged"


def test_missing_arrays_are_told_where_the_pictures_would_be(
    qtbot: QtBot, make_page: Callable[[], DataPage], workspace: Workspace, tmp_path: Path
) -> None:
    add_mine(workspace, tmp_path)
    (workspace.datasets.folder / "mine" / "train-images.npy").unlink()
    page = make_page()
    qtbot.waitUntil(lambda: "cannot be read" in page.view.note.text(), timeout=PATIENCE)
    assert page.view.mosaic.count == 0


@pytest.mark.parametrize("classes", [1, 10, 20, 21, 1000])
def test_bars_of_any_number_of_classes(qtbot: QtBot, classes: int) -> None:
    bars = ClassBars()
    qtbot.addWidget(bars)
    counts = np.random.default_rng(0).integers(0, 1000, classes).tolist()
    bars.show_counts([f"class {k}" for k in range(classes)], counts)
    bars.resize(400, bars.sizeHint().height())
    bars.show()
    assert bars.sizeHint().height() <= 600 and not bars.grab().isNull()
    assert bars.class_at(-1, 0) == -1 and bars.class_at(0, 0) == 0
    assert classes - 3 <= bars.class_at(399, bars.height() - 1) <= classes - 1
    assert f"{min(counts):,}" in bars.summary() and f"{max(counts):,}" in bars.accessibleDescription()


def test_a_set_without_images_can_be_shown(qtbot: QtBot) -> None:
    bars = ClassBars()
    qtbot.addWidget(bars)
    bars.show_counts(["a"], [0])
    bars.show()
    assert not bars.grab().isNull() and bars.summary() == "1 class, 0 images each"


def test_a_record_with_very_many_splits(qtbot: QtBot, make_page: Callable[[], DataPage]) -> None:
    page = make_page()
    splits: dict[str, Any] = {f"noise-{k}": SplitRecord([1, 2]) for k in range(95)}
    page.view.show_record(DataSetRecord("c", "C", "corrupted", (3, 4, 4), ["a", "b"], splits, flips=True, digest="x"))
    assert page.view.split.count() == 95 and "95 splits, 285 images in all" in page.view.facts.text()
