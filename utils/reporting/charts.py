"""Charts as SVG, coloured by the style sheet around them, for light and dark pages."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from utils.reporting.comparisons import Ranking

WIDTH, HEIGHT = 380, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 38
CHARACTER = 6.3  # its width in a label
COLOURS = 8
LIGHT = "#0072b2 #d55e00 #009e73 #b5478b #9a6a00 #4d2c1e #7f3c8d #666666".split()
DARK = "#5ab0f0 #ff9257 #3fd0a0 #ee9fd0 #f2c14e #c9a58f #c79be0 #b5b5b5".split()


@dataclass(frozen=True)
class Line:
    """A line, or with `points` unconnected points, of a chart; `colour` counts from 0."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    dashed: bool = False
    points: bool = False


def style() -> str:
    """The style sheet of all charts."""

    def colours(values: Sequence[str]) -> str:
        return "".join(f"--c{i}:{value};" for i, value in enumerate(values))

    uses = "".join(f".c{i}{{--c:var(--c{i})}}" for i in range(COLOURS))
    return (
        f":root{{--ink:#1c1c1c;--faint:#d8d8d8;{colours(LIGHT)}}}"
        "@media (prefers-color-scheme:dark){"
        f":root{{--ink:#e6e6e6;--faint:#444;{colours(DARK)}}}}}"
        f"@media print{{:root{{--ink:#000;--faint:#ccc;{colours(LIGHT)}}}}}{uses}"
        ".chart text{fill:var(--ink);font:11px system-ui,sans-serif}"
        ".chart .title{font-size:12px;font-weight:600}"
        ".chart .rule{stroke:var(--faint);stroke-width:1}"
        ".chart .axis,.chart .bar{stroke:var(--ink);stroke-width:1}.chart .bar{stroke-width:4}"
        ".chart polyline{fill:none;stroke:var(--c);stroke-width:1.8}"
        ".chart .dashed{stroke-dasharray:3 3;stroke-width:1.2}"
        ".chart circle{fill:var(--c)}"
        ".chart .hollow{fill:none;stroke:var(--c);stroke-width:1.6}"
    )


