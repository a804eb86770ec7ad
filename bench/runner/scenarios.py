"""The scenarios."""

from dataclasses import dataclass

MESSAGE, KIBIBYTE, CONNECTION = "message", "KiB", "connection"


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    mode: str  # the server's MODE
    load: tuple  # arguments of the load generator
    unit: str = MESSAGE
    unix: bool = False

    @property
    def cost_field(self) -> str:
        return "server_nanoseconds_per_kib" if self.unit == KIBIBYTE else "server_nanoseconds"

    @property
    def rate_field(self) -> str:
        return "megabytes_per_second" if self.unit == KIBIBYTE else "per_second"

    @property
    def has_latency(self) -> bool:
        return self.unit != KIBIBYTE


def echo(name, title, connections, size=64, depth=1, unix=False) -> Scenario:
    load = ("echo", "--connections", connections, "--size", size, "--depth", depth)
    return Scenario(name, title, "echo", load, unix=unix)


def sink(connections) -> Scenario:
    load = ("sink", "--connections", connections, "--size", 65536)
    return Scenario(f"sink-{connections}", f"sink, {connections} connection{'s' * (connections > 1)}", "sink", load, KIBIBYTE)


SCENARIOS = [
    echo("echo-1", "echo, 1 connection", 1),
    echo("echo-64", "echo, 64 connections", 64),
    echo("echo-1000", "echo, 1000 connections", 1000),
    echo("pipelined", "pipelined, 64 × 16 messages", 64, depth=16),
    echo("echo-16k", "echo of 16 KiB, 64 connections", 64, size=16384),
    *(sink(connections) for connections in (1, 8, 64)),
    Scenario("source", "source, 8 connections", "source", ("source", "--connections", 8, "--size", 65536), KIBIBYTE),
    Scenario("connect", "connect, 32 at a time", "echo", ("connect", "--connections", 32), CONNECTION),
    echo("unix-64", "Unix socket, echo, 64 connections", 64, unix=True),
]


def idle(connections: int) -> Scenario:
    return Scenario("idle", f"{connections} idle connections", "echo", ("idle", "--connections", connections))


def custom(text: str) -> Scenario:
    """`echo --connections 200 --size 512 [--unix]`, as the load generator accepts it."""
    words = text.split()
    unix = "--unix" in words
    words = [word for word in words if word != "--unix"]
    mode = words[0] if words[0] in ("sink", "source") else "echo"
    unit = {"sink": KIBIBYTE, "source": KIBIBYTE, "connect": CONNECTION}.get(words[0], MESSAGE)
    return Scenario(text.replace(" --", " ").replace(" ", "-"), text, mode, tuple(words), unit, unix)
