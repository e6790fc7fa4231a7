"""Launch: choose a method, set it up, start it, as often as there are seeds."""

from __future__ import annotations

from html import escape
from typing import Any

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from difrob import words
from difrob.runs.datasets import DataSetRecord
from difrob.specs import KINDS, JobSpec, Preset
from difrob.worker.messages import Entry
from difrob_gui.client import SupervisorClient
from difrob_gui.feeds import FeedHub
from difrob_gui.models.data_set_fields import field_for
from difrob_gui.models.input_check import InputCheck
from difrob_gui.models.spec_fields import Problem
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.method_cards import MethodCards
from difrob_gui.widgets.preset_row import PresetRow
from difrob_gui.widgets.run_header import RunHeader
from difrob_gui.widgets.run_picker import RunOption
from difrob_gui.widgets.scrolling import scroll_area
from difrob_gui.widgets.spec_form import SpecForm
from difrob_gui.widgets.tone_label import ToneLabel

COMPACT_BELOW = 720


class LaunchPage(QWidget):
    """Cards of methods at the left, the form of the chosen one at the right, what will happen at the foot."""

    submitted = Signal(list)
    saved = Signal(str)
    failed = Signal(str)

    def __init__(self, feeds: FeedHub, client: SupervisorClient, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._feeds = feeds
        self._client = client
        self._forms: dict[str, SpecForm] = {}
        self._options: list[RunOption] = []
        self._data_sets: list[DataSetRecord] = []
        self._presets: list[Preset] = []
        self._editing = ""
        self._busy = False
        self._inputs = InputCheck(feeds, self)
        self._inputs.answered.connect(self._on_inputs)
        self.kind = ""
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 12, 16, 12)
        row.setSpacing(16)
        self._methods = MethodCards()
        self._methods.chosen.connect(self.choose_kind)
        self._cards = self._methods.cards
        row.addWidget(self._methods, 3)
        row.addLayout(self._make_middle(), 7)
        feeds.presets_changed.connect(self._on_presets)
        client.state_changed.connect(self._on_state)
        self._on_presets(feeds.presets)
        self._on_state()
        self.choose_kind(next(iter(KINDS)))

    # ------------------------------------------------------------------ what others ask for

    @property
    def form(self) -> SpecForm:
        """The form of the chosen method."""
        return self._forms[self.kind]

    def choose_kind(self, kind: str) -> None:
        """Show the form of a method."""
        if kind == self.kind:
            return
        self._leave_edit()
        self.kind = kind
        if kind not in self._forms:
            self._add_form(kind)
        self._methods.choose(kind)
        spec = KINDS[kind]
        self._title.setText(spec.title)
        self._summary.setText(spec.summary)
        for other, form in self._forms.items():
            form.setVisible(other == kind)
        self._area.setAccessibleName(f"Settings: {spec.title}")
        self._area.verticalScrollBar().setValue(0)
        self._banner.hide()
        self._fill_presets()
        self._on_header()

    def set_run_options(self, options: list[RunOption]) -> None:
        """The runs that can be chosen as inputs."""
        self._options = options
        for form in self._forms.values():
            form.set_run_options(options)
        self._on_validated()

    def set_data_sets(self, records: list[DataSetRecord]) -> None:
        """The data sets of the workspace, built-in ones included."""
        self._data_sets = records
        self._inputs.forget()
        for form in self._forms.values():
            form.set_data_sets(records)

    def use_data_set(self, name: str) -> None:
        """Fill a data set into the form that is chosen, or else into the first one that takes it: corrupted images into that
        of an evaluation, which takes them beside its classifier; points into that of a diffusion model."""
        record = next((record for record in self._data_sets if record.name == name), None)
        kind, field = field_for(record, self.kind)
        self.choose_kind(kind)
        row = self.form.rows[field]
        row.set_value(name)
        row.edited.emit(row.path)
        self.form.validate()
        row.editor.setFocus()

    def duplicate(self, spec: dict[str, Any], title: str) -> None:
        """Fill the form with the settings of a run; what is changed from then on is marked."""
        self._load(spec, f"the value of “{title}”")
        self._show_banner(f"Settings of “{title}”. What you change is marked.", "Start over")

    def edit(self, entry: Entry, title: str) -> None:
        """Change a waiting entry of the queue."""
        self._load(entry.spec, "the value in the queue", entry.lane)
        self._editing = entry.run_id
        self.header.count.setValue(1)
        self.header.count.setEnabled(False)
        self._show_banner(f"Changing “{title}”, which waits in the queue.", "Cancel")
        self._describe()

    def start(self) -> None:
        """Submit what the form shows, or say what is missing."""
        if self._busy:
            return
        self._on_header()
        if self.form.spec is None:
            self.form.focus_problem()
            return
        entries = self.entries()
        self._busy = True
        self._describe()
        if self._editing:
            entry = entries[0]
            self._client.call(
                "edit",
                self._on_saved,
                run_id=self._editing,
                spec=entry["spec"],
                after=entry["after"],
                lane=entry["lane"],
            )
        else:
            self._client.call("submit", self._on_submitted, entries=entries)

    def entries(self) -> list[dict[str, Any]]:
        """What would be submitted: one entry per seed."""
        assert self.form.spec is not None
        count = self.header.count.value()
        base = self.form.spec.model_dump(mode="json")
        after = [option.run_id for option in self.form.chosen_inputs() if not option.state.is_end]
        entries = []
        for number in range(count):
            spec = dict(base, seed=base["seed"] + number)
            if count > 1 and base["name"]:
                suffix = f" seed {spec['seed']}"
                spec["name"] = base["name"][: 80 - len(suffix)] + suffix
            entries.append({"spec": spec, "after": list(after), "lane": str(self.header.lane.currentData())})
        return entries

    # ------------------------------------------------------------------ parts

    def _make_middle(self) -> QVBoxLayout:
        self._title = QLabel()
        set_role(self._title, "title")
        self._title.setWordWrap(True)
        self._summary = QLabel(wordWrap=True)
        set_role(self._summary, "muted")
        self.presets = PresetRow()
        self.presets.chosen.connect(self._on_preset)
        self.header = RunHeader()
        self.header.edited.connect(self._on_header)
        content = QWidget()
        self._content = QVBoxLayout(content)
        self._content.setContentsMargins(0, 0, 8, 0)
        self._content.setSpacing(10)
        self._content.addWidget(self.presets)
        self._content.addWidget(self.header)
        self._area = scroll_area(content)
        self._help = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
        self._help.setAccessibleName("Help for the chosen setting")
        self._help.setMinimumHeight(2 * self._help.fontMetrics().lineSpacing())
        self._help.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._help.setText("Move to a setting to read what it does and where its value comes from.")
        set_role(self._help, "caption")
        top = QVBoxLayout()
        top.setSpacing(2)
        top.addWidget(self._title)
        top.addWidget(self._summary)
        column = QVBoxLayout()
        column.setSpacing(10)
        column.addLayout(top)
        column.addWidget(self._make_banner())
        column.addWidget(self._area, 1)
        column.addWidget(self._help)
        column.addWidget(_line())
        column.addLayout(self._make_foot())
        return column

    def _make_banner(self) -> QFrame:
        self._banner = QFrame()
        set_role(self._banner, "banner-info")
        self._banner_text = QLabel(wordWrap=True)
        self._banner_button = QPushButton("Start over")
        set_role(self._banner_button, "quiet")
        self._banner_button.clicked.connect(self._start_over)
        row = QHBoxLayout(self._banner)
        row.setContentsMargins(12, 4, 6, 4)
        row.addWidget(self._banner_text, 1)
        row.addWidget(self._banner_button)
        self._banner.hide()
        return self._banner

    def _make_foot(self) -> QHBoxLayout:
        self.message = ToneLabel("", "text_muted")
        self.message.setWordWrap(True)
        self.message.setAccessibleName("What will be submitted")
        self.start_button = QPushButton("Start")
        set_role(self.start_button, "primary")
        self.start_button.setIconSize(QSize(16, 16))
        self.start_button.setMinimumHeight(self.start_button.fontMetrics().height() + 18)
        self.start_button.setToolTip("Submit (Ctrl+Return)")
        self.start_button.clicked.connect(self.start)
        row = QHBoxLayout()
        row.setSpacing(16)
        row.addWidget(self.message, 1)
        row.addWidget(self.start_button, 0, Qt.AlignmentFlag.AlignVCenter)
        return row

    def _add_form(self, kind: str) -> None:
        form = SpecForm(KINDS[kind])
        form.validated.connect(self._on_validated)
        form.field_focused.connect(self._show_help)
        form.set_run_options(self._options)
        self._forms[kind] = form
        form.set_data_sets(self._data_sets)
        self._content.addWidget(form, 1)

    # ------------------------------------------------------------------ events

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        QTimer.singleShot(0, self, self._fit_cards)  # a layout does not hear what its cards say while it is laid out

    def _fit_cards(self) -> None:
        compact = self.width() < COMPACT_BELOW
        for card in self._cards.values():
            card.set_compact(compact)

    def _on_presets(self, presets: list[Preset]) -> None:
        self._presets = presets
        if self.kind:
            self._fill_presets()

    def _fill_presets(self) -> None:
        self.presets.offer([preset for preset in self._presets if preset.kind == self.kind])

    def _on_preset(self, preset: Preset | None) -> None:
        if preset is None:
            self.form.apply_preset({}, "the default")
        else:
            self.form.apply_preset(preset.spec, f"the preset “{preset.title}”")
            if not self.header.name.text().strip() and preset.spec.get("name"):
                self.header.name.setText(str(preset.spec["name"]))
                self._on_header()

    def _on_state(self) -> None:
        self.header.set_lanes(self._client.state.lanes)

    def _on_header(self) -> None:
        self.form.set_header(**self.header.fields())
        self.form.validate()

    def _on_validated(self) -> None:
        self._describe()
        if self.kind and self.form.valid is not None:
            known = [(option.run_id, option.state) for option in self.form.chosen_inputs()]
            entries = self._client.mirror.entries.values()
            waiting = {entry.run_id: entry.spec for entry in entries if not entry.state.is_end}
            self._inputs.ask(self.form.valid, known, waiting)

    def _on_inputs(self, spec: JobSpec, problems: list[Problem]) -> None:
        if spec.kind in self._forms:
            self._forms[spec.kind].set_misfits(spec, problems)

    def _show_help(self, path: str) -> None:
        row = self.form.rows[path]
        field = row.field
        self._area.ensureWidgetVisible(row, 0, 24)
        head, *rest = field.tooltip().split("\n")
        tail = "<br>".join(escape(line) for line in rest)
        self._help.setText(f"<b>{escape(field.label)}</b>: {escape(head)}<br>{tail}")

    def _load(self, spec: dict[str, Any], source: str, lane: str = "any") -> None:
        kind = str(spec.get("kind"))
        if kind not in KINDS:
            self.failed.emit(f"This difrob does not know the method “{kind}”.")
            return
        self.choose_kind(kind)
        self._leave_edit()
        self.presets.forget()
        seed = spec.get("seed", 0)
        self.header.set_fields(str(spec.get("name", "")), seed if isinstance(seed, int) else 0, lane)
        self.form.set_values(spec, source)
        self._on_header()
        self.form.focus_first()

    def _start_over(self) -> None:
        self._leave_edit()
        self._banner.hide()
        self.header.set_fields("", 0)
        self.form.set_values({}, "the default")
        self._on_header()

    def _leave_edit(self) -> None:
        self._editing = ""
        self.header.count.setEnabled(True)

    def _show_banner(self, text: str, button: str) -> None:
        self._banner_text.setText(text)
        self._banner_button.setText(button)
        self._banner_button.setAccessibleName(f"{button}: {text}")
        self._banner.show()

    def _describe(self) -> None:
        """Say at the foot what would be submitted, or what is wrong."""
        if not self.kind:
            return
        form, count = self.form, self.header.count.value()
        noun = "Save" if self._editing else "Start" if count == 1 else f"Start {count} runs"
        self.start_button.setText("Submitting …" if self._busy else noun)
        self.start_button.setIcon(icon("save" if self._editing else "launch", "accent_text"))
        self.start_button.setEnabled(not self._busy)
        own = [problem for problem in form.problems if problem.path in ("name", "seed")]
        self.header.set_problem("; ".join(f"{problem.path}: {problem.message}" for problem in own))
        if form.problems:
            first = form.problems[0]
            row = form.rows.get(first.path)
            place = row.field.label if row is not None else first.path
            more = f" (and {len(form.problems) - 1} more)" if len(form.problems) > 1 else ""
            self.message.set_tone("bad")
            self.message.setText(f"{place}: {first.message}{more}" if place else f"{first.message}{more}")
            return
        self.message.set_tone("text_muted")
        self.message.setText(self._plan(count))

    def _plan(self, count: int) -> str:
        if self._editing:
            return "The entry keeps its place in the queue."
        seed = self.header.fields()["seed"]
        what = f"1 run with seed {seed}" if count == 1 else f"{count} runs with seeds {seed} to {seed + count - 1}"
        lane = self.header.lane.currentText().lower() if self.header.lane.currentData() == "any" else (
            self.header.lane.currentText()
        )  # fmt: skip
        waits = [option.title for option in self.form.chosen_inputs() if not option.state.is_end]
        after = f", after “{'”, “'.join(waits)}”" if waits else ""
        changed = len(self.form.changed_paths())
        changes = f"; {words.plural(changed, 'setting')} changed" if changed else ""
        return f"Will submit {what} on {lane}{after}{changes}."

    def _on_submitted(self, result: object, error: str | None) -> None:
        self._busy = False
        self._describe()
        if error is not None:
            self.failed.emit(f"Not submitted: {error}")
            return
        self.header.name.clear()  # the next run wants a name of its own
        self._on_header()
        run_ids = result.get("run_ids", []) if isinstance(result, dict) else []
        self.submitted.emit([str(run_id) for run_id in run_ids])

    def _on_saved(self, _result: object, error: str | None) -> None:
        self._busy = False
        run_id = self._editing
        if error is not None:
            self._describe()
            self.failed.emit(f"Not saved: {error}")
            return
        self._start_over()
        self.saved.emit(run_id)


def _line() -> QFrame:
    line = QFrame()
    set_role(line, "separator")
    return line
