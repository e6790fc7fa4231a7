"""The one table of actions, from which menus, shortcuts, the command palette and the help page are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar, QWidget

from difrob_gui.grades import GRADES
from difrob_gui.theme import icon


@dataclass(frozen=True)
class ActionInfo:
    """One thing that can be done.

    Attributes:
        id: its name in the program, ``menu.verb``.
        text: what menus and palette show; ``&`` marks the letter.
        menu: the menu in which it stands.
        help: one sentence for tooltip and help page.
        shortcut: keys in Qt's portable form; empty for none.
        icon: name of its icon; empty for none.
        choice: name of a group of which one is chosen; empty for a plain action.
        checkable: whether it is on or off.
        needs: ``run`` when it works on the current run, ``entry`` on the chosen entries of the queue, ``data`` on the
            chosen data set, ``study`` on the chosen study.
        where: ``runs`` or ``queue`` when its keys hold only while that table has the focus; else they hold everywhere.
        separated: a line is drawn above it in the menu.
        words: further words by which the palette finds it.
    """

    id: str
    text: str
    menu: str
    help: str
    shortcut: str = ""
    icon: str = ""
    choice: str = ""
    checkable: bool = False
    needs: str = ""
    where: str = ""
    separated: bool = False
    words: str = ""

    @property
    def plain_text(self) -> str:
        """The text without the mark of its letter."""
        return self.text.replace("&", "")


def _stop_text(grade: str) -> str:
    """Each grade says in every menu within what time it acts."""
    return f"&{GRADES[grade].text}"


MENUS = ("File", "Run", "Queue", "Data", "Study", "View", "Help")

ACTIONS: tuple[ActionInfo, ...] = (
    ActionInfo("file.open_workspace", "&Open workspace …", "File", "Open another workspace in a new window.",
               "Ctrl+O", "open", words="folder"),
    ActionInfo("file.show_workspace", "Show workspace &folder", "File", "Open the workspace in the file manager.",
               icon="folder"),
    ActionInfo("file.refresh", "&Refresh", "File", "Read the list of runs and the presets again.", "F5", "refresh",
               words="reload"),
    ActionInfo("file.connect", "Connect to the &supervisor", "File",
               "Try to reach the supervisor again, starting one if none runs.", icon="plug", words="reconnect start"),
    ActionInfo("file.close", "&Close window", "File", "Close the window; runs and the queue go on.", "Ctrl+W", "close",
               separated=True, words="quit exit"),

    ActionInfo("run.new", "&New run …", "Run", "Choose a method and its settings.", "Ctrl+N", "add", words="launch start"),
    ActionInfo("run.start", "&Start", "Run", "Submit what the Launch page shows.", "Ctrl+Return", "launch",
               words="submit go"),
    ActionInfo("run.duplicate", "&Duplicate with changes …", "Run",
               "Fill the Launch page with the settings of the current run.", "Ctrl+D", "copy", needs="run", words="again"),
    ActionInfo("run.show", "Show in &Monitor", "Run", "Show curves, pictures and log of the current run.",
               "Ctrl+M", "monitor", needs="run", separated=True, words="open watch"),
    ActionInfo("run.check", "&Choose for comparison", "Run", "Tick or untick the current run for the Compare page.",
               "Ctrl+B", "check", needs="run", words="tick select"),
    ActionInfo("run.compare", "C&ompare chosen runs", "Run", "Show the ticked runs side by side.", "Ctrl+T", "compare",
               words="overlay"),
    ActionInfo("run.uncheck_all", "&Untick all runs", "Run", "Choose no run for comparison.", "Ctrl+Shift+T",
               words="clear selection"),
    ActionInfo("run.pause", _stop_text("pause"), "Run", GRADES["pause"].help, "Ctrl+P", "pause", needs="run",
               separated=True),
    ActionInfo("run.resume", "&Resume", "Run", "Let a paused run go on, or queue an interrupted one again from its "
               "last checkpoint.", "Ctrl+R", "resume", needs="run", words="continue"),
    ActionInfo("run.stop", _stop_text("stop"), "Run", GRADES["stop"].help, "Ctrl+.", "stop", needs="run"),
    ActionInfo("run.abort", _stop_text("abort"), "Run", GRADES["abort"].help, icon="abort", needs="run"),
    ActionInfo("run.kill", _stop_text("kill"), "Run", GRADES["kill"].help, icon="kill", needs="run", words="force"),
    ActionInfo("run.copy_id", "Copy &id", "Run", "Copy the id of the current run to the clipboard.", "Ctrl+Shift+C",
               "copy", needs="run", separated=True),
    ActionInfo("run.show_file", "Show &file in folder", "Run", "Open the folder with the run's HDF5 file.",
               icon="folder", needs="run", words="hdf5 h5"),
    ActionInfo("run.remove", "Move to &bin", "Run", "Take the current run out of the list; it can be undone.",
               "Del", "delete", needs="run", where="runs",
               words="delete remove"),

    ActionInfo("queue.pause", "&Pause the queue", "Queue", "Start no further runs until released; live runs go on.",
               "Ctrl+Shift+H", "pause", checkable=True, words="hold all"),
    ActionInfo("queue.undo", "Undo chan&ge", "Queue", "Take back the last change of the queue.", "Ctrl+Z", "undo",
               where="queue", separated=True, words="back revert"),
    ActionInfo("queue.redo", "Redo chan&ge", "Queue", "Do again what was taken back last.", "Ctrl+Shift+Z", "redo",
               where="queue", words="again"),
    ActionInfo("queue.up", "Move &up", "Queue", "Let the chosen entries start one place earlier.", "Alt+Up", "move-up",
               needs="entry", where="queue", separated=True),
    ActionInfo("queue.down", "Move &down", "Queue", "Let the chosen entries start one place later.", "Alt+Down",
               "move-down", needs="entry", where="queue"),
    ActionInfo("queue.top", "Move to &top", "Queue", "Let the chosen entries start next.", "Alt+Home", "move-top",
               needs="entry", where="queue"),
    ActionInfo("queue.bottom", "Move to &bottom", "Queue", "Let the chosen entries start last.", "Alt+End",
               "move-bottom", needs="entry", where="queue"),
    ActionInfo("queue.raise", "Ra&ise priority", "Queue",
               "Let the chosen entries start before all of lower priority, wherever they stand.", "Ctrl+Shift+Up",
               "priority-up", needs="entry", where="queue", separated=True, words="urgent first"),
    ActionInfo("queue.lower", "&Lower priority", "Queue",
               "Let the chosen entries start after all of higher priority, wherever they stand.", "Ctrl+Shift+Down",
               "priority-down", needs="entry", where="queue", words="later last"),
    ActionInfo("queue.hold", "&Hold or release", "Queue", "Keep the chosen entries from starting, or let them start.",
               "Ctrl+H", "hold", needs="entry", where="queue", separated=True),
    ActionInfo("queue.edit", "&Edit …", "Queue", "Change the settings of a waiting entry.", "F2", "edit",
               needs="entry", where="queue"),
    ActionInfo("queue.duplicate", "D&uplicate entry", "Queue", "Put the same settings into the queue once more.",
               "Ctrl+Shift+D", "copy", needs="entry", where="queue"),
    ActionInfo("queue.remove", "&Remove from queue", "Queue",
               "Take waiting or ended entries out of the queue; files of runs stay, and it can be undone.", "Del", "remove",
               needs="entry", where="queue"),

    ActionInfo("data.add", "&Add a data set …", "Data", "Take a data set over from the files in which it was published.",
               "Ctrl+Shift+A", "add", words="import mnist cifar svhn folder"),
    ActionInfo("data.use", "&Use in a new run", "Data", "Show the Launch page with the chosen data set filled in.",
               icon="launch", needs="data"),
    ActionInfo("data.check", "&Check", "Data", "Read every byte of the chosen data set again and compare digests.",
               icon="check-circle", needs="data", separated=True, words="verify digest"),
    ActionInfo("data.remove", "&Remove", "Data", "Move the chosen data set to the bin, unless live or waiting runs need it.",
               icon="delete", needs="data", words="delete bin"),

    ActionInfo("study.run", "&Begin …", "Study", "Write down what will be decided, and queue all runs of the chosen study.",
               icon="launch", needs="study", words="run start"),
    ActionInfo("study.continue", "&Continue", "Study", "Queue again what is missing of the chosen study.", icon="resume",
               needs="study", words="resume"),
    ActionInfo("study.compare", "C&ompare its runs", "Study", "Show the measured runs of the chosen study side by side.",
               icon="compare", needs="study"),

    ActionInfo("view.launch", "&Launch", "View", "Choose a method and start runs.", "Ctrl+1", "launch", choice="page"),
    ActionInfo("view.queue", "&Queue", "View", "See and change what runs next.", "Ctrl+2", "queue", choice="page"),
    ActionInfo("view.monitor", "&Monitor", "View", "Watch one run.", "Ctrl+3", "monitor", choice="page"),
    ActionInfo("view.compare", "&Compare", "View", "See chosen runs side by side.", "Ctrl+4", "compare", choice="page"),
    ActionInfo("view.studies", "&Studies", "View", "Comparisons declared beforehand, and how they stand.", "Ctrl+5",
               "studies", choice="page"),
    ActionInfo("view.data", "&Data", "View", "The data sets of the workspace.", "Ctrl+6", "data", choice="page",
               words="dataset"),
    ActionInfo("view.find_run", "&Find a run", "View", "Jump to the search box above the table of runs.", "Ctrl+F",
               "search", separated=True, words="filter"),
    ActionInfo("view.runs_panel", "&Runs panel", "View", "Show or hide the table of runs.", "Ctrl+Shift+B", "sidebar",
               checkable=True, words="sidebar"),
    ActionInfo("view.follow", "Follow what &runs", "View", "Let the Monitor page turn to each run as it begins.",
               "Ctrl+Shift+F", "eye", checkable=True, words="monitor live"),
    ActionInfo("view.palette", "Command &palette …", "View", "Find any action or run by a few letters.", "Ctrl+Shift+P",
               "command"),
    ActionInfo("view.theme_system", "Theme: follow the &system", "View", "Light or dark, as the desktop says.",
               choice="theme", separated=True, words="colours"),
    ActionInfo("view.theme_light", "Theme: &light", "View", "Dark text on light ground.", icon="sun", choice="theme",
               words="colours"),
    ActionInfo("view.theme_dark", "Theme: &dark", "View", "Light text on dark ground.", icon="moon", choice="theme",
               words="colours night"),
    ActionInfo("view.theme_contrast", "Theme: &high contrast", "View", "White on black with strong borders.",
               icon="contrast", choice="theme", words="colours accessibility"),

    ActionInfo("help.keys", "&Keys and actions", "Help", "This table of everything that can be done.", "F1", "keyboard",
               words="shortcuts manual"),
    ActionInfo("help.about", "&About difrob", "Help", "Versions of difrob, Qt and Python.", icon="info", words="version"),
)  # fmt: skip

BY_ID = {info.id: info for info in ACTIONS}


class ActionTable(QObject):
    """The actions of one window as ``QAction`` objects; handlers are bound by id."""

    def __init__(self, window: QWidget) -> None:
        """Make all actions; those that are not bound to one table work everywhere in ``window``."""
        super().__init__(window)
        self._actions: dict[str, QAction] = {}
        self._bound: set[str] = set()
        groups: dict[str, QActionGroup] = {}
        for info in ACTIONS:
            action = QAction(info.text, self)
            action.setObjectName(info.id)
            action.setCheckable(info.checkable or bool(info.choice))
            action.setStatusTip(info.help)
            if info.icon:
                action.setIcon(icon(info.icon))
            if info.shortcut:
                action.setShortcut(QKeySequence(info.shortcut))
            action.setToolTip(info.help + (f" ({keys_text(info)})" if info.shortcut else ""))
            if info.choice:
                groups.setdefault(info.choice, QActionGroup(self)).addAction(action)
            self._actions[info.id] = action
            if not info.where:
                window.addAction(action)

    def __getitem__(self, action_id: str) -> QAction:
        return self._actions[action_id]

    def bind(self, action_id: str, handler: Callable[[], object]) -> None:
        """Let an action call ``handler()``."""
        self._bound.add(action_id)
        self._actions[action_id].triggered.connect(lambda _checked=False: handler())

    def attach(self, where: str, widget: QWidget) -> None:
        """Let the keys of the actions of one table work inside ``widget`` only."""
        for info in ACTIONS:
            if info.where == where:
                self._actions[info.id].setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
                widget.addAction(self._actions[info.id])

    def unbound(self) -> list[str]:
        """Actions without a handler; there must be none once the window stands."""
        return [info.id for info in ACTIONS if info.id not in self._bound]

    def enable(self, needs: str, allowed: Callable[[str], bool]) -> None:
        """Enable the actions that work on ``needs`` by asking ``allowed(action id)``."""
        for info in ACTIONS:
            if info.needs == needs:
                self._actions[info.id].setEnabled(allowed(info.id))

    def fill_menu(self, menu: QMenu, name: str) -> None:
        """Put the actions of one menu into it."""
        for info in ACTIONS:
            if info.menu == name:
                if info.separated:
                    menu.addSeparator()
                menu.addAction(self._actions[info.id])

    def fill_menu_bar(self, bar: QMenuBar) -> None:
        """Make all menus."""
        for name in MENUS:
            menu = bar.addMenu(f"&{name}")
            menu.setToolTipsVisible(True)
            self.fill_menu(menu, name)

    def context_menu(self, parent: QWidget, action_ids: tuple[str, ...]) -> QMenu:
        """A context menu of some actions; an empty id is a line."""
        menu = QMenu(parent)
        menu.setToolTipsVisible(True)
        for action_id in action_ids:
            if action_id:
                menu.addAction(self._actions[action_id])
            else:
                menu.addSeparator()
        return menu


def keys_text(info: ActionInfo) -> str:
    """The keys of an action as this platform writes them."""
    return QKeySequence(info.shortcut).toString(QKeySequence.SequenceFormat.NativeText)
