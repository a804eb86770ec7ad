"""`results/README.md`: the figures as tables."""

from pathlib import Path

from . import machine, plots
from .results import Results
from .scenarios import KIBIBYTE


def markdown(header: list, rows: list) -> str:
    """A table whose first column is text."""
    align = ["---"] + ["--:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, align, *rows])


def _figure(value, digits=0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _range(spread) -> str:
    return "–".join(_figure(value) for value in spread)


def _by_scenario(results: Results, cell, scenarios) -> str:
    header = ["", *(scenario.title for scenario in scenarios)]
    rows = [[results.title(peer), *(cell(peer, scenario) for scenario in scenarios)] for peer in results.peers]
    return markdown(header, rows)


def _cost(results, peer, scenario) -> str:
    cost, floor = results.median(peer, scenario.name, scenario.cost_field), results.floor(scenario)
    if cost is None:
        return "–"
    ratio = f" ({cost / floor:.2f})" if floor else ""
    return f"{_figure(cost)}{ratio}, {_range(results.spread(peer, scenario.name, scenario.cost_field))}"


def _rate(results, peer, scenario) -> str:
    rate = results.median(peer, scenario.name, scenario.rate_field)
    return _figure(rate) + (" MB" if rate is not None and scenario.unit == KIBIBYTE else "")


def _latency(results, peer, scenario) -> str:
    names = ("p50_microseconds", "p99_microseconds", "p99_9_microseconds")
    return " / ".join(_figure(results.median(peer, scenario.name, name)) for name in names)


def _memory(results: Results) -> str:
    rows = []
    for peer in results.peers:
        fields = ("bytes_per_connection", "bytes_per_opened_connection", "resident_bytes_per_connection")
        cells = [_figure(results.median(peer, "idle", name)) for name in fields]
        start = _figure(results.median(peer, "idle", "megabytes_at_start"), 1)
        size = results.peers[peer].get("binary_bytes")
        rows.append([results.title(peer), *cells, start, _figure(size and size / 1024)])
    header = [
        "", "bytes per connection, after a message each", "before it", "the same, resident",
        "process at start, MB", "executable, KiB",
    ]
    return markdown(header, rows)


def _preface(results: Results) -> str:
    data = results.data
    average = data["load_average"]
    quiet = f"load average before {data['load_average_before']:.1f}, meanwhile {average['lowest']:.1f} to {average['highest']:.1f}"
    lines = [
        "# Results",
        "",
        "Written by `bench/run`; what the columns mean and how it is measured is in [../README.md](../README.md).",
        "",
        f"- {data['date']}, {machine.in_words(data['machine'])}",
        f"- median of {data['rounds']} rounds, {data['seconds']:g} s each, servers interleaved; {quiet}",
        "- figures of this machine only: on another processor the same comparison can come out otherwise",
    ]
    if results.noisy:
        lines += ["", "> **Noisy:** other programs used the processors. Ratios within a table are worth something, single figures little."]
    return "\n".join(lines)


def write(results: Results, folder: Path) -> None:
    scenarios = results.scenarios()
    timed = [scenario for scenario in scenarios if scenario.has_latency]
    parts = [
        _preface(results),
        "## Processor time of the server",
        "Nanoseconds per message (sink and source: per KiB; connect: per connection): the median of the rounds, in brackets its ratio to the median of the better of the two C servers, then the lowest and the highest round.",
        _by_scenario(results, lambda peer, scenario: _cost(results, peer, scenario), scenarios),
        "![](cpu.svg)",
        "## Throughput",
        "Per second: messages, connections, or megabytes; the median of the rounds.",
        _by_scenario(results, lambda peer, scenario: _rate(results, peer, scenario), scenarios),
        "![](throughput.svg)",
        "## Latency",
        "Microseconds from sending to having it back: p50 / p99 / p99.9, each the median of the rounds.",
        _by_scenario(results, lambda peer, scenario: _latency(results, peer, scenario), timed),
        "![](latency.svg)",
    ]
    if any(run["scenario"] == "idle" for run in results.data["runs"]):
        parts += [
            "## Memory and size",
            f"User memory (PSS) that {results.data['idle_connections']:,} idle connections add, each.",
            _memory(results),
            "![](memory.svg)",
            "![](size.svg)",
        ]
    parts += ["## The servers", markdown(["", "version"], [[peer["title"], peer.get("version") or "–"] for peer in results.peers.values()])]
    if results.absent:
        parts.append("Absent:\n\n" + "\n".join(f"- {peer['title']}: {peer['absent']}" for peer in results.absent.values()))
    if results.failures():
        lines = [f"- {results.title(run['peer'])}, {run['scenario']}: {run['failed']}" for run in results.failures()]
        parts.append("Failed:\n\n" + "\n".join(dict.fromkeys(lines)))
    (folder / "README.md").write_text("\n\n".join(parts) + "\n")
    plots.write(results, folder)
