"""SVG charts of a report's numbers. Colours come from the page's style, by class; shapes tell the marks apart too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

_WIDTH, _LEFT, _RIGHT = 760, 190, 24
_PLOT = _WIDTH - _LEFT - _RIGHT
_ROW, _TOP, _BOTTOM, _LEGEND = 30, 14, 30, 26
_STEP = 7
_DOT = 4.5


@dataclass(frozen=True, slots=True)
class Mark:
    """A rate with its bounds. kind: the class of its style, `first` or `second`; the second one is filled."""

    kind: str
    rate: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a chart. ticks: (class, rate), such as what one leaks who never knew, and what is allowed."""

    label: str
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[str, float], ...] = ()


def rates(rows: Sequence[Row], *, name: str, title: str, summary: str, legend: Sequence[tuple[str, str]]) -> str:
    """Rates from 0 to 100 %, a row each. legend: (class, words). name: makes ids unique in the page."""
    height = _TOP + _ROW * len(rows) + _BOTTOM + _LEGEND
    svg = _svg(name, title, summary, height)
    base = _TOP + _ROW * len(rows)
    for percent in range(0, 101, 20):
        x = _x(percent / 100)
        _line(svg, "grid", x, _TOP, x, base)
        _text(svg, "axis", x, base + 16, f"{percent} %", anchor="middle")
    for number, row in enumerate(rows):
        middle = _TOP + _ROW * number + _ROW / 2
        _text(svg, "label", _LEFT - 10, middle + 4, row.label, anchor="end")
        for kind, at in row.ticks:
            _line(svg, kind, _x(at), middle - _ROW / 2 + 3, _x(at), middle + _ROW / 2 - 3)
        for place, mark in enumerate(row.marks):
            _mark(svg, mark, middle + (place - (len(row.marks) - 1) / 2) * 2 * _STEP)
    _legend(svg, legend, height - 8)
    return tostring(svg, encoding="unicode")


def bars(values: Sequence[tuple[str, float, str]], *, name: str, title: str, summary: str) -> str:
    """Amounts from 0 to the largest: (label, amount, the amount in words)."""
    height = _TOP + _ROW * len(values) + 8
    svg = _svg(name, title, summary, height)
    most = max((amount for _, amount, _ in values), default=0.0) or 1.0
    for number, (label, amount, words) in enumerate(values):
        top = _TOP + _ROW * number
        length = 0.8 * _PLOT * amount / most
        _text(svg, "label", _LEFT - 10, top + _ROW / 2 + 4, label, anchor="end")
        SubElement(svg, "rect", {"class": "bar", **_numbers(x=_LEFT, y=top + 6, width=length, height=_ROW - 12)})
        _text(svg, "axis", _LEFT + length + 8, top + _ROW / 2 + 4, words)
    return tostring(svg, encoding="unicode")


def _svg(name: str, title: str, summary: str, height: float) -> Element:
    svg = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {height:g}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-summary",
        },
    )
    SubElement(svg, "title", {"id": f"{name}-title"}).text = title
    SubElement(svg, "desc", {"id": f"{name}-summary"}).text = summary
    return svg


def _mark(svg: Element, mark: Mark, y: float) -> None:
    kind = mark.kind
    _line(svg, f"bound {kind}", _x(mark.lower), y, _x(mark.upper), y)
    for end in (mark.lower, mark.upper):
        _line(svg, f"bound {kind}", _x(end), y - 3, _x(end), y + 3)
    _dot(svg, kind, _x(mark.rate), y)


def _legend(svg: Element, legend: Sequence[tuple[str, str]], y: float) -> None:
    """Beside each other; the width of a letter is a guess that is large enough."""
    x = 12.0
    for kind, words in legend:
        if kind in ("first", "second"):
            _dot(svg, kind, x, y - 4)
        else:
            _line(svg, kind, x, y - 11, x, y + 3)
        _text(svg, "axis", x + 12, y, words)
        x += 30 + 6.3 * len(words)


def _dot(svg: Element, kind: str, x: float, y: float) -> None:
    if kind == "first":
        SubElement(svg, "circle", {"class": "dot first", **_numbers(cx=x, cy=y, r=_DOT)})
    else:
        side = 2 * _DOT - 1
        corner = _numbers(x=x - side / 2, y=y - side / 2, width=side, height=side)
        SubElement(svg, "rect", {"class": f"dot {kind}", **corner})


def _line(svg: Element, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
    SubElement(svg, "line", {"class": kind, **_numbers(x1=x1, y1=y1, x2=x2, y2=y2)})


def _text(svg: Element, kind: str, x: float, y: float, words: str, *, anchor: str = "start") -> None:
    SubElement(svg, "text", {"class": kind, "text-anchor": anchor, **_numbers(x=x, y=y)}).text = words


def _x(rate: float) -> float:
    return _LEFT + _PLOT * rate


def _numbers(**values: float) -> dict[str, str]:
    return {name: f"{value:.1f}".removesuffix(".0") for name, value in values.items()}
