"""Title and legend put around the plot that pyqtgraph exports, as one SVG document."""

from __future__ import annotations

import math
from xml.etree import ElementTree as Xml

from PySide6.QtCore import QRectF
from PySide6.QtGui import QFontInfo

from difrob_gui.charts.legend import SWATCH, SWATCH_GAP, Entry, Legend
from difrob_gui.themes import Theme

_SVG = "http://www.w3.org/2000/svg"
_MARGIN = 14.0
_TITLE = 30.0


def svg_card(title: str, legend: Legend, plot: bytes, theme: Theme) -> bytes:
    """A document with title, legend and plot.

    Args:
        title: heading.
        legend: its entries and places are taken over.
        plot: SVG document of the plot, as the exporter of pyqtgraph writes it; in pixels.
        theme: colours of text and ground.
    """
    Xml.register_namespace("", _SVG)
    Xml.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    inner = Xml.fromstring(plot)
    _, _, plot_width, plot_height = (float(part) for part in inner.attrib["viewBox"].split())
    for clip in inner.iter(f"{{{_SVG}}}clipPath"):
        for path in clip:
            path.set("stroke", "none")
            path.set("fill", "none")
    legend_height = math.ceil(max((place.bottom() for place in legend.places), default=0.0))
    top = _TITLE + legend_height + 6
    width, height = plot_width + 2 * _MARGIN, top + plot_height + 8

    root = Xml.Element(f"{{{_SVG}}}svg", {"viewBox": f"0 0 {width:g} {height:g}", "width": f"{width:g}",
                                          "height": f"{height:g}", "version": "1.1"})  # fmt: skip
    Xml.SubElement(root, f"{{{_SVG}}}title").text = title
    Xml.SubElement(
        root, f"{{{_SVG}}}rect", {"width": f"{width:g}", "height": f"{height:g}", "fill": theme.plot_background}
    )
    font = QFontInfo(legend.font())
    look = {"font-family": f"{font.family()}, sans-serif", "font-size": str(font.pixelSize())}
    _text(root, title, _MARGIN, 20.0, theme.text, {**look, "font-weight": "600"})
    head = Xml.SubElement(root, f"{{{_SVG}}}g", {**look, "transform": f"translate({_MARGIN:g} {_TITLE:g})"})
    for entry, place in zip(legend.entries, legend.places, strict=False):
        if entry.shown:
            _entry(head, entry, place, theme)
    if legend.note:
        place = legend.places[-1]
        _text(head, legend.note, place.x(), place.center().y() + 4, theme.text_muted, {})
    # Not a nested document: the smaller readers of SVG skip those.
    body = Xml.SubElement(root, f"{{{_SVG}}}g", {"transform": f"translate({_MARGIN:g} {top:g})"})
    body.extend(part for part in inner if part.tag in (f"{{{_SVG}}}defs", f"{{{_SVG}}}g"))
    return Xml.tostring(root, encoding="utf-8", xml_declaration=True)


def _entry(parent: Xml.Element, entry: Entry, place: QRectF, theme: Theme) -> None:
    middle = place.center().y()
    line = {"x1": f"{place.x():g}", "x2": f"{place.x() + SWATCH:g}", "y1": f"{middle:g}", "y2": f"{middle:g}",
            "stroke": entry.colour, "stroke-width": "2"}  # fmt: skip
    if entry.dash:
        line["stroke-dasharray"] = " ".join(f"{length:g}" for length in entry.dash)
    Xml.SubElement(parent, f"{{{_SVG}}}line", line)
    label = f"{entry.label}  {entry.value}" if entry.value else entry.label
    _text(parent, label, place.x() + SWATCH + SWATCH_GAP, middle + 4, theme.text, {})


def _text(parent: Xml.Element, text: str, x: float, y: float, colour: str, look: dict[str, str]) -> None:
    element = Xml.SubElement(parent, f"{{{_SVG}}}text", {"x": f"{x:g}", "y": f"{y:g}", "fill": colour, **look})
    element.text = text
