"""How misbehaving connections affect well-behaved ones and timers."""

import json
import os
import re
import select
import statistics
import time

from . import machine, measure, peers
from .table import markdown

SERVERS = ("fyke", "fyke-uring", "tokio", "node")
QUIET_ONE = ("echo", "--connections", 1)
FLOODED = (*QUIET_ONE, "--flood")
QUIET_MANY = ("echo", "--connections", 990)
STUCK = (*QUIET_MANY, "--stuck", 10)
BULK = (1, 8, 64)
# The situations beside the measured connections: the server's mode, and the load.
SITUATIONS = {
    "quiet": ("echo", QUIET_ONE),
    "flood": ("echo", FLOODED),
    "many": ("echo", QUIET_MANY),
    "stuck": ("echo", STUCK),
    **{f"bulk-{count}": ("mixed", (*QUIET_ONE, "--bulk", count)) for count in BULK},
}


def _latest(process) -> float:
    """The largest lateness of a timer that the server has reported so far, in milliseconds."""
    text = b""
    # Not with `readline`: it reads ahead, and `select` does not see its buffer.
    while select.select([process.stdout], [], [], 0)[0]:
        piece = os.read(process.stdout.fileno(), 65536)
        if not piece:
            break
        text += piece
    return max((int(number) / 1000 for number in re.findall(r"late (\d+)", text.decode())), default=0.0)


def _one(peer, mode, words, options) -> dict:
    with measure.started(peer, mode, TIMER="1") as (process, where):
        time.sleep(measure.SETTLING_SECONDS)
        # The server reports once per second.
        seconds = max(options.seconds, 2.5)
        figures = measure.load(process, where, words, seconds, options.warm_up)
        return {"p50": figures["p50_microseconds"], "p99": figures["p99_microseconds"], "late": _latest(process)}


def measure_all(options) -> dict:
    """For each server and situation, the figures of every round."""
    found = {}
    for number in range(options.rounds):
        for name in SERVERS:
            if "absent" in options.peers.get(name, {"absent": 1}):
                continue
            for situation, (mode, words) in SITUATIONS.items():
                try:
                    figures = _one(peers.BY_NAME[name], mode, words, options)
                except measure.Failed as error:
                    print(f"FAILED: {name}, {situation}: {error}", flush=True)
                    continue
                found.setdefault(name, {}).setdefault(situation, []).append(figures)
        print(f"round {number + 1} of {options.rounds}", flush=True)
    return found


def _median(runs: list | None, field: str) -> float | None:
    return statistics.median(run[field] for run in runs) if runs else None


def _spread(runs: list | None, field: str, digits: int) -> str:
    if not runs:
        return "–"
    values = sorted(run[field] for run in runs)
    lowest, median, highest = (f"{value:,.{digits}f}" for value in (values[0], statistics.median(values), values[-1]))
    return f"{median} ({lowest}–{highest})"


def _ratio(runs: list | None, to: list | None) -> str:
    over, under = _median(runs, "p99"), _median(to, "p99")
    return f"{over / under:.1f}" if over and under else "–"


def _flood_table(found: dict, options) -> str:
    header = [
        "", "timer late by at most, ms: quiet", "with a flood", "p99 of one connection, µs: quiet", "with a flood", "ratio",
        "p99 of 990 connections, µs", "with 10 that never read", "ratio",
    ]
    rows = []
    for name, by in found.items():
        quiet, flood, many, stuck = (by.get(situation) for situation in ("quiet", "flood", "many", "stuck"))
        late = [_spread(runs, "late", 1) for runs in (quiet, flood)]
        one = [_spread(runs, "p99", 0) for runs in (quiet, flood)]
        all_of_them = [_spread(runs, "p99", 0) for runs in (many, stuck)]
        rows.append([options.peers[name]["title"], *late, *one, _ratio(flood, quiet), *all_of_them, _ratio(stuck, many)])
    return markdown(header, rows)


def _bulk_table(found: dict, options) -> str:
    situations = ["quiet", *(f"bulk-{count}" for count in BULK)]
    header = ["", "alone", *(f"beside {count}" for count in BULK), *(f"p99 beside {count}" for count in BULK)]
    rows = []
    for name, by in found.items():
        middle = [_spread(by.get(situation), "p50", 0) for situation in situations]
        tail = [_spread(by.get(situation), "p99", 0) for situation in situations[1:]]
        rows.append([options.peers[name]["title"], *middle, *tail])
    return markdown(header, rows)


def write(options) -> None:
    before = machine.load_average()
    found = measure_all(options)
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    noisy = max(before, machine.load_average() - machine.OWN_LOAD_AVERAGE) > machine.NOISY_LOAD_AVERAGE
    parts = [
        "# Fairness",
        "Written by `bench/run fairness`.",
        f"{machine.in_words(machine.describe())}; median of {options.rounds} rounds, in brackets the lowest and the highest; load average before {before:.1f}.",
        "> **Noisy:** other programs used the processors." if noisy else "",
        "The server echoes, and has a timer of 20 ms that says how late it was. The flood is one connection that sends and receives "
        "at full speed; its two threads run when the one that measures waits (SCHED_IDLE).",
        _flood_table(found, options),
        "Beside connections that only send, as fast as they can: p50 and p99 of one connection with messages of 64 bytes, in microseconds.",
        _bulk_table(found, options),
    ]
    (folder / "fairness.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    document = {"machine": machine.describe(), "load_average_before": before, "noisy": noisy, "figures": found}
    (folder / "fairness.json").write_text(json.dumps(document, indent=1) + "\n")
