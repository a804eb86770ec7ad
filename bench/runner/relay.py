"""The cost of relaying: `fyke relay` compared with HAProxy in TCP mode, in front of the C server on epoll."""

import json
import shutil
import statistics
from contextlib import contextmanager

from . import machine, measure, peers
from .scenarios import CONNECTION, KIBIBYTE, Scenario, echo, sink
from .table import markdown

FYKE = peers.RELEASE / "fyke"
BACKEND = peers.BY_NAME["epoll"]
SOURCE = Scenario("source-1", "source, 1 connection", "source", ("source", "--connections", 1, "--size", 65536), KIBIBYTE)
SCENARIOS = [
    sink(1),
    SOURCE,
    sink(8),
    echo("echo-64", "64 keep-alive connections", 64),
    Scenario("connect", "short connections, 32 at a time", "echo", ("connect", "--connections", 32), CONNECTION),
    echo("echo-1", "1 connection", 1),
]
HAPROXY = """global
    nbthread 1
defaults
    mode tcp
    {option}
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen relay
    bind "127.0.0.1:${{PORT}}"
    server target 127.0.0.1:{target}
"""


class Relay(peers.Peer):
    """`command_of` gets the backend's port and a folder; the relay listens on the port in `$PORT`."""

    def __init__(self, name, title, command_of, env=None):
        super().__init__(name, title, (), env or {})
        self.command_of = command_of

    def before(self, target, folder) -> peers.Peer:
        return peers.Peer(self.name, self.title, self.command_of(target, folder), self.env)


def _fyke(target, _folder):
    return ("sh", "-c", f'exec "{FYKE}" relay --quiet 127.0.0.1:$PORT 127.0.0.1:{target}')


def _haproxy(splice):
    def command(target, folder):
        config = folder / f"haproxy-{splice}.cfg"
        option = "option splice-auto" if splice else "no option splice-auto"
        config.write_text(HAPROXY.format(option=option, target=target))
        return ("haproxy", "-f", config, "-db", "-q")

    return command


RELAYS = [
    Relay("fyke", "fyke relay, readiness", _fyke, {"FYKE_DRIVER": "ready"}),
    Relay("fyke-uring", "fyke relay, io_uring", _fyke, {"FYKE_DRIVER": "uring"}),
    Relay("haproxy", "HAProxy", _haproxy(False)),
    Relay("haproxy-splice", "HAProxy, splice-auto", _haproxy(True)),
]
# The latency of a message without a relay, to compute the latency that a relay adds.
DIRECT = "direct"
SERVERS = tuple(relay.name for relay in RELAYS)


@contextmanager
def _relayed(relay, mode, folder):
    with measure.started(BACKEND, mode, processor=1) as (_, where):
        with measure.started(relay.before(where[1], folder), mode) as started:
            yield started


def _one(relay, scenario, options, folder) -> dict:
    if relay is None:
        with measure.started(BACKEND, scenario.mode) as (process, where):
            return measure.load(process, where, scenario.load, options.seconds, options.warm_up)
    with _relayed(relay, scenario.mode, folder) as (process, where):
        return measure.load(process, where, scenario.load, options.seconds, options.warm_up)


def measure_all(options, folder) -> dict:
    """For each scenario and relay, the figures of every round."""
    found = {}
    relays = [relay for relay in RELAYS if relay.name in options.peers]
    for number in range(options.rounds):
        for scenario in SCENARIOS:
            for relay in [*relays, *([None] if scenario.has_latency else [])]:
                name = relay.name if relay else DIRECT
                try:
                    figures = _one(relay, scenario, options, folder)
                except measure.Failed as error:
                    print(f"FAILED: {name}, {scenario.name}: {error}", flush=True)
                    continue
                found.setdefault(scenario.name, {}).setdefault(name, []).append(figures)
        print(f"round {number + 1} of {options.rounds}", flush=True)
    return found


def _values(runs: list | None, field: str) -> list:
    return sorted(run[field] for run in runs or [] if field in run)


def _cell(runs, field, digits=0, to=None) -> str:
    values = _values(runs, field)
    if not values:
        return "–"
    median = statistics.median(values)
    ratio = f" ({median / to:.2f})" if to else ""
    return f"{median:,.{digits}f}{ratio}, {values[0]:,.{digits}f}–{values[-1]:,.{digits}f}"


def _cheaper_haproxy(by: dict, field: str) -> float | None:
    medians = [statistics.median(_values(by[name], field)) for name in ("haproxy", "haproxy-splice") if name in by]
    return min(medians, default=None)


def _table(found: dict, names: list, scenarios: list, cell) -> str:
    header = ["", *(scenario.title for scenario in scenarios)]
    titles = {**{relay.name: relay.title for relay in RELAYS}, DIRECT: "without a relay"}
    rows = [[titles[name], *(cell(found.get(scenario.name, {}), name, scenario) for scenario in scenarios)] for name in names]
    return markdown(header, rows)


def _cost(by, name, scenario) -> str:
    return _cell(by.get(name), scenario.cost_field, to=_cheaper_haproxy(by, scenario.cost_field))


def _latency(by, name, scenario) -> str:
    return f"{_cell(by.get(name), 'p50_microseconds')} / {_cell(by.get(name), 'p99_microseconds')}"


def prepare() -> dict:
    """The relays that can run here."""
    peers.run("cargo", "build", "--release", "--quiet", "-p", "fyke-cli", "-p", "fyke-bench-load", cwd=peers.ROOT)
    BACKEND.build()
    found = {}
    for relay in RELAYS:
        if relay.name.startswith("haproxy") and not shutil.which("haproxy"):
            print(f"absent: {relay.title} (apt-get install haproxy)")
            continue
        found[relay.name] = {"title": relay.title}
    return found


def write(options) -> None:
    before = machine.load_average()
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    found = measure_all(options, peers.OUTPUT)
    noisy = max(before, machine.load_average() - machine.OWN_LOAD_AVERAGE - 1) > machine.NOISY_LOAD_AVERAGE
    timed = [scenario for scenario in SCENARIOS if scenario.has_latency]
    names = list(options.peers)
    version = peers.run("haproxy", "-v").splitlines()[0] if "haproxy" in options.peers else ""
    parts = [
        "# Relaying",
        "Written by `bench/run relay`.",
        f"{machine.in_words(machine.describe())}; {version}; {options.rounds} rounds of {options.seconds:g} s, relays interleaved; "
        f"load average before {before:.1f}. The relay has processor 0; the backend (C, epoll) and the load generator share processor 1.",
        "> **Noisy:** other programs used the processors." if noisy else "",
        "## Processor time of the relay",
        "Nanoseconds per message (sink and source: per KiB; short connections: per connection): the median of the rounds, in brackets its "
        "ratio to the median of the cheaper HAProxy, then the lowest and the highest round.",
        _table(found, names, SCENARIOS, _cost),
        "## Latency",
        "Microseconds, p50 / p99: the median of the rounds, the lowest and the highest.",
        _table(found, [*names, DIRECT], timed, _latency),
    ]
    (folder / "relay.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    document = {"machine": machine.describe(), "load_average_before": before, "noisy": noisy, "figures": found}
    (folder / "relay.json").write_text(json.dumps(document, indent=1) + "\n")
