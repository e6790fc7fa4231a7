"""Pictures: pixels stay what they are."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor

from difrob.runs import Pictures
from difrob_gui.widgets.image_browser import ImageBrowser
from difrob_gui.widgets.image_grid import ImageMosaic


def batch(count: int = 6, side: int = 8, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def shown(qtbot, widget, width: int = 500, height: int = 400):
    qtbot.addWidget(widget)
    widget.resize(width, height)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


@pytest.mark.parametrize("channels", [1, 3])
def test_each_pixel_becomes_a_block_of_exactly_its_colour(qtbot, channels: int) -> None:
    mosaic = shown(qtbot, ImageMosaic())
    images = batch(5, 8, channels)
    mosaic.set_scale(4)
    mosaic.show_images(images)
    picture = mosaic.grab().toImage()
    ratio = mosaic.devicePixelRatioF()
    for number in range(5):
        cell = mosaic._place(number)
        left = round((cell.x() + (cell.width() - 8 * 4 / ratio) / 2) * ratio)
        top = round(cell.y() * ratio)
        for y in range(8):
            for x in range(8):
                wanted = images[number, y, x]
                wanted = (int(wanted[0]),) * 3 if channels == 1 else tuple(int(v) for v in wanted)
                for dx, dy in ((0, 0), (3, 3)):
                    found = QColor(picture.pixelColor(left + 4 * x + dx, top + 4 * y + dy))
                    assert (found.red(), found.green(), found.blue()) == wanted


def test_fit_chooses_the_largest_whole_factor_that_leaves_nothing_out(qtbot) -> None:
    mosaic = ImageMosaic()
    from PySide6.QtWidgets import QScrollArea

    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setWidget(mosaic)
    shown(qtbot, area, 600, 300)
    mosaic.show_images(batch(20))
    assert mosaic.factor >= 7
    assert mosaic.heightForWidth(area.viewport().width()) <= area.viewport().height()
    mosaic.show_images(batch(400))
    assert mosaic.factor >= round(56 * mosaic.devicePixelRatioF() / 8), "many pictures scroll instead of vanishing"
    assert mosaic.heightForWidth(area.viewport().width()) > area.viewport().height()
    cell = mosaic._place(0).width() + 6
    assert (mosaic.columns + 1) * cell > area.viewport().width() - 16, "no more of them would fit into a row"


@pytest.mark.parametrize("width", [130, 333, 640, 900])
def test_pairs_are_never_torn_apart_when_a_pair_fits(qtbot, width: int) -> None:
    mosaic = shown(qtbot, ImageMosaic(), width, 300)
    mosaic.set_scale(4)
    mosaic.show_images(batch(10), [str(k) for k in range(10)], group=2)
    assert mosaic.columns % 2 == 0


@pytest.mark.parametrize("group", [1, 2])
def test_the_picture_under_a_point_is_the_one_drawn_there(qtbot, group: int) -> None:
    mosaic = shown(qtbot, ImageMosaic(), 420, 400)
    mosaic.set_scale(3)
    mosaic.show_images(batch(17), group=group)
    for number in range(17):
        assert mosaic.number_at(mosaic._place(number).center()) == number
    assert mosaic.number_at(mosaic.rect().bottomRight()) == -1


def test_keys_choose_and_the_choice_is_spoken(qtbot) -> None:
    mosaic = shown(qtbot, ImageMosaic())
    mosaic.show_images(batch(6), [f"label {k}" for k in range(6)])
    chosen: list[int] = []
    mosaic.chosen_changed.connect(chosen.append)
    qtbot.keyClick(mosaic, Qt.Key.Key_Right)
    qtbot.keyClick(mosaic, Qt.Key.Key_Right)
    qtbot.keyClick(mosaic, Qt.Key.Key_Left)
    assert chosen == [0, 1, 0]
    assert mosaic.accessibleDescription() == "6 pictures; chosen 0: label 0"
    qtbot.mouseClick(mosaic, Qt.MouseButton.LeftButton, pos=mosaic._place(3).center())
    assert mosaic.chosen == 3


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 1)), np.zeros((2, 8, 8, 4), np.uint8)]
)
def test_arrays_of_another_form_are_refused(qtbot, images: np.ndarray) -> None:
    mosaic = ImageMosaic()
    qtbot.addWidget(mosaic)
    with pytest.raises(ValueError, match="uint8"):
        mosaic.show_images(images)


def pictures(step: int, name: str = "generated") -> Pictures:
    return Pictures(name, step, batch(4, seed=step), ["a", "b", "c", "d"])


def test_the_slider_goes_through_the_steps_and_stays_with_the_newest(qtbot) -> None:
    browser = shown(qtbot, ImageBrowser())
    browser.set_pictures({"generated": [pictures(100), pictures(200)]})
    assert browser.shown.step == 200
    browser.set_pictures({"generated": [pictures(100), pictures(200), pictures(300)]})
    assert browser.shown.step == 300, "at the right end the newest is followed"
    qtbot.mouseClick(browser.earlier, Qt.MouseButton.LeftButton)
    assert browser.shown.step == 200
    browser.set_pictures({"generated": [pictures(100), pictures(200), pictures(300), pictures(400)]})
    assert browser.shown.step == 200, "who looks at an older step is left there"
    browser.slider.setValue(3)
    assert browser.shown.step == 400
    assert browser.where.text() == "step 400  (4 of 4)"


def test_a_single_batch_needs_no_slider(qtbot) -> None:
    browser = shown(qtbot, ImageBrowser())
    browser.set_pictures({"generated": [pictures(100)]})
    assert not browser.slider.isVisible() and not browser.where.isVisible()
    browser.set_pictures({"generated": [pictures(100), pictures(200)]})
    assert browser.slider.isVisible()


def test_long_captions_break_at_their_comma(qtbot) -> None:
    mosaic = shown(qtbot, ImageMosaic())
    mosaic.set_scale(4)
    mosaic.show_images(batch(2), ["label 1", "label 2"])
    one = mosaic.heightForWidth(500)
    mosaic.show_images(batch(2), ["label 1", "label 2 -> 3, broken by margin"])
    assert mosaic.heightForWidth(500) > one
    assert mosaic.caption(1) == "1: label 2 -> 3, broken by margin"


def test_sets_are_chosen_by_name(qtbot) -> None:
    browser = shown(qtbot, ImageBrowser())
    browser.set_pictures({"generated": [pictures(1)], "nearest_training": [pictures(2, "nearest_training")]})
    assert [browser.chooser.itemText(k) for k in range(2)] == ["Generated", "Nearest training"]
    browser.chooser.setCurrentIndex(1)
    assert browser.shown.name == "nearest_training"
    browser.set_pictures(
        {"generated": [pictures(1), pictures(5)], "nearest_training": [pictures(2, "nearest_training")]}
    )
    assert browser.shown.name == "nearest_training"


def test_without_pictures_it_says_so(qtbot) -> None:
    browser = shown(qtbot, ImageBrowser())
    assert browser.empty.isVisible() and not browser.bar.isVisible()
    assert "No pictures yet" in browser.empty.text
    browser.set_pictures({"generated": [pictures(1)]})
    assert not browser.empty.isVisible() and browser.bar.isVisible()
    browser.set_pictures({})
    assert browser.shown is None and browser.empty.isVisible()
