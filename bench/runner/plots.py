"""The plots: bars in panels, as SVG, without further dependencies."""

from dataclasses import dataclass
from html import escape
from math import log10
from pathlib import Path

from .results import Results
from .scenarios import CONNECTION, KIBIBYTE

COLORS = {"ours": "#c2410c", "floor": "#475569", "peer": "#94a3b8"}
ROW, LABEL, BAR, TITLE, GAP = 17, 110, 150, 24, 18
LETTER = 6.4  # about the width of one


@dataclass
class Bar:
    label: str
    kind: str
    value: float
    text: str
    marks: tuple = ()  # further values, as ticks behind the bar


@dataclass
class Panel:
    title: str
    bars: list
    logarithmic: bool = False

    def height(self) -> int:
        return TITLE + ROW * len(self.bars) + GAP

    def width(self) -> int:
        texts = max(len(bar.text) for bar in self.bars)
        return max(LABEL + BAR + int(texts * LETTER) + 8, int(len(self.title) * LETTER * 1.1))


def _scale(panel: Panel):
    values = [value for bar in panel.bars for value in (bar.value, *bar.marks) if value > 0]
    highest = max(values, default=1)
    if not panel.logarithmic:
        return lambda value: BAR * max(value, 0) / highest
    lowest = min(values, default=1) / 2
    decades = log10(highest / lowest) or 1
    return lambda value: BAR * log10(value / lowest) / decades if value > lowest else 0


def _text(x, y, words, **style) -> str:
    attributes = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(words)}</text>'


def _draw(panel: Panel, left: int, top: int) -> list:
    scale, parts = _scale(panel), [_text(left, top + 14, panel.title, font_weight="bold")]
    for number, bar in enumerate(panel.bars):
        y = top + TITLE + number * ROW
        color = COLORS[bar.kind]
        weight = "bold" if bar.kind == "ours" else "normal"
        parts.append(_text(left + LABEL - 6, y + 11, bar.label, text_anchor="end", font_weight=weight))
        parts.append(f'<rect x="{left + LABEL}" y="{y + 2}" width="{scale(bar.value):.1f}" height="{ROW - 6}" fill="{color}"/>')
        for mark in bar.marks:
            parts.append(f'<rect x="{left + LABEL + scale(mark) - 1:.1f}" y="{y + 2}" width="2" height="{ROW - 6}" fill="{color}"/>')
        end = max(scale(value) for value in (bar.value, *bar.marks))
        parts.append(_text(left + LABEL + end + 5, y + 11, bar.text, font_weight=weight))
    return parts


def draw(title: str, panels: list, columns: int = 3) -> str:
    panels = [panel for panel in panels if panel.bars]
    columns = max(1, min(columns, len(panels)))
    across = max((panel.width() for panel in panels), default=0)
    parts, top = [_text(12, 22, title, font_size=14, font_weight="bold")], 40
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        for column, panel in enumerate(row):
            parts += _draw(panel, 12 + column * (across + GAP), top)
        top += max(panel.height() for panel in row)
    width = max(24 + columns * (across + GAP) - GAP, 24 + int(len(title) * 14 * 0.6))
    # A separate background, readable on light and dark pages.
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}" '
        f'font-family="system-ui, sans-serif" font-size="11" fill="#0f172a">\n<title>{escape(title)}</title>\n'
        f'<rect width="{width}" height="{top}" rx="6" fill="#f8fafc"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bars(results: Results, figure) -> list:
    bars = []
    for name, peer in results.peers.items():
        found = figure(name)
        if found:
            value, text, *marks = found
            bars.append(Bar(peer["title"], peer["kind"], value, text, tuple(marks)))
    return bars


def _short(value: float) -> str:
    for limit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {suffix}"
    return f"{value:.3g}"


def costs(results: Results, scenario, field: str = "server_nanoseconds", floor=None) -> Panel:
    """What a unit of the scenario costs each server, in nanoseconds."""

    def figure(peer):
        cost = results.median(peer, scenario.name, field)
        if cost is None:
            return None
        text = f"{cost:,.0f} ns" + (f" ({cost / floor:.2f})" if floor else "")
        return cost, text, *results.spread(peer, scenario.name, field)

    return Panel(f"{scenario.title}, per {scenario.unit}", _bars(results, figure))


def _costs(results: Results) -> list:
    return [costs(results, scenario, scenario.cost_field, results.floor(scenario)) for scenario in results.scenarios()]


def _rates(results: Results) -> list:
    panels = []
    for scenario in results.scenarios():

        def figure(peer, scenario=scenario):
            rate = results.median(peer, scenario.name, scenario.rate_field)
            return rate and (rate, f"{_short(rate)}{' MB' if scenario.unit == KIBIBYTE else ''}/s")

        panels.append(Panel(scenario.title, _bars(results, figure)))
    return panels


def _latencies(results: Results) -> list:
    panels = []
    for scenario in results.scenarios():
        if not scenario.has_latency:
            continue

        def figure(peer, scenario=scenario):
            names = ("p50_microseconds", "p99_microseconds", "p99_9_microseconds")
            values = [results.median(peer, scenario.name, name) for name in names]
            if None in values:
                return None
            return values[0], " / ".join(_short(value) for value in values), *values[1:]

        unit = "µs" if scenario.unit != CONNECTION else "µs, with the connecting"
        panels.append(Panel(f"{scenario.title}, {unit}", _bars(results, figure), logarithmic=True))
    return panels


def write(results: Results, folder: Path) -> None:
    noisy = " – NOISY MACHINE" if results.noisy else ""
    files = {
        "cpu": draw("Processor time of the server, median (ratio to the better C server), ticks at the lowest and highest round: less is better" + noisy, _costs(results)),
        "throughput": draw("Throughput, median: more is better" + noisy, _rates(results)),
        "latency": draw("Latency, p50 / p99 / p99.9, medians, logarithmic: less is better" + noisy, _latencies(results)),
    }

    def idle(peer):
        each = results.median(peer, "idle", "bytes_per_connection")
        return None if each is None else (each, f"{each:,.0f}")

    def size(peer):
        size = results.peers[peer].get("binary_bytes")
        return size and (size, f"{size / 1024:,.0f} KiB")

    memory = Panel(f"{results.data['idle_connections']:,} connections, after one message each", _bars(results, idle), logarithmic=True)
    files["memory"] = draw("User memory per idle connection, bytes, logarithmic: less is better", [memory])
    files["size"] = draw("Size of the executable, logarithmic: less is better", [Panel("without symbols", _bars(results, size), logarithmic=True)])
    for name, drawing in files.items():
        (folder / f"{name}.svg").write_text(drawing)
