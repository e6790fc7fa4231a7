"""Starting the window: check that there is a display and that Qt loads, then run it.

Qt ends the whole process when it finds no display or no platform plugin, so everything is checked before it is asked.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from difrob.errors import UserError
from difrob.signals import ended_by_system
from difrob.system import install_command, qt_libraries

if TYPE_CHECKING:
    from difrob.runs import Workspace
    from difrob_gui.main_window import MainWindow
    from difrob_gui.settings import WindowSettings

log = logging.getLogger(__name__)

EXIT_UNUSABLE = 2
WINDOW_PACKAGES = ("PySide6-Essentials", "pyqtgraph")
HEADLESS = ("offscreen", "minimal", "vnc", "linuxfb", "eglfs")


def display_problem(environment: Mapping[str, str], platform: str) -> str:
    """Why no window can be shown in this environment, with the mend; empty when one can."""
    if not platform.startswith("linux"):
        return ""
    chosen = environment.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if chosen in HEADLESS:
        return ""
    if environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"):
        return ""
    return (
        "there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set. Log in with 'ssh -X', start difrob on the desktop, "
        "or use the command line ('difrob runs', 'difrob queue'), which needs no display"
    )


def library_problem(error: ImportError) -> str:
    """What an import error of Qt means, with the command that mends it."""
    text = str(error)
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and error.name.partition(".")[0] in ("PySide6", "pyqtgraph")
    ):
        return (
            f"the window needs {error.name.partition('.')[0]}, which is not installed; run: pip install 'difrob[gui]'"
        )
    library = text.partition(":")[0] if ".so" in text.partition(":")[0] else ""
    what = f"the system library {library}" if library else f"a system library ({text})"
    return f"Qt cannot be loaded, because {what} is missing; run: {_install(window_only=False)}"


def _install(*, window_only: bool) -> str:
    """The command that installs what Qt needs on a Debian family system."""
    return install_command([library.package for library in qt_libraries() if library.window_only == window_only])


def platform_problem(environment: Mapping[str, str], loads: Callable[[str], str]) -> str:
    """What the X11 plugin of Qt lacks; empty when it loads or is not used. ``loads`` returns the loader's complaint."""
    chosen = environment.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if (
        chosen not in ("", "xcb")
        or (not chosen and environment.get("WAYLAND_DISPLAY"))
        or not environment.get("DISPLAY")
    ):
        return ""
    complaint = loads("libqxcb.so")
    if not complaint:
        return ""
    return f"Qt's X11 plugin cannot be loaded ({complaint}); run: {_install(window_only=True)}"


def import_window() -> None:
    """Import what a window needs to be shown, in the order in which that takes least.

    The engine comes before Qt: PySide6 opens the source of every module that is imported after it and looks for its own
    switches there, which takes longer than the import itself.

    Raises:
        ImportError: where something is missing; also for pyqtgraph, which is imported with the first chart only.
    """
    import difrob.worker.messages  # noqa: F401

    if find_spec("pyqtgraph") is None:
        raise ModuleNotFoundError("No module named 'pyqtgraph'", name="pyqtgraph")
    from PySide6 import QtGui, QtNetwork, QtSvg, QtWidgets  # noqa: F401

    import difrob_gui.main_window  # noqa: F401


