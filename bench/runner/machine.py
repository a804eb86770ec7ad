"""The machine that produced the figures, and whether it was quiet."""

import os
import platform
import re
from pathlib import Path

# More than one and a half runnable processes besides ours: other programs use the
# processors.
NOISY_LOAD_AVERAGE = 1.5
# The server and the load generator.
OWN_LOAD_AVERAGE = 2


def _first(path: str, pattern: str = r"(.+)") -> str:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return "unknown"
    return found.group(1).strip() if found else "unknown"


def _processor() -> str:
    """The name of the processor, and what distinguishes processors of the same name."""
    name, family, model = (_first("/proc/cpuinfo", rf"{field}\s*: (.+)") for field in ("model name", "cpu family", r"model\b"))
    cache = _first("/sys/devices/system/cpu/cpu0/cache/index2/size")
    return f"{name} (family {family}, model {model}, L2 {cache})"


def describe() -> dict:
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "congestion_control": _first("/proc/sys/net/ipv4/tcp_congestion_control"),
    }


def in_words(machine: dict) -> str:
    return (
        f"{machine['processors']} × {machine['processor']}, {machine['memory_gib']} GiB, "
        f"{machine['system']}, TCP over loopback ({machine['congestion_control']})"
    )


def load_average() -> float:
    return os.getloadavg()[0]
