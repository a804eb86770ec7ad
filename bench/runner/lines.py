"""Plots of growth: the numbers are on a logarithmic horizontal axis."""

from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 400, 250, 58, 44, 56, 130
COLORS = ("#c2410c", "#f59e0b", "#475569", "#0284c7", "#7c3aed")


@dataclass
class Series:
    label: str
    points: list  # of (x, y)


def _number(value: float) -> str:
    for limit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def _text(x, y, words, **style) -> str:
    attributes = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(words)}</text>'


def draw(title: str, below: str, beside: str, series: list) -> str:
    """The axis of values begins at zero, so constant values look flat."""
    numbers = sorted({x for one in series for x, _ in one.points})
    highest = max((y for one in series for _, y in one.points), default=1) * 1.1 or 1
    low, high = floor(log10(max(numbers[0], 1))), ceil(log10(max(numbers[-1], 10)))
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(x):
        return LEFT + width * (log10(max(x, 1)) - low) / (high - low)

    def up(y):
        return TOP + height * (1 - y / highest)

    parts = [_text(12, 22, title, font_size=13, font_weight="bold")]
    for tick in (0, highest / 2.2, highest / 1.1):
        parts.append(f'<path d="M{LEFT} {up(tick):.1f}h{width}" stroke="#cbd5e1"/>')
        parts.append(_text(LEFT - 6, up(tick) + 4, _number(tick), text_anchor="end"))
    for number in numbers:
        parts.append(_text(across(number), TOP + height + 15, _number(number), text_anchor="middle"))
    parts.append(_text(LEFT + width / 2, HEIGHT - 10, below, text_anchor="middle"))
    parts.append(_text(LEFT, TOP - 10, beside))
    ends = []
    for color, one in zip(COLORS, series):
        points = [(across(x), up(y)) for x, y in one.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in points]
        ends.append((points[-1][1], color, one.label))
    # Labels of lines with close ends are moved apart.
    below_last = 0.0
    for y, color, label in sorted(ends):
        below_last = max(y + 4, below_last + 13)
        parts.append(_text(LEFT + width + 8, below_last, label, fill=color))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="11" fill="#0f172a">\n<title>{escape(title)}</title>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#f8fafc"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
