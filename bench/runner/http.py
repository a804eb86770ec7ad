"""The cost of HTTP/1.1: the hello-world server of hyper on fyke, compared with the same server on tokio."""

import json

from . import machine, measure, peers, plots
from .results import Results
from .scenarios import Scenario
from .table import markdown

HYPER = peers.OUTPUT / "release" / "peer-hyper"


class Hyper(peers.Rust):
    package = "hyper"

    def build(self):
        peers.run("cargo", "build", "--release", "--quiet", "-p", "fyke-bench-load", cwd=peers.ROOT)
        super().build()

    def version(self):
        return f"hyper {super().version()}"


SERVERS_BY_NAME = {
    peer.name: peer
    for peer in [
        Hyper("hyper-fyke", "fyke, readiness", (HYPER,), {"RUNTIME": "fyke", "FYKE_DRIVER": "ready"}, kind="ours"),
        Hyper("hyper-fyke-uring", "fyke, io_uring", (HYPER,), {"RUNTIME": "fyke", "FYKE_DRIVER": "uring"}, kind="ours"),
        Hyper("hyper-tokio", "tokio", (HYPER,), {"RUNTIME": "tokio"}),
    ]
}
SERVERS = tuple(SERVERS_BY_NAME)
REFERENCE = "hyper-tokio"


def _requests(connections: int) -> Scenario:
    load = ("echo", "--http", "--connections", connections)
    return Scenario(f"http-{connections}", f"{connections} connection{'s' * (connections > 1)}", "http", load, "request")


SCENARIOS = [_requests(connections) for connections in (1, 64, 1000)]


def _idle(connections: int) -> Scenario:
    return Scenario("idle", "idle", "http", ("idle", "--http", "--connections", connections))


def measure_all(options) -> Results:
    scenarios = [*SCENARIOS, _idle(options.idle_connections)]
    runs = []
    for number in range(options.rounds):
        for scenario in scenarios:
            # Memory does not depend on other programs.
            if scenario.name == "idle" and number > 0:
                continue
            for name in options.peers:
                run = measure.one(SERVERS_BY_NAME[name], scenario, options.seconds, options.warm_up)
                runs.append({"round": number, **run})
                if "failed" in run:
                    print(f"FAILED: {name}, {scenario.name}: {run['failed']}", flush=True)
        print(f"round {number + 1} of {options.rounds}", flush=True)
    return Results({"peers": options.peers, "runs": runs})


def _range(results: Results, name: str, scenario: str, field: str) -> str:
    spread = results.spread(name, scenario, field)
    return "–".join(f"{value:,.0f}" for value in spread) if spread else "–"


def _row(results: Results, name: str, scenario: Scenario) -> list:
    cost = results.median(name, scenario.name, "server_nanoseconds")
    reference = results.median(REFERENCE, scenario.name, "server_nanoseconds")
    if cost is None:
        return [results.title(name), "–", "–", "–", "–"]
    ratio = f" ({cost / reference:.2f})" if reference else ""
    latency = [results.median(name, scenario.name, f"{quantile}_microseconds") for quantile in ("p50", "p99")]
    return [
        results.title(name),
        f"{cost:,.0f}{ratio}, {_range(results, name, scenario.name, 'server_nanoseconds')}",
        f"{1e9 / cost:,.0f}",
        *(f"{value:,.0f}" for value in latency),
    ]


def _plot(results: Results) -> str:
    panels = [plots.costs(results, scenario) for scenario in SCENARIOS]
    return plots.draw("hyper, hello world: processor time, median, ticks at the lowest and highest round: less is better", panels)


def write(options) -> None:
    before = machine.load_average()
    results = measure_all(options)
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    noisy = max(before, machine.load_average() - machine.OWN_LOAD_AVERAGE) > machine.NOISY_LOAD_AVERAGE
    header = ["", "processor time, ns", "requests per processor second", "p50, µs", "p99, µs"]
    parts = [
        "# HTTP",
        "Written by `bench/run http`: the hello-world server of hyper on fyke and on tokio (current-thread). Only the sockets, the tasks and the timers differ.",
        f"{machine.in_words(machine.describe())}; {options.peers[REFERENCE].get('version', '')}; "
        f"{options.rounds} rounds of {options.seconds:g} s, servers interleaved; load average before {before:.1f}.",
        "> **Noisy:** other programs used the processors." if noisy else "",
        "Each connection sends a request of HTTP/1.1 when the answer to the one before has arrived. Processor time of the server per request: the "
        "median of the rounds, in brackets its ratio to tokio, then the lowest and the highest round. Latencies are medians.",
    ]
    for scenario in SCENARIOS:
        parts += [f"## {scenario.title}", markdown(header, [_row(results, name, scenario) for name in results.peers])]
    idle = [[results.title(name), _range(results, name, "idle", "bytes_per_connection").split("–")[0]] for name in results.peers]
    parts += [
        "![](http.svg)",
        "## Memory",
        f"User memory (PSS) that {options.idle_connections:,} idle keep-alive connections add, each, after one request.",
        markdown(["", "bytes"], idle),
    ]
    (folder / "http.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    (folder / "http.svg").write_text(_plot(results))
    document = {"machine": machine.describe(), "load_average_before": before, "noisy": noisy, **results.data}
    (folder / "http.json").write_text(json.dumps(document, indent=1) + "\n")
