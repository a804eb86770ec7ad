"""The cost of TLS: fyke-tls, compared with tokio-rustls and with Node's tls."""

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import machine, measure, peers, plots
from .results import Results
from .table import markdown

PROGRAM = peers.OUTPUT / "release" / "peer-tls"
CERTIFICATE = Path(tempfile.gettempdir()) / f"fyke-bench-{os.getpid()}-cert.pem"
KEY = CERTIFICATE.with_name(CERTIFICATE.name.replace("cert", "key"))


class Tls(peers.Rust):
    package = "tls"

    def version(self):
        tree = peers.run("cargo", "tree", "--depth", "1", "--prefix", "none", "-p", "peer-tls", cwd=peers.BENCH / "peers")
        lines = [line.split() for line in tree.splitlines()]
        return ", ".join(f"{line[0]} {line[1].lstrip('v')}" for line in lines if line and line[0] in ("rustls", "tokio-rustls"))


class Node(peers.Npm):
    def build(self):
        super().build()
        peers.run(str(PROGRAM), "certificate", str(CERTIFICATE), str(KEY))


SERVERS_BY_NAME = {
    peer.name: peer
    for peer in [
        Tls("tls-fyke", "fyke, readiness", (PROGRAM,), {"RUNTIME": "fyke", "FYKE_DRIVER": "ready"}, kind="ours"),
        Tls("tls-fyke-uring", "fyke, io_uring", (PROGRAM,), {"RUNTIME": "fyke", "FYKE_DRIVER": "uring"}, kind="ours"),
        Tls("tls-tokio", "tokio-rustls", (PROGRAM,), {"RUNTIME": "tokio"}),
        Node("tls-node", "Node", peers.script("node", "tls.mjs"), {"CERT": str(CERTIFICATE), "KEY": str(KEY)}),
    ]
}
SERVERS = tuple(SERVERS_BY_NAME)
REFERENCE = "tls-tokio"
STORM_CONNECTIONS = 1000
STORM_SECONDS = 5


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    unit: str
    mode: str
    connections: int
    # The load counts bytes, and the table shows records.
    per: int = 1


SCENARIOS = [
    Scenario("echo", "Echo of 64 bytes, 64 connections", "message", "echo", 64),
    Scenario("sink", "Receiving, 4 connections, records of 16 KiB", "record", "sink", 4, 16384),
    Scenario("handshakes", "Handshakes of TLS 1.3 with ECDSA, 16 at a time, with connect and close", "handshake", "echo", 16),
]


