"""`python -m tests.faults`: kill -9 rounds of engines and journal server under load, and a checker that has to agree.

Exit code 0 if nothing that was promised was broken, else 1; the figures are in build/faults.json. On a violation the
history, the journal and all logs stay in build/faults/.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ledger.warmup import warm_up
from tests.releases.code import prepared_code

from .checker import KINDS, Checked
from .cluster import Cluster, Engine
from .drills import DRILLS, drill
from .load import Load
from .rounds import KILLS, Rounds, plan
from .settle import settle, whole_journal

ROUNDS_DEFAULT: Final = 100
SEED_DEFAULT: Final = 1
CLIENT_COUNT: Final = 8
RATE: Final = 300.0
"""Operations a second: the engines that start need the two cores too, and the checker replays every one."""
LEASE_SECONDS_DEFAULT: Final = 3.0
"""The product's default: with it failovers are measured."""
CHECKPOINT_SECONDS: Final = 30
"""So that engines start from snapshots, and the journal is archived and trimmed, while all this happens."""
FAILOVER_COUNT: Final = 7
FLAGS: Final = ("--checkpoint-seconds", str(CHECKPOINT_SECONDS))
FOLDER: Final = Path("build/faults")
RESULT: Final = Path("build/faults.json")
VIOLATIONS_SHOWN: Final = 20


