"""What a run was asked to do, as a tree: fields with units, help and the default they depart from."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeView, QWidget

from difrob.comparison import completed, flatten, spec_text
from difrob.runs import RunSummary
from difrob.specs import KINDS, JobSpec, face_of, walk_fields
from difrob.specs.words.field_words import meaning_of
from difrob.words import kind_title, state_word

_COLUMNS = ("Field", "Value", "Default")


class SpecTree(QTreeView):
    """Facts about a run and its specification; values that are not the default are marked by a dot and the default beside."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[object, ...] = ()
        self._model = QStandardItemModel(0, len(_COLUMNS), self)
        self.setModel(self._model)
        self.setAccessibleName("Specification of the run")
        self.setAlternatingRowColors(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setUniformRowHeights(True)
        self.header().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.header().setStretchLastSection(True)

    def show_run(self, summary: RunSummary | None) -> None:
        """Show the facts of this run, nothing for None; nothing happens when they are shown already."""
        if summary is None:
            self._shown = ()
            self._model.clear()
            return
        key = (summary.run_id, summary.spec, summary.state, summary.host, summary.device, summary.parents)
        if key == self._shown:
            return
        self._shown = key
        self._model.clear()
        self._model.setHorizontalHeaderLabels(list(_COLUMNS))
        self._add_facts(summary)
        self._add_spec(summary.spec)
        self.expandAll()
        width = self.fontMetrics().averageCharWidth()
        self.header().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.header().resizeSection(0, width * 34)
        self.header().resizeSection(1, width * 34)

    def _add_facts(self, summary: RunSummary) -> None:
        facts = {
            "Kind": kind_title(summary.kind),
            "Run": summary.run_id,
            "State": state_word(summary.state),
            "Host": summary.host,
            "Device": summary.device,
            **{f"Input {field}": run_id for field, run_id in summary.parents.items()},
        }
        top = self._group("Run")
        for name, value in facts.items():
            if value:
                top.appendRow(_row(name, value, "", ""))

    def _add_spec(self, spec: dict[str, Any]) -> None:
        kind = KINDS.get(str(spec.get("kind")))
        fields = dict(walk_fields(kind)) if kind is not None else {}
        groups: dict[str, QStandardItem] = {}
        flat = flatten(completed(spec))
        defaults = _defaults(kind, spec)
        for path, text in flat.items():
            if path in ("kind", "version"):
                continue
            info = fields.get(path)
            face = face_of(info) if info is not None else {}
            title = str(face.get("group") or "Specification")
            if title not in groups:
                groups[title] = self._group(title)
            unit = str(face.get("unit") or "")
            value = f"{text} {unit}" if unit and text != "none" else text
            default = defaults.get(path, text)
            help_text = meaning_of(info) if info is not None else ""
            source = str(face.get("source") or "")
            tip = "\n".join(part for part in (help_text, f"Source: {source}" if source else "") if part)
            groups[title].appendRow(_row(path, value, default if default != text else "", tip))

    def _group(self, title: str) -> QStandardItem:
        item = QStandardItem(title)
        font = QFont(self.font())
        font.setWeight(QFont.Weight.DemiBold)
        item.setFont(font)
        self._model.appendRow([item, QStandardItem(), QStandardItem()])
        return item


def _row(name: str, value: str, default: str, tip: str) -> list[QStandardItem]:
    items = [QStandardItem(name), QStandardItem(f"• {value}" if default else value), QStandardItem(default)]
    for item in items:
        item.setToolTip(tip or value)
    return items


def _defaults(kind: type[JobSpec] | None, spec: dict[str, Any]) -> dict[str, str]:
    """Defaults of all fields, with those of a group taken from the group's own default."""
    if kind is None:
        return {}
    required = {name: spec[name] for name, info in kind.model_fields.items() if info.is_required() and name in spec}
    try:
        return flatten(kind.model_validate(required).model_dump(mode="json"))
    except ValueError:
        return {
            path: spec_text(info.get_default(call_default_factory=True))
            for path, info in walk_fields(kind)
            if not info.is_required()
        }
