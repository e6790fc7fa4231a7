"""Every widget of a test is really gone before the next test begins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QCoreApplication, QEvent


@pytest.fixture(autouse=True)
def widgets_are_gone() -> Iterator[None]:
    """Carry out what ``deleteLater`` promised: outside an event loop nobody else does, and widgets of earlier tests pile up."""
    yield
    if QCoreApplication.instance() is not None:
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
