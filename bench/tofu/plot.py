"""A scatter plot as SVG, for figures that stand in a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_SIDE, _LEFT, _TOP, _BELOW, _LINE = 420, 60, 20, 50, 18
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_TEXT, _GRID, _REFERENCE, _RUN = "#333", "#ddd", "#b2500a", "#1f5fa8"


@dataclass(frozen=True, slots=True)
class Point:
    """x, y in [0, 1]. reference: what the others are compared with, drawn as a square with its name beside it."""

    name: str
    x: float
    y: float
    reference: bool = False


def scatter(points: Sequence[Point], x_label: str, y_label: str) -> str:
    """An SVG document: both axes from 0 to 1, points numbered, and their names in a list to the right."""
    runs = [point for point in points if not point.reference]
    listed = [f"{number}  {point.name}" for number, point in enumerate(runs, start=1)]
    width = _LEFT + _SIDE + 40 + 7 * max((len(line) for line in listed), default=0)
    height = _TOP + max(_SIDE + _BELOW, _LINE * (len(listed) + 1))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" fill="{_TEXT}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for tick in _TICKS:
        across, down = _across(tick), _down(tick)
        parts.append(_line(across, _down(0), across, _down(1)))
        parts.append(_line(_across(0), down, _across(1), down))
        parts.append(_text(across, _down(0) + 18, f"{tick:g}", "middle"))
        parts.append(_text(_across(0) - 8, down + 4, f"{tick:g}", "end"))
    parts.append(_text(_across(0.5), _down(0) + 40, x_label, "middle"))
    middle = _down(0.5)
    parts.append(f'<g transform="rotate(-90 16 {middle:.1f})">{_text(16, middle, y_label, "middle")}</g>')
    for point in points:
        if point.reference:
            across, down = _across(point.x), _down(point.y)
            parts.append(f'<rect x="{across - 5:.1f}" y="{down - 5:.1f}" width="10" height="10" fill="{_REFERENCE}"/>')
            parts.append(_text(across - 9, down + 4, point.name, "end"))
    for number, point in enumerate(runs, start=1):
        across, down = _across(point.x), _down(point.y)
        parts.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4" fill="{_RUN}"/>')
        parts.append(_text(across + 6, down - 5, str(number)))
    for row, line in enumerate(listed):
        parts.append(_text(_across(1) + 30, _TOP + _LINE * (row + 1), line))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _across(x: float) -> float:
    return _LEFT + _SIDE * min(1.0, max(0.0, x))


def _down(y: float) -> float:
    return _TOP + _SIDE * (1 - min(1.0, max(0.0, y)))


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_GRID}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