def _nanoseconds(pid: int) -> int:
    """The processor time of all threads."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())


def _memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _load(kind: str, where: list, connections: int, seconds: float):
    words = [str(PROGRAM), "load", kind, where[1], str(connections), str(max(1, round(seconds)))]
    return subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=measure.on_processor(1))


def _one(peer, scenario: Scenario, seconds: float) -> dict:
    result = {"peer": peer.name, "scenario": scenario.name, "load_average": round(machine.load_average(), 2)}
    try:
        with measure.started(peer, scenario.mode) as (process, where):
            time.sleep(measure.SETTLING_SECONDS)
            with _load(scenario.name, where, scenario.connections, seconds) as load:
                if load.stdout.readline().strip() != "begin":
                    raise measure.Failed("the load generator failed")
                before = _nanoseconds(process.pid)
                count = int(load.stdout.readline() or 0) / scenario.per
                after = _nanoseconds(process.pid)
            if not count:
                raise measure.Failed("nothing came back")
            result["server_nanoseconds"] = (after - before) / count
    except measure.Failed as error:
        result["failed"] = str(error)
    return result


def _idle(peer, connections: int) -> dict:
    result = {"peer": peer.name, "scenario": "idle", "load_average": round(machine.load_average(), 2)}
    try:
        with measure.started(peer, "echo") as (process, where):
            time.sleep(measure.SETTLING_SECONDS)
            before = _memory(process.pid)
            with _load("idle", where, connections, 1) as load:
                load.stdout.readline()
                time.sleep(measure.SETTLING_SECONDS)
                result["bytes_per_connection"] = (_memory(process.pid) - before) / connections
                load.kill()
    except measure.Failed as error:
        result["failed"] = str(error)
    return result


def _ping(where: list, seconds: float) -> list:
    """When each echo began, and how long it took, in microseconds."""
    words = [str(PROGRAM), "ping", where[1], str(max(1, round(seconds)))]
    output = subprocess.run(words, text=True, stdout=subprocess.PIPE, preexec_fn=measure.on_processor(1), check=False).stdout
    if not output.strip():
        raise measure.Failed("nothing came back")
    return [tuple(map(int, line.split())) for line in output.splitlines()]


def _percentile(pings: list) -> float:
    taken = sorted(taken for _, taken in pings)
    return taken[len(taken) * 99 // 100]


def _storm(peer, seconds: float) -> dict:
    """The 99th percentile of an echo, alone and while others shake hands."""
    result = {"peer": peer.name, "scenario": "storm", "load_average": round(machine.load_average(), 2)}

    def idle_class():
        measure.on_processor(1)()
        # The echo must not wait for the clients of the storm, which share its processor.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    try:
        with measure.started(peer, "echo") as (_, where):
            time.sleep(measure.SETTLING_SECONDS)
            result["alone_microseconds"] = _percentile(_ping(where, seconds))
            words = [str(PROGRAM), "storm", where[1], str(STORM_CONNECTIONS)]
            storm = subprocess.Popen(words, text=True, stdout=subprocess.PIPE, preexec_fn=idle_class)
            try:
                time.sleep(measure.SETTLING_SECONDS)
                pings = _ping(where, STORM_SECONDS)
            finally:
                storm.kill()
                output, _ = storm.communicate()
            spans = [tuple(map(int, line.split())) for line in output.splitlines()]
            during = [ping for ping in pings if any(begin <= ping[0] < end for begin, end in spans)]
            if len(during) < 100:
                raise measure.Failed("there were not enough handshakes")
            result["storm_microseconds"] = _percentile(during)
    except measure.Failed as error:
        result["failed"] = str(error)
    return result


def measure_all(options) -> Results:
    runs = []
    for number in range(options.rounds):
        for scenario in SCENARIOS:
            for name in options.peers:
                runs.append({"round": number, **_one(SERVERS_BY_NAME[name], scenario, options.seconds)})
        for name in options.peers:
            runs.append({"round": number, **_storm(SERVERS_BY_NAME[name], options.seconds)})
        print(f"round {number + 1} of {options.rounds}", flush=True)
    # Memory does not depend on other programs.
    for name in options.peers:
        runs.append({"round": 0, **_idle(SERVERS_BY_NAME[name], options.idle_connections)})
    for run in runs:
        if "failed" in run:
            print(f"FAILED: {run['peer']}, {run['scenario']}: {run['failed']}", flush=True)
    return Results({"peers": options.peers, "runs": runs})


def _row(results: Results, name: str, scenario: Scenario) -> list:
    cost = results.median(name, scenario.name, "server_nanoseconds")
    reference = results.median(REFERENCE, scenario.name, "server_nanoseconds")
    if cost is None:
        return [results.title(name), "–", "–", "–"]
    lowest, highest = results.spread(name, scenario.name, "server_nanoseconds")
    ratio = f"{cost / reference:.2f}" if reference else "–"
    return [results.title(name), f"{cost:,.0f}", ratio, f"{lowest:,.0f}–{highest:,.0f}"]


def _storm_row(results: Results, name: str) -> list:
    alone = results.median(name, "storm", "alone_microseconds")
    during = results.median(name, "storm", "storm_microseconds")
    if during is None:
        return [results.title(name), "–", "–", "–"]
    lowest, highest = results.spread(name, "storm", "storm_microseconds")
    return [results.title(name), f"{alone:,.0f}", f"{during:,.0f}", f"{lowest:,.0f}–{highest:,.0f}"]


def _plot(results: Results) -> str:
    panels = [plots.costs(results, scenario) for scenario in SCENARIOS]
    return plots.draw("TLS: processor time, median, ticks at the lowest and highest round: less is better", panels)


def write(options) -> None:
    options.idle_connections = min(options.idle_connections, 1000)
    before = machine.load_average()
    results = measure_all(options)
    limit = float(peers.run(str(PROGRAM), "limit", "2"))
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    noisy = max(before, machine.load_average() - machine.OWN_LOAD_AVERAGE) > machine.NOISY_LOAD_AVERAGE
    parts = [
        "# TLS",
        "Written by `bench/run tls`: processor time of servers that speak TLS 1.3. fyke-tls and tokio-rustls use the same rustls with aws-lc-rs.",
        f"{machine.in_words(machine.describe())}; {options.peers[REFERENCE].get('version', '')}; "
        f"{options.rounds} rounds of {options.seconds:g} s, servers interleaved; load average before {before:.1f}.",
        "> **Noisy:** other programs used the processors." if noisy else "",
    ]
    for scenario in SCENARIOS:
        header = ["", f"ns per {scenario.unit}, median", "ratio", "lowest–highest"]
        parts += [f"## {scenario.title}", markdown(header, [_row(results, name, scenario) for name in results.peers])]
    parts.append(f"The server's side of a handshake takes rustls {1e9 / limit:,.0f} ns without a network.")
    header = ["", "alone, µs", "during handshakes, µs", "lowest–highest"]
    parts += [
        f"## An echo while {STORM_CONNECTIONS:,} clients shake hands",
        f"99th percentile of the time of an echo of 64 bytes, one per millisecond, alone and between the moment when "
        f"{STORM_CONNECTIONS:,} connections begin their handshakes at once and the moment when all are done. Median of the rounds.",
        markdown(header, [_storm_row(results, name) for name in results.peers]),
    ]
    idle = [[results.title(name), f"{results.median(name, 'idle', 'bytes_per_connection') or 0:,.0f}"] for name in results.peers]
    parts += [
        "![](tls.svg)",
        "## Memory",
        f"Memory (PSS) that {options.idle_connections:,} idle connections add, each, which were all opened at once.",
        markdown(["", "bytes"], idle),
    ]
    (folder / "tls.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    (folder / "tls.svg").write_text(_plot(results))
    document = {"machine": machine.describe(), "load_average_before": before, "noisy": noisy, "limit_per_second": limit, **results.data}
    (folder / "tls.json").write_text(json.dumps(document, indent=1) + "\n")
