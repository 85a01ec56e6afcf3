"""A heat map as SVG: rows × attack families, from white for nothing that leaks to red for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_CELL_WIDTH, _CELL_HEIGHT, _HEAD, _BELOW, _MARGIN = 58, 34, 150, 74, 16
_CHARACTER = 7.2
_TEXT, _FAINT, _NOTHING, _GRID = "#222", "#666", "#e9e9e9", "#fff"
_LOW, _HIGH = (255, 255, 255), (178, 24, 43)
#: Where white text is read better than black.
_DARK = 0.55
_STEPS = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """rate: the share that leaks. upper: its bound. floor: what a model that knows nothing would leak by guessing."""

    rate: float
    upper: float
    floor: float = 0.0


def heat_map(rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[Cell | None]], title: str) -> str:
    """An SVG document. Each cell has its share and, smaller, its bound; None: too little to say, drawn grey."""
    left = _MARGIN + _CHARACTER * max((len(name) for name in rows), default=0) + 12
    width = left + _CELL_WIDTH * len(columns) + _HEAD * 0.6
    bottom = _HEAD + _CELL_HEIGHT * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{bottom + _BELOW}" '
        f'viewBox="0 0 {width:.0f} {bottom + _BELOW}" font-family="sans-serif" font-size="12" fill="{_TEXT}">',
        f'<rect width="{width:.0f}" height="{bottom + _BELOW}" fill="white"/>',
        _text(_MARGIN, 24, title, size=16),
    ]
    for number, column in enumerate(columns):
        x = left + _CELL_WIDTH * (number + 0.5)
        named = _text(x, _HEAD - 8, _named(column, [line[number] for line in cells]))
        parts.append(f'<g transform="rotate(-40 {x:.1f} {_HEAD - 8})">{named}</g>')
    for place, (name, line) in enumerate(zip(rows, cells, strict=True)):
        top = _HEAD + _CELL_HEIGHT * place
        parts.append(_text(left - 10, top + _CELL_HEIGHT / 2 + 4, name, "end"))
        parts += [_cell(left + _CELL_WIDTH * number, top, cell) for number, cell in enumerate(line)]
    parts += _legend(left, bottom + 18)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _cell(x: float, y: float, cell: Cell | None) -> str:
    colour = _NOTHING if cell is None else _colour(cell.rate)
    box = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{_CELL_WIDTH}" height="{_CELL_HEIGHT}" fill="{colour}" '
        f'stroke="{_GRID if cell is None or cell.rate else "#ddd"}"/>'
    )
    if cell is None:
        return box
    middle, ink = x + _CELL_WIDTH / 2, "#fff" if cell.rate > _DARK else _TEXT
    share = _text(middle, y + 16, f"{cell.rate:.0%}", "middle", ink, 13)
    bound = f"≤ {cell.upper:.0%}"
    return "\n".join([box, share, _text(middle, y + 28, bound, "middle", ink if ink == "#fff" else _FAINT, 8)])


def _legend(x: float, y: float) -> list[str]:
    parts = []
    for step in range(_STEPS):
        share = step / (_STEPS - 1)
        box = f'<rect x="{x + 44 * step:.1f}" y="{y}" width="44" height="14" fill="{_colour(share)}" stroke="#ddd"/>'
        ink = "#fff" if share > _DARK else _TEXT
        parts += [box, _text(x + 44 * (step + 0.5), y + 11, f"{share:.0%}", "middle", ink, 10)]
    after = x + 44 * _STEPS + 12
    explained = "of the probes in which the model before gave the answer, so many still bring it; ≤ exact 95 % bound"
    parts.append(_text(after, y + 11, explained, size=10))
    parts.append(f'<rect x="{x:.1f}" y="{y + 22}" width="44" height="14" fill="{_NOTHING}"/>')
    grey = "too few to say: fewer than 8 such probes.   chance: what guessing among the options gives"
    parts.append(_text(x + 56, y + 33, grey, size=10))
    return parts


def _colour(share: float) -> str:
    red, green, blue = (round(low + (high - low) * share) for low, high in zip(_LOW, _HIGH, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _named(column: str, cells: Sequence[Cell | None]) -> str:
    floor = max((cell.floor for cell in cells if cell is not None), default=0.0)
    return column.replace("_", " ") + (f" (chance {floor:.0%})" if floor else "")


def _text(x: float, y: float, text: str, anchor: str = "start", ink: str = _TEXT, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{ink}" font-size="{size}">{escape(text)}</text>'
