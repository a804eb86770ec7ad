"""The servers: their sources, how each is built, and how it is started."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
OUTPUT = TARGET / "bench"
RELEASE = TARGET / "release"
NPM = OUTPUT / "npm"
LOAD = RELEASE / "fyke-bench-load"


class Absent(Exception):
    """A peer that is not available on this machine, with the reason."""


def run(*command, cwd=None, env=None) -> str:
    try:
        done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, text=True, capture_output=True)
    except OSError as error:
        raise Absent(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        # The first error of a compiler is more useful than its last line.
        why = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no output")
        raise Absent(f"{Path(str(command[0])).name}: {why.strip()}")
    return done.stdout


@dataclass
class Peer:
    name: str
    title: str
    command: tuple
    env: dict = field(default_factory=dict)
    unix: bool = True
    without: tuple = ()  # scenarios that it has no way to serve
    kind: str = "peer"  # ours, floor, peer

    def build(self) -> None:
        pass

    def version(self) -> str:
        return ""

    def executable(self) -> Path:
        return Path(self.command[0])

    def size_bytes(self) -> int:
        """Of the executable without symbols."""
        executable = self.executable().resolve()
        with tempfile.TemporaryDirectory() as folder:
            stripped = Path(folder) / "stripped"
            try:
                run("strip", "-o", stripped, executable)
                return stripped.stat().st_size
            except (Absent, OSError):
                return executable.stat().st_size


class Ours(Peer):
    def build(self):
        # The load generator is built together with it, and is always needed.
        run("cargo", "build", "--release", "--quiet", "-p", "fyke-bench-server", "-p", "fyke-bench-load", cwd=ROOT)

    def version(self):
        return run("cargo", "pkgid", "-p", "fyke", cwd=ROOT).strip().rsplit("@")[-1].rsplit("#")[-1]


class C(Peer):
    package = None  # what Debian calls the library
    flags = ()

    def build(self):
        source = BENCH / "peers" / "c" / f"{self.executable().name}.c"
        self.executable().parent.mkdir(parents=True, exist_ok=True)
        command = ["cc", "-O3", "-march=native", "-Wall", "-o", self.executable(), source, *self.flags]
        try:
            run(*command)
        except Absent:
            if not self.package or not shutil.which("apt-get"):
                raise
            run("apt-get", "update", "-qq")
            run("apt-get", "install", "-y", "-qq", self.package)
            run(*command)


class Libuv(C):
    package, flags = "libuv1-dev", ("-luv",)

    def version(self):
        return run("pkg-config", "--modversion", "libuv").strip()


class Liburing(C):
    package, flags = "liburing-dev", ("-l:liburing.a",)

    def version(self):
        return "liburing " + run("pkg-config", "--modversion", "liburing").strip()


class Rust(Peer):
    package = None  # the library, if the peer has another name

    @property
    def library(self):
        return self.package or self.name

    def build(self):
        env = dict(os.environ, CARGO_TARGET_DIR=str(OUTPUT))
        run("cargo", "build", "--release", "--quiet", "-p", f"peer-{self.library}", cwd=BENCH / "peers", env=env)

    def version(self):
        tree = run("cargo", "tree", "--depth", "1", "--prefix", "none", "-p", f"peer-{self.library}", cwd=BENCH / "peers")
        lines = [line.split() for line in tree.splitlines()]
        return next((line[1].lstrip("v") for line in lines if line and line[0] == self.library), "")


class Npm(Peer):
    def build(self):
        if self.executable().exists():
            return
        if not shutil.which("npm"):
            raise Absent("npm is not installed")
        NPM.mkdir(parents=True, exist_ok=True)
        shutil.copy(BENCH / "peers" / "js" / "package.json", NPM)
        run("npm", "install", "--no-audit", "--no-fund", "--silent", cwd=NPM)

    def version(self):
        words = run(self.command[0], "--version").split()
        return next(word.lstrip("v") for word in words if word.lstrip("v")[0].isdigit())


def _c(name):
    return (OUTPUT / "c" / name,)


def _rust(name):
    return (OUTPUT / "release" / f"peer-{name}",)


def script(runtime, script, *words):
    return (NPM / "node_modules" / ".bin" / runtime, *words, BENCH / "peers" / "js" / script)


BULK = ("sink-1", "sink-8", "sink-64", "source")
SERVER = RELEASE / "fyke-bench-server"
PEERS = [
    Ours("fyke", "fyke, readiness", (SERVER,), {"FYKE_DRIVER": "ready"}, kind="ours"),
    Ours("fyke-uring", "fyke, io_uring", (SERVER,), {"FYKE_DRIVER": "uring"}, kind="ours"),
    Ours("fyke-async", "fyke, async, readiness", (SERVER,), {"FYKE_DRIVER": "ready", "API": "async"}, kind="ours"),
    Ours("fyke-async-uring", "fyke, async, io_uring", (SERVER,), {"FYKE_DRIVER": "uring", "API": "async"}, kind="ours"),
    Rust("fyke-in-tokio", "fyke inside tokio", _rust("fyke-in-tokio"), {"FYKE_DRIVER": "ready"}, without=BULK),
    C("epoll", "C, epoll", _c("epoll"), kind="floor"),
    Liburing("uring", "C, io_uring", _c("uring"), kind="floor"),
    Libuv("libuv", "libuv", _c("libuv")),
    Rust("mio", "mio", _rust("mio")),
    Rust("tokio", "tokio", _rust("tokio")),
    Rust("compio", "compio", _rust("compio")),
    Rust("message-io", "message-io", _rust("message-io"), unix=False, without=("source",)),
    Npm("node", "Node", script("node", "node.mjs")),
    Npm("bun", "Bun", script("bun", "bun.mjs")),
    Npm("deno", "Deno", script("deno", "deno.mjs", "run", "--allow-all")),
]
BY_NAME = {peer.name: peer for peer in PEERS}