def main(arguments: Sequence[str]) -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS_DEFAULT, help="kill -9 rounds (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=SEED_DEFAULT, help="decides order and details (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    console = Console()
    warm_up(lambda _: None)
    shutil.rmtree(FOLDER, ignore_errors=True)
    RESULT.unlink(missing_ok=True)
    result = Run(options.rounds, options.seed, console).result()
    _add_drills(result, console)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    show(result, console)
    if result["checker"] == "ok":
        shutil.rmtree(FOLDER)
    return 0 if result["checker"] == "ok" else 1


def _add_drills(result: dict[str, Any], console: Console) -> None:
    """Lose disks, restore, and add what came of it."""
    with console.status("drills") as shown:
        for number, kind in enumerate(DRILLS):
            shown.update(f"drill: {kind}")
            found = drill(kind, FOLDER / f"drill-{number}")
            result.setdefault("drills", []).append(found._asdict())
            result["violations"] += [f"{kind}: {problem}" for problem in found.problems]
    if result["violations"]:
        result["checker"] = "violated"


class Run:
    """One run: the rounds, the failovers, the check."""

    def __init__(self, round_count: int, seed: int, console: Console) -> None:
        self._chance = Random(seed)
        self._seed = seed
        self._kinds = ["rolling upgrade", *plan(round_count, self._chance)]
        self._failovers: list[float] = []
        self._broken: list[str] = []
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task("starting", total=len(self._kinds) + FAILOVER_COUNT + 1)

    def result(self) -> dict[str, Any]:
        """Carry it out, and return the figures."""
        started = time.monotonic()
        with self._progress, Cluster(FOLDER, flags=FLAGS, code=prepared_code()) as cluster:
            cluster.standby()
            load = Load(cluster.addresses, client_count=CLIENT_COUNT, rate=RATE, seed=self._seed)
            load.stock_up()
            rounds = Rounds(cluster, load, self._chance)
            try:
                with load.running():
                    self._try(cluster, rounds)
                self._say("checking")
                checked = self._check(cluster, load)
            finally:
                load.history.save(FOLDER / "history.jsonl")
            self._progress.advance(self._task)
            self._broken += rounds.problems
            if self._broken or not checked.verdict.ok:
                _keep_journal(cluster)
            return self._figures(checked, rounds, time.monotonic() - started) | _engine_figures(cluster)

    def _say(self, what: str) -> None:
        self._progress.update(self._task, description=what)

    def _try(self, cluster: Cluster, rounds: Rounds) -> None:
        """Carry out what was planned, until the cluster does not come back; what it did is checked all the same."""
        try:
            self._carry_out(cluster, rounds)
        except (TimeoutError, RuntimeError) as error:
            self._broken.append(f"round {rounds.done.total() + 1}: {error}")

    def _carry_out(self, cluster: Cluster, rounds: Rounds) -> None:
        for kind in self._kinds:
            self._say(kind)
            rounds.run(kind)
            self._progress.advance(self._task)
        for engine in cluster.engines:
            _restart(cluster, engine)
        for _ in range(FAILOVER_COUNT):
            self._say(f"failover, lease {LEASE_SECONDS_DEFAULT:g} s")
            self._failovers.append(rounds.failover())
            self._progress.advance(self._task)

    def _check(self, cluster: Cluster, load: Load) -> Checked:
        """Hold everything together, and let the operator's command have its say."""
        try:
            cluster.standby()
        except TimeoutError as error:
            self._broken.append(str(error))
        checked = settle(load, cluster)
        for engine in cluster.engines:
            command = [sys.executable, "-m", "engine", "verify", "--address", engine.address]
            ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            if ran.returncode:
                self._broken.append(f"onhand verify of {engine.name}: {ran.stdout}{ran.stderr}")
            self._broken += [f"{engine.name}: {line}" for line in engine.complaints()[:VIOLATIONS_SHOWN]]
        return checked

    def _figures(self, checked: Checked, rounds: Rounds, seconds: float) -> dict[str, Any]:
        counts, verdict = checked.verdict.counts, checked.verdict
        broken = [f"{found.kind}: {found.message}" for found in verdict.violations] + self._broken
        return {
            "rounds": rounds.kill_count,
            "rounds_by_kind": {kind: rounds.done[kind] for kind in KILLS},
            "faults_by_kind": {kind: count for kind, count in rounds.done.items() if kind not in KILLS},
            "operations": counts["operations"],
            "acknowledged": counts["acknowledged"],
            "reads": counts["reads"],
            "refused_as_not_done": counts["failed"],
            "repeated_until_answered": counts["repeated_by_doubt"],
            "unknowns": counts["unknowns"],
            "unknowns_settled": counts["unknowns"],
            "unknowns_settled_as_done": counts["unknowns_applied"],
            **{kind: counts[kind] for kind in KINDS},
            "failover": _failover_figures(self._failovers),
            "checker": "violated" if broken else "ok",
            "violations": broken,
            "durability": "fsync",
            "seconds": round(seconds, 1),
            "seed": self._seed,
            "machine": _machine(),
        }


def _engine_figures(cluster: Cluster) -> dict[str, Any]:
    """Return what the engines went through, as their logs say."""
    happened: Counter[str] = sum((engine.happenings() for engine in cluster.engines), Counter())
    return {
        "engine_events": dict(sorted(happened.items())),
        "engine_exit_codes": {str(code): count for code, count in sorted(cluster.exits.items())},
    }


def _restart(cluster: Cluster, engine: Engine) -> None:
    """Let an engine go on with the default lease."""
    cluster.standby()
    engine.terminate()
    engine.lease_seconds = LEASE_SECONDS_DEFAULT
    engine.start()
    cluster.standby()


def _keep_journal(cluster: Cluster) -> None:
    """Write the journal's entries beside the history, for whoever has to find out what happened."""
    with (FOLDER / "journal.bin").open("wb") as file:
        for last_seq, payload in whole_journal(cluster):
            file.write(last_seq.to_bytes(8, "little") + len(payload).to_bytes(4, "little") + payload)


def _failover_figures(seconds: list[float]) -> dict[str, Any]:
    ordered = sorted(seconds) or [0.0]
    return {
        "how": "from kill -9 of the primary to the first durable reply of the standby to a client, under load",
        "lease_seconds": LEASE_SECONDS_DEFAULT,
        "count": len(seconds),
        "seconds_min": round(ordered[0], 3),
        "seconds_median": round(statistics.median(ordered), 3),
        "seconds_p99": round(ordered[-1 - len(ordered) // 100], 3),
        "seconds_max": round(ordered[-1], 3),
        "seconds_all": [round(each, 3) for each in seconds],
    }


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "processor": _processor(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """Return the processor's name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def show(result: dict[str, Any], console: Console) -> None:
    """Print the figures that matter."""
    failover = result["failover"]
    console.print(f"{result['rounds']} kill -9 rounds, {sum(result['faults_by_kind'].values())} other faults")
    console.print(
        f"{result['operations']:,} operations, {result['acknowledged']:,} writes acknowledged, "
        f"{result['unknowns']:,} unknown, all settled"
    )
    console.print(f"lost {result['lost']}, duplicated {result['duplicated']}, oversold {result['oversold']}")
    console.print(
        f"failover with a lease of {failover['lease_seconds']:g} s: median {failover['seconds_median']} s, "
        f"longest {failover['seconds_max']} s"
    )
    for each in result["drills"]:
        console.print(
            f"{each['kind']}: {each['acknowledged'] - each['lost']:,} of {each['acknowledged']:,} writes there, "
            f"{each['lost']} after what was told"
        )
    for line in result["violations"][:VIOLATIONS_SHOWN]:
        console.print(line, markup=False, highlight=False, style="red")
    console.print(f"history checker: {result['checker']}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
