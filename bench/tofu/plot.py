"""A scatter plot as SVG, for figures that stand in a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_SIDE, _LEFT, _TOP, _BELOW, _LINE = 420, 60, 20, 50, 18
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_SPACES = 5
_TEXT, _GRID, _REFERENCE, _RUN = "#333", "#ddd", "#b2500a", "#1f5fa8"


@dataclass(frozen=True, slots=True)
class Point:
    """x, y in [0, 1]. reference: what the others are compared with, drawn as a square with its name above it."""

    name: str
    x: float
    y: float
    reference: bool = False


def scatter(points: Sequence[Point], x_label: str, y_label: str) -> str:
    """An SVG document: points numbered, and their names in a list to the right.

    x goes from 0 to 1, y from the fifth below the lowest point to 1: what is kept differs by little.
    """
    runs = [point for point in points if not point.reference]
    listed = [f"{number}  {point.name}" for number, point in enumerate(runs, start=1)]
    width = _LEFT + _SIDE + 40 + 7 * max((len(line) for line in listed), default=0)
    height = _TOP + max(_SIDE + _BELOW, _LINE * (len(listed) + 1))
    lowest = min((point.y for point in points), default=0.0)
    bottom = max((tick for tick in _TICKS[:-1] if tick <= lowest), default=0.0)

    def down(y: float) -> float:
        return _TOP + _SIDE * (1 - min(1.0, max(0.0, (y - bottom) / (1 - bottom))))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" fill="{_TEXT}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for tick in _TICKS:
        parts.append(_line(_across(tick), _TOP + _SIDE, _across(tick), _TOP))
        parts.append(_text(_across(tick), _TOP + _SIDE + 18, f"{tick:g}", "middle"))
    for space in range(_SPACES + 1):
        y = bottom + (1 - bottom) * space / _SPACES
        parts.append(_line(_LEFT, down(y), _LEFT + _SIDE, down(y)))
        parts.append(_text(_LEFT - 8, down(y) + 4, f"{y:.2g}", "end"))
    parts.append(_text(_across(0.5), _TOP + _SIDE + 40, x_label, "middle"))
    middle = _TOP + _SIDE / 2
    parts.append(f'<g transform="rotate(-90 16 {middle:.1f})">{_text(16, middle, y_label, "middle")}</g>')
    for point in points:
        if point.reference:
            x, y = _across(point.x), down(point.y)
            parts.append(f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" fill="{_REFERENCE}"/>')
            parts.append(_text(x, y - 9, point.name, "middle"))
    for number, point in enumerate(runs, start=1):
        x, y = _across(point.x), down(point.y)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_RUN}"/>')
        parts.append(_text(x + 6, y - 5, str(number)))
    for row, line in enumerate(listed):
        parts.append(_text(_across(1) + 30, _TOP + _LINE * (row + 1), line))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _across(x: float) -> float:
    return _LEFT + _SIDE * min(1.0, max(0.0, x))


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_GRID}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