def standalone(svg: str) -> str:
    """A chart as a file of its own."""
    head, _, rest = svg.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style()}</style>{rest}\n'


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within an interval."""
    if high <= low:
        return [low]
    raw = (high - low) / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """0 and powers of ten in an interval; in a short one 2 and 5 times these too, or round numbers.

    Args:
        high: not negative.
    """
    powers = [10.0**i for i in range(math.ceil(math.log10(high + 1)) + 1)]
    for factors in ((1,), (1, 2, 5)):
        places = [0.0, *(factor * power for power in powers for factor in factors)]
        inside = [x for x in places if low <= x <= high]
        if len(inside) > 1:
            zero = inside[:1] if inside[0] == 0 else []
            return zero + inside[len(zero) :: 1 + len(inside) // 6]
    return ticks(low, high)


def short(value: float) -> str:
    """A number in few characters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def chart(title: str, lines: Sequence[Line], x_name: str, y_name: str, log_x: bool = False) -> str:
    """A chart of lines or points.

    Args:
        log_x: map x by log10(1 + x), which has a place for 0.
    """
    xs = [math.log10(1 + x) if log_x else x for line in lines for x in line.x]
    ys = [y for line in lines for y in line.y]
    x_low, x_high = min(xs), max(xs)
    x_high = x_high if x_high > x_low else x_low + 1
    if any(line.points for line in lines):
        x_low, x_high = x_low - 0.06 * (x_high - x_low), x_high + 0.06 * (x_high - x_low)
    margin = (max(ys) - min(ys)) * 0.06 or abs(max(ys)) * 0.05 or 1
    y_low, y_high = min(ys) - margin, max(ys) + margin

    def across(x: float) -> float:
        x = math.log10(1 + x) if log_x else x
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = [text(LEFT, 15, title, "start", "title")]
    for y in ticks(y_low, y_high):
        parts.append(rule(LEFT, down(y), WIDTH - RIGHT, down(y), "rule"))
        parts.append(text(LEFT - 5, down(y) + 4, short(y), "end"))
    whole = (x for x in ticks(x_low, x_high) if x == int(x))  # epochs and steps
    for x in log_ticks(10**x_low - 1, 10**x_high - 1) if log_x else whole:
        parts.append(text(across(x), HEIGHT - BOTTOM + 14, short(x), "middle"))
    parts.append(rule(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_name, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text transform="translate(12 {middle:.1f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_name)}</text>"
    )
    for line in lines:
        places = [(across(x), down(y)) for x, y in zip(line.x, line.y, strict=True)]
        colour = f"c{line.colour % COLOURS}"
        name = f"<title>{escape(line.name)}</title>"
        if line.points or len(places) == 1:
            parts += [
                f'<g class="{colour}"><circle cx="{x:.1f}" cy="{y:.1f}" r="4">{name}</circle></g>'
                for x, y in places
            ]
        if len(places) > 1 and not line.points:
            dashed = " dashed" if line.dashed or line.colour >= COLOURS else ""
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline class="{colour}{dashed}" points="{points}">{name}</polyline>')
    named = [(line.name, across(line.x[-1]), down(line.y[-1])) for line in lines if line.points]
    return frame(title, parts + labels(named), HEIGHT)


def labels(points: Sequence[tuple[str, float, float]]) -> list[str]:
    """Names beside points, where they cover no other point or name; a legend has the others.

    Args:
        points: names and places in the drawing.
    """
    bottom = HEIGHT - BOTTOM - 1
    taken = [(x - 4, x + 4, y - 4, y + 4) for _, x, y in points]
    parts = []
    for name, x, y in points:
        length = CHARACTER * len(name)
        for side, shift in itertools.product((1, -1), (0, -11, 11)):
            start = x + 8 if side > 0 else x - 8 - length
            box = (start, start + length, y + shift - 5, y + shift + 5)
            inside = box[0] >= LEFT and box[1] <= WIDTH and box[2] >= TOP and box[3] <= bottom
            if inside and not any(
                box[0] < other[1] and other[0] < box[1] and box[2] < other[3] and other[2] < box[3]
                for other in taken
            ):
                taken.append(box)
                anchor = "start" if side > 0 else "end"
                parts.append(text(x + 8 * side, y + shift + 4, name, anchor))
                break
    return parts


@dataclass(frozen=True)
class Dot:
    """A value of a dot plot.

    Attributes:
        deviation: half the length of the line through it. colour: counts from 0.
        hollow: drawn as a circle, such as a published value.
    """

    name: str
    value: float
    deviation: float
    colour: int
    hollow: bool = False


def dot_plot(title: str, rows: Sequence[tuple[str, Sequence[Dot]]], x_name: str) -> str:
    """Values by row, each a dot on the same axis; below, which colour is which."""
    width, step = 640, 30
    dots = [dot for _, of_row in rows for dot in of_row]
    low = min(dot.value - dot.deviation for dot in dots)
    high = max(dot.value + dot.deviation for dot in dots)
    margin = (high - low) * 0.04 or 1
    low, high = low - margin, high + margin
    left = 16 + CHARACTER * max(len(name) for name, _ in rows)
    bottom = 30 + step * len(rows)

    def across(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - RIGHT)

    parts = [text(10, 15, title, "start", "title")]
    for x in ticks(low, high):
        parts.append(rule(across(x), 28, across(x), bottom, "rule"))
        parts.append(text(across(x), bottom + 14, short(x), "middle"))
    parts.append(text((left + width - RIGHT) / 2, bottom + 30, x_name, "middle"))
    for number, (name, of_row) in enumerate(rows):
        middle = 30 + step * (number + 0.5)
        parts.append(text(left - 6, middle + 4, name, "end"))
        parts.append(rule(left, 30 + step * number, width - RIGHT, 30 + step * number, "rule"))
        gap = (step - 8) / max(len(of_row) - 1, 1)
        for place, dot in enumerate(sorted(of_row, key=lambda dot: dot.value)):
            y = 34 + step * number + gap * place
            half = across(low + dot.deviation) - across(low)
            parts.append(_dot(across(dot.value), y, dot, f"{dot.name}: {dot.value:.3f}", half))
    x, y = left, bottom + 50
    for dot in {(dot.name, dot.colour): dot for dot in dots}.values():
        size = 24 + CHARACTER * len(dot.name)
        if x + size > width and x > left:
            x, y = left, y + 16
        parts.append(_dot(x, y - 4, dot, dot.name))
        parts.append(text(x + 8, y, dot.name, "start"))
        x += size
    return frame(title, parts, y + 12, width)


def _dot(x: float, y: float, dot: Dot, title: str, half: float = 0) -> str:
    """A dot with a title, and its deviation to both sides."""
    filled = ' class="hollow"' if dot.hollow else ""
    line = f'<polyline points="{x - half:.1f},{y:.1f} {x + half:.1f},{y:.1f}"/>' if half else ""
    return (
        f'<g class="c{dot.colour % COLOURS}">{line}<circle{filled} cx="{x:.1f}" cy="{y:.1f}" r="4">'
        f"<title>{escape(title)}</title></circle></g>"
    )


def critical_difference_diagram(title: str, ranking: Ranking) -> str:
    """Mean ranks on a line; a bar connects models that differ by less than Nemenyi's critical
    difference (Demšar, JMLR 7, 2006, figure 1)."""
    order = sorted(range(len(ranking.methods)), key=lambda i: (ranking.mean_ranks[i], i))
    count = len(order)
    ranks = zip(ranking.methods, ranking.mean_ranks, strict=True)
    labels = [f"{method} {rank:.2f}" for method, rank in ranks]
    left = 24 + CHARACTER * max(map(len, labels))
    right = left + 180

    def across(rank: float) -> float:
        return left + (rank - 1) / max(count - 1, 1) * (right - left)

    groups = cliques([float(ranking.mean_ranks[i]) for i in order], ranking.difference)
    axis, first = 74, 74 + 14 + 9 * len(groups)
    parts = [text(10, 15, title, "start", "title")]
    length = min(ranking.difference, count - 1)
    parts.append(rule(left, 38, across(1 + length), 38, "axis"))
    cut = "" if length == ranking.difference else " (longer than shown)"
    parts.append(text(left, 32, f"critical difference {ranking.difference:.2f}{cut}", "start"))
    parts.append(rule(left, axis, right, axis, "axis"))
    for rank in range(1, count + 1):
        parts.append(rule(across(rank), axis - 5, across(rank), axis, "axis"))
        parts.append(text(across(rank), axis - 9, str(rank), "middle"))
    for number, (start, end) in enumerate(groups):
        y = axis + 9 + 9 * number
        x1, x2 = (across(float(ranking.mean_ranks[order[i]])) for i in (start, end))
        parts.append(rule(x1 - 3, y, x2 + 3, y, "bar"))
    half = (count + 1) // 2
    for place, i in enumerate(order):
        on_left = place < half
        y = first + 16 * (place if on_left else count - 1 - place) + 8
        x, edge = across(float(ranking.mean_ranks[i])), left - 6 if on_left else right + 6
        parts.append(rule(x, axis, x, y, "axis"))
        parts.append(rule(x, y, edge, y, "axis"))
        anchor = "end" if on_left else "start"
        parts.append(text(edge + (-3 if on_left else 3), y + 4, labels[i], anchor))
    return frame(title, parts, first + 16 * half + 10, left + right)


def cliques(sorted_ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """The largest runs of models whose ranks differ by less than `difference`: first and last."""
    found: list[tuple[int, int]] = []
    for start, rank in enumerate(sorted_ranks):
        end = max(i for i, other in enumerate(sorted_ranks) if other - rank < difference)
        if end > start and (not found or end > found[-1][1]):
            found.append((start, end))
    return found


def frame(title: str, parts: Sequence[str], height: float, width: float = WIDTH) -> str:
    """The SVG element around the parts of a chart."""
    return (
        f'<svg class="chart" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">{"".join(parts)}</svg>'
    )


def text(x: float, y: float, words: str, anchor: str, kind: str = "") -> str:
    """A text element; `anchor` is start, middle or end."""
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line of class `kind`."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
