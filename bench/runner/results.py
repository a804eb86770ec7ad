"""The results of each round: medians, and the range of the rounds."""

import json
import statistics
from pathlib import Path

from . import machine
from .scenarios import SCENARIOS, custom, idle

FLOOR = ("epoll", "uring")


class Results:
    """`data` is the content of `results.json`; the rest is derived from it."""

    def __init__(self, data: dict):
        self.data = data

    @classmethod
    def read(cls, folder: Path) -> "Results":
        return cls(json.loads((folder / "results.json").read_text()))

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        averages = [run["load_average"] for run in self.data["runs"]]
        self.data["load_average"] = {"lowest": min(averages, default=0), "highest": max(averages, default=0)}
        others = max(averages, default=0) - machine.OWN_LOAD_AVERAGE
        self.data["noisy"] = max(self.data["load_average_before"], others) > machine.NOISY_LOAD_AVERAGE
        # A line for each run, so that a diff is readable and the file is half as large.
        runs = ",\n  ".join(json.dumps(run) for run in self.data["runs"])
        document = json.dumps({**self.data, "runs": []}, indent=1, ensure_ascii=False)
        (folder / "results.json").write_text(document.replace('"runs": []', f'"runs": [\n  {runs}\n ]') + "\n")

    @property
    def noisy(self) -> bool:
        return self.data["noisy"]

    @property
    def peers(self) -> dict:
        return {name: peer for name, peer in self.data["peers"].items() if "absent" not in peer}

    @property
    def absent(self) -> dict:
        return {name: peer for name, peer in self.data["peers"].items() if "absent" in peer}

    def title(self, name: str) -> str:
        return self.data["peers"][name]["title"]

    def scenarios(self) -> list:
        names = dict.fromkeys(run["scenario"] for run in self.data["runs"])
        known = {scenario.name: scenario for scenario in SCENARIOS}
        texts = self.data.get("custom", [])
        known.update({custom(text).name: custom(text) for text in texts})
        return [known[name] for name in names if name in known]

    def idle(self):
        return idle(self.data["idle_connections"])

    def runs(self, peer: str, scenario: str) -> list:
        return [run for run in self.data["runs"] if run["peer"] == peer and run["scenario"] == scenario]

    def values(self, peer: str, scenario: str, field: str) -> list:
        """One of each round, the lowest first."""
        return sorted(run[field] for run in self.runs(peer, scenario) if field in run)

    def median(self, peer: str, scenario: str, field: str) -> float | None:
        values = self.values(peer, scenario, field)
        return statistics.median(values) if values else None

    def spread(self, peer: str, scenario: str, field: str) -> tuple | None:
        """The lowest and the highest."""
        values = self.values(peer, scenario, field)
        return (values[0], values[-1]) if values else None

    def floor(self, scenario) -> float | None:
        """The median cost of the better of the two C servers."""
        costs = [self.median(name, scenario.name, scenario.cost_field) for name in FLOOR]
        return min((cost for cost in costs if cost), default=None)

    def failures(self) -> list:
        return [run for run in self.data["runs"] if "failed" in run]
