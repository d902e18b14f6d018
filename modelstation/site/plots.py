"""A line drawn with braille dots, two by four in a character, for a terminal."""

from collections.abc import Sequence

Points = Sequence[tuple[float, float]]
Cells = dict[tuple[int, int], int]  # (row, column) of a character: its dots, as bits

BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column in the cell


def drawn(points: Points, frame: Points, *, width: int, height: int) -> Cells:
    """The characters that a line passes through; `frame` is all that the axes must hold."""
    xs, ys = [x for x, _ in frame], [y for _, y in frame]
    places = [
        (_place(x, xs, 2 * width), 4 * height - 1 - _place(y, ys, 4 * height)) for x, y in points
    ]
    cells: Cells = {}
    for column, row in _joined(places):
        cell = (row // 4, column // 2)
        cells[cell] = cells.get(cell, 0) | DOTS[row % 4][column % 2]
    return cells


def character(dots: int) -> str:
    return chr(BLANK + dots)


def _place(value: float, values: Sequence[float], room: int) -> int:
    low, high = min(values), max(values)
    return round((value - low) / (high - low) * (room - 1)) if high > low else room // 2


def _joined(places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Every dot on the way from place to place."""
    dots = list(places[:1])
    for (from_x, from_y), (to_x, to_y) in zip(places, places[1:], strict=False):
        ways = max(abs(to_x - from_x), abs(to_y - from_y), 1)
        dots += [
            (from_x + round((to_x - from_x) * n / ways), from_y + round((to_y - from_y) * n / ways))
            for n in range(1, ways + 1)
        ]
    return dots
