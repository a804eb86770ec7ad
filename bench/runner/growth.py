"""How costs grow with the number of connections, idle sockets, rules, timers."""

import json
import statistics
from dataclasses import dataclass

from . import lines, machine, measure, peers, scenarios

GROWTH = peers.RELEASE / "fyke-bench-growth"
SERVERS = ("fyke", "fyke-uring", "epoll")


@dataclass
class Curve:
    name: str
    title: str
    below: str
    beside: str
    numbers: tuple
    series: list


def _served(numbers, words_of, options, limit) -> list:
    """Server CPU per message for each number; the median of the rounds."""
    series = []
    for name in SERVERS:
        if "absent" in options.peers.get(name, {"absent": 1}):
            continue
        peer, points = peers.BY_NAME[name], []
        for number in (number for number in numbers if number < limit):
            scenario = scenarios.Scenario("growth", "", "echo", words_of(number))
            runs = [measure.one(peer, scenario, options.seconds, options.warm_up) for _ in range(options.rounds)]
            costs = [run["server_nanoseconds"] for run in runs if "failed" not in run]
            if costs:
                points.append((number, statistics.median(costs)))
        if points:
            series.append(lines.Series(peer.title, points))
    return series


def _in_process(what, numbers) -> list:
    # A process for each number, because memory released by an earlier run would be reused.
    printed = [peers.run(GROWTH, what, number) for number in numbers]
    points = [(line["number"], line["value"]) for line in map(json.loads, printed)]
    return [lines.Series("fyke", points)]


def measure_all(options) -> list:
    limit = measure.raise_descriptor_limit(21_000) - 1000
    peers.run("cargo", "build", "--release", "--quiet", "-p", "fyke-bench-growth", cwd=peers.ROOT)

    def connections(number):
        return ("echo", "--connections", number)

    def idle(number):
        return ("echo", "--connections", 64, "--idle", number)

    message = "server CPU per message, ns"
    counts, others = (1, 64, 1000, 10_000), (1, 1000, 10_000)
    rules, timers, simulated = (10, 1000, 100_000), (10, 1000, 1_000_000), (1000, 10_000, 100_000, options.simulated)
    simulated = tuple(sorted({number for number in simulated if number <= options.simulated}))
    return [
        Curve("connections", "A message, with more connections", "connections", message, counts, _served(counts, connections, options, limit)),
        Curve("idle-sockets", "A message, with idle sockets beside", "idle sockets with idle timeouts", message, others, _served(others, idle, options, limit)),
        Curve("block-list", "Checking an address", "rules", "ns per check", rules, _in_process("block-list", rules)),
        Curve("timers", "Setting and cancelling a timer", "timers pending", "ns per timer", timers, _in_process("timers", timers)),
        Curve("simulated", "Memory in the simulated network", "connections", "bytes per connection, both ends", simulated, _in_process("simulated", simulated)),
    ]


def _table(curve: Curve) -> str:
    rows = [["", *(f"{number:,}" for number in curve.numbers)], ["---"] + ["--:"] * len(curve.numbers)]
    for series in curve.series:
        found = dict(series.points)
        rows.append([series.label, *(f"{found[number]:,.0f}" if number in found else "–" for number in curve.numbers)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write(options) -> None:
    before = machine.load_average()
    curves = measure_all(options)
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    noisy = max(before, machine.load_average() - machine.OWN_LOAD_AVERAGE) > machine.NOISY_LOAD_AVERAGE
    parts = ["# Growth", "Written by `bench/run growth`.", f"{machine.in_words(machine.describe())}; load average before {before:.1f}."]
    if noisy:
        parts.append("> **Noisy:** other programs used the processors.")
    for curve in curves:
        (folder / f"growth-{curve.name}.svg").write_text(lines.draw(curve.title, curve.below, curve.beside, curve.series))
        heading = f"In the cells: {curve.beside}; across: {curve.below}."
        parts += [f"## {curve.title}", heading, _table(curve), f"![](growth-{curve.name}.svg)"]
    (folder / "growth.md").write_text("\n\n".join(parts) + "\n")
    figures = {curve.name: {one.label: one.points for one in curve.series} for curve in curves}
    document = {"machine": machine.describe(), "load_average_before": before, "noisy": noisy, "figures": figures}
    (folder / "growth.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