@contextmanager
def nothing_thrown_away() -> Iterator[None]:
    """For the import and the making of a window, of which nothing becomes garbage: nobody looks for any meanwhile.

    All that was made is left out of later searches, too, so that they do not hold up the window.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def main(workspace: str | None = None, *, theme: str | None = None, follow: bool = False) -> int:
    """Open the window on a workspace and stay until it is closed, or until a signal ends the process.

    A signal is left to the system from the first moment: an exception could be raised in the half-built window only, where Qt
    does not let it through, and ended in a crash or in nothing.

    Args:
        workspace: its folder; the default workspace when None.
        theme: ``system``, ``light``, ``dark`` or ``contrast`` for this session only.
        follow: let the Monitor page turn to each run as it begins.

    Returns:
        0 after a normal close, 2 when no window can be shown; the reason is on stderr.
    """
    with ended_by_system(), ExitStack() as making:
        making.enter_context(nothing_thrown_away())
        problem = display_problem(os.environ, sys.platform)
        if not problem:
            try:
                import_window()
            except ImportError as error:
                problem = library_problem(error)
        if not problem and sys.platform.startswith("linux"):
            problem = platform_problem(os.environ, _plugin_complaint)
        if problem:
            print(f"difrob: {problem}", file=sys.stderr)
            return EXIT_UNUSABLE
        try:
            return _run(workspace, theme, follow, making.close)
        except UserError as error:
            print(f"difrob: {error}", file=sys.stderr)
            return EXIT_UNUSABLE
        except ImportError as error:
            print(f"difrob: {library_problem(error)}", file=sys.stderr)
            return EXIT_UNUSABLE


def _run(workspace: str | None, theme: str | None, follow: bool, made: Callable[[], None]) -> int:
    from PySide6.QtWidgets import QApplication

    from difrob.runs import Workspace, default_workspace
    from difrob_gui.settings import WindowSettings

    place = Workspace(workspace or default_workspace())
    _log_to(place.root / "window.log")
    app = QApplication(sys.argv[:1])
    app.setApplicationName("difrob")
    app.setDesktopFileName("difrob")
    window = compose_window(place, WindowSettings.of_workspace(place.root), theme=theme)
    restore = install_excepthook(window.tell_crash)
    window.show()
    window.start()
    if follow:
        window.follow(True)
    made()
    try:
        return app.exec()
    finally:
        restore()


def compose_window(
    workspace: Workspace, settings: WindowSettings, *, autostart: bool = True, theme: str | None = None
) -> MainWindow:
    """The window with all that belongs to it: its colours, what its actions call, and how it was left.

    Args:
        workspace: the workspace to show.
        settings: where the window remembers itself.
        autostart: whether a supervisor is started when none runs.
        theme: colours for this session instead of the remembered ones.
    """
    from difrob_gui import bindings
    from difrob_gui.main_window import MainWindow
    from difrob_gui.session import Session
    from difrob_gui.theme_choice import ThemeChoice

    choice = ThemeChoice(theme or settings.theme, for_this_session=theme is not None)
    window = MainWindow(workspace, autostart=autostart)
    choice.setParent(window)
    actions, runs = window.actions_table, window.runs
    bindings.bind_workspace(actions, window, workspace.root, window.client, window.tell)
    bindings.bind_runs(actions, window, runs, window.commands)
    bindings.bind_queue(actions, window.queue)
    bindings.bind_views(actions, window, runs, choice)
    window.more.bind()
    session = Session(
        settings, window, frame=window, splitter=window.splitter, runs=runs, feeds=window.feeds, theme=choice
    )
    window.seen.connect(session.split)
    window.closing.connect(session.close)
    session.restore()
    choice.paint()
    return window


def install_excepthook(tell: Callable[[str], None]) -> Callable[[], None]:
    """An exception in a slot is logged and told; the window lives on. Returns what takes the hook out again."""
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            before(kind, error, trace)
            return
        log.error("an error in the window\n%s", "".join(traceback.format_exception(kind, error, trace)))
        try:
            tell(f"{kind.__name__}: {error}" if str(error) else kind.__name__)
        except Exception:
            before(kind, error, trace)

    sys.excepthook = hook

    def restore() -> None:
        if sys.excepthook is hook:
            sys.excepthook = before

    return restore


def _log_to(path: Path) -> None:
    """Keep the last of what went wrong beside the runs."""
    try:
        handler = RotatingFileHandler(path, maxBytes=500_000, backupCount=1, encoding="utf-8", delay=True)
    except OSError:
        return
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger("difrob_gui").addHandler(handler)


def _plugin_complaint(name: str) -> str:
    """Try to load a platform plugin of Qt as Qt would; the loader's complaint, or empty."""
    import ctypes

    import PySide6

    path = Path(PySide6.__file__).parent / "Qt" / "plugins" / "platforms" / name
    if not path.exists():
        return ""
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return str(error)
    return ""
