"""One server, one load, one line of figures."""

import json
import os
import resource
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from . import machine, peers

STARTING_SECONDS = 20
# Loops that have just started still compile, grow and fault pages in.
SETTLING_SECONDS = 0.15


class Failed(Exception):
    pass


def raise_descriptor_limit(wanted: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(wanted, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
        except (ValueError, OSError):
            continue
    return soft


def on_processor(number: int):
    """Runs in the child before it becomes the server or the load generator."""

    def prepare():
        os.setsid()
        if number in os.sched_getaffinity(0):
            os.sched_setaffinity(0, {number})
        try:  # A session of its own competes with all others as one: sched(7), autogroup.
            Path("/proc/self/autogroup").write_text("-6")
        except OSError:
            pass

    return prepare


def _connect(path, port):
    if path:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
    else:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def started(peer, mode: str, unix: bool = False, processor: int = 0, **env):
    """Yields the running server and the load generator's arguments for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.sock" if unix else None
        port = 0 if unix else _free_port()
        where = {"UNIX_PATH": str(path)} if unix else {"PORT": str(port)}
        errors = open(Path(folder) / "errors", "w+")
        process = subprocess.Popen(
            [str(word) for word in peer.command],
            env={**os.environ, **peer.env, **where, "MODE": mode, **env},
            stdout=subprocess.PIPE if "TIMER" in env else subprocess.DEVNULL,
            stderr=errors,
            text=True,
            preexec_fn=on_processor(processor),
        )
        try:
            _wait_until_listening(process, errors, path, port)
            yield process, (["--unix", str(path)] if unix else ["--port", str(port)])
        finally:
            process.kill()
            process.wait()
            errors.close()


def _wait_until_listening(process, errors, path, port):
    deadline = time.monotonic() + STARTING_SECONDS
    while True:
        try:
            return _connect(path, port)
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            errors.seek(0)
            lines = errors.read().strip().splitlines()
            raise Failed(lines[-1][:200] if lines else "did not start")
        time.sleep(0.01)


def _let_others_go_first(process):
    """Makes the flooding threads run only while the measuring thread is waiting."""
    time.sleep(0.1)
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        if int(thread) != process.pid:
            os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))


def load(process, where, words, seconds, warm_up) -> dict:
    command = [str(peers.LOAD), *map(str, words), *where, "--pid", str(process.pid)]
    command += ["--seconds", str(seconds), "--warm-up", str(warm_up)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe, preexec_fn=on_processor(1)) as generator:
        try:
            if "--flood" in words or "--bulk" in words:
                _let_others_go_first(generator)
            printed, errors = generator.communicate(timeout=seconds + warm_up + 120)
        except subprocess.TimeoutExpired as error:
            generator.kill()
            raise Failed("the load generator did not end") from error
    if generator.returncode or not printed.strip():
        raise Failed(errors.strip()[:200] or f"the load generator ended with {generator.returncode}")
    figures = json.loads(printed)
    if figures.get("count") == 0:
        raise Failed("nothing came back")
    return figures


def one(peer, scenario, seconds: float, warm_up: float) -> dict:
    result = {"peer": peer.name, "scenario": scenario.name, "load_average": round(machine.load_average(), 2)}
    try:
        with started(peer, scenario.mode, scenario.unix) as (process, where):
            time.sleep(SETTLING_SECONDS)
            result.update(load(process, where, scenario.load, seconds, warm_up))
    except Failed as error:
        result["failed"] = str(error)
    return result


def can_run(peer) -> None:
    """Raises `Absent` for a server that was built but does not start here."""
    try:
        with started(peer, "echo"):
            pass
    except Failed as error:
        raise peers.Absent(str(error)) from error
