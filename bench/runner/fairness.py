"""What well-behaved connections and timers suffer from those that are not."""

import json
import os
import re
import select
import time

from . import machine, measure, peers

SERVERS = ("fyke", "fyke-uring", "tokio", "node")
QUIET_ONE = ("echo", "--connections", 1)
FLOODED = (*QUIET_ONE, "--flood")
QUIET_MANY = ("echo", "--connections", 990)
STUCK = (*QUIET_MANY, "--stuck", 10)


def _latest(process) -> float:
    """The worst lateness of a timer that the server has told of so far, in milliseconds."""
    text = b""
    # Not by `readline`: it reads ahead, and what it has is not seen by `select`.
    while select.select([process.stdout], [], [], 0)[0]:
        piece = os.read(process.stdout.fileno(), 65536)
        if not piece:
            break
        text += piece
    return max((int(number) / 1000 for number in re.findall(r"late (\d+)", text.decode())), default=0.0)


def _one(peer, words, options) -> dict:
    with measure.started(peer, "echo", TIMER="1") as (process, where):
        time.sleep(measure.SETTLING_SECONDS)
        # The server tells once a second.
        seconds = max(options.seconds, 2.5)
        figures = measure.load(process, where, words, seconds, options.warm_up)
        return {"p50": figures["p50_microseconds"], "p99": figures["p99_microseconds"], "late": _latest(process)}


def measure_all(options) -> dict:
    found = {}
    for number in range(options.rounds):
        for name in SERVERS:
            if "absent" in options.peers.get(name, {"absent": 1}):
                continue
            for situation, words in (("quiet", QUIET_ONE), ("flood", FLOODED), ("many", QUIET_MANY), ("stuck", STUCK)):
                try:
                    figures = _one(peers.BY_NAME[name], words, options)
                except measure.Failed as error:
                    print(f"FAILED: {name}, {situation}: {error}", flush=True)
                    continue
                best = found.setdefault(name, {}).setdefault(situation, figures)
                found[name][situation] = {field: min(best[field], figures[field]) for field in figures}
        print(f"round {number + 1} of {options.rounds}", flush=True)
    return found


def _rows(found: dict, options) -> list:
    def ratio(of, to):
        return f"{of['p99'] / to['p99']:.1f}" if of and to and to["p99"] else "–"

    def p99(figures):
        return f"{figures['p99']:,.0f}" if figures else "–"

    def late(figures):
        return f"{figures['late']:.1f}" if figures else "–"

    rows = []
    for name, by in found.items():
        quiet, flood, many, stuck = (by.get(situation) for situation in ("quiet", "flood", "many", "stuck"))
        cells = [late(quiet), late(flood), p99(quiet), p99(flood), ratio(flood, quiet), p99(many), p99(stuck), ratio(stuck, many)]
        rows.append([options.peers[name]["title"], *cells])
    return rows


def write(options) -> None:
    before = machine.load_average()
    found = measure_all(options)
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    noisy = max(before, machine.load_average() - machine.OWN_LOAD_AVERAGE) > machine.NOISY_LOAD_AVERAGE
    header = [
        "", "timer late by at most, ms: quiet", "with a flood", "p99 of one connection, µs: quiet", "with a flood", "ratio",
        "p99 of 990 connections, µs", "with 10 that never read", "ratio",
    ]
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *_rows(found, options)]
    parts = [
        "# Fairness",
        "Written by `bench/run fairness`.",
        f"{machine.in_words(machine.describe())}; best of {options.rounds} rounds; load average before {before:.1f}.",
        "> **Noisy:** other programs used the processors." if noisy else "",
        "The server echoes, and has a timer of 20 ms that says how late it was. The flood is one connection that sends and receives "
        "at full speed; its two threads run when the one that measures waits (SCHED_IDLE).",
        "\n".join("| " + " | ".join(row) + " |" for row in lines),
    ]
    (folder / "fairness.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    document = {"machine": machine.describe(), "load_average_before": before, "noisy": noisy, "figures": found}
    (folder / "fairness.json").write_text(json.dumps(document, indent=1) + "\n")
