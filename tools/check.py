"""Run every check and test, and print how long each took.

check.py             all steps, in order; goes on after a failure, ends non-zero if any failed
check.py STEP...     only these

A step that could not be run at all (no browser on this machine) is named, and fails nothing; but
only a run in which all steps ran and passed leaves a record.

The notebooks run in one process, as a reader types it. So that the other cores are not idle
meanwhile, the unit tests run beside them.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "_build" / "test-run.json"
BIN = Path(sys.executable).parent
NOT_RUN = 77  # the exit code of tools/browser.py where there is no browser
SHOWN = ["numpy", "torch", "torchvision", "matplotlib", "scikit-learn", "jupyter-book", "nbval"]

# Each step exactly as a person would type it, from the project's folder.
STEPS = {
    "lint": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
    "notebooks": ["python", "tools/nb.py", "check"],
    # -n auto: one process a core, where two hardware threads of a core count once.
    "unit": ["pytest", "-q", "-n", "auto", "-m", "not browser and not book"],
    "nbval": ["pytest", "--nbval", "chapters/", "-q"],
    "book": ["python", "tools/build_book.py"],
    "links": ["pytest", "-q", "-n", "auto", "-m", "book and not browser", "tests"],
    "browser": [
        *["python", "tools/browser.py"],
        *["pytest", "-q", "-n", "auto", "-m", "browser", "tests"],
    ],
}
BESIDE = {"unit": "nbval"}  # where there are two cores or more


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers() -> int:
    """Test processes beside the notebooks: one core stays free, and no more than -n auto takes."""
    try:
        import psutil
    except ImportError:
        return cores() - 1
    return min(cores() - 1, psutil.cpu_count(logical=False) or cores())


def machine() -> dict[str, object]:
    """What ran: for the machine page. Nothing that names a host or a person."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in SHOWN},
    }


class Step:
    """One step that runs, and in the end its exit code and its seconds."""

    def __init__(self, name: str, *, workers: int | None = None, output: Any = None) -> None:
        path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
        env = {**os.environ, "PATH": path}
        if workers:
            # What -n auto means, unless the user has said it.
            env.setdefault("PYTEST_XDIST_AUTO_NUM_WORKERS", str(workers))
        command = STEPS[name]
        self.name, self.code, self.seconds = name, -1, 0.0
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]], cwd=ROOT, env=env, stdout=output, stderr=output
        )
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self) -> None:
        """Take the time at the end, whoever waits for it."""
        self.code = self.process.wait()
        self.seconds = round(time.perf_counter() - self.started, 1)

    def join(self) -> None:
        """Wait for the end."""
        self.thread.join()


def run(name: str) -> Step:
    """Run one step, its output on the screen."""
    announce(name)
    step = Step(name)
    step.join()
    return step


def run_both(first: str, second: str) -> list[Step]:
    """Run two steps at once, the second on one core; what the second prints comes last."""
    with tempfile.TemporaryFile() as text:
        announce(first, f", beside {second}")
        beside = Step(second, output=text)
        steps = [Step(first, workers=workers()), beside]
        for step in steps:
            step.join()
        announce(second)
        text.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(text.read())  # bytes: whatever encoding either side writes
        sys.stdout.buffer.flush()
    return steps


def announce(name: str, more: str = "") -> None:
    """Headline of a step."""
    print(f"\n== {name}: {' '.join(STEPS[name])}{more}", flush=True)


def main(names: list[str]) -> int:
    """Run the named steps, or all."""
    unknown = [n for n in names if n not in STEPS]
    if unknown:
        print(f"no such step: {', '.join(unknown)}; there are {', '.join(STEPS)}", file=sys.stderr)
        return 2
    start = time.perf_counter()
    todo, done = list(names or STEPS), []
    while todo:
        name = todo.pop(0)
        other = BESIDE.get(name)
        if other in todo and cores() > 1:
            todo.remove(other)
            done += run_both(name, other)
        else:
            done.append(run(name))
    total = round(time.perf_counter() - start, 1)
    seconds = {step.name: step.seconds for step in done}
    words = {step.name: {0: "passed", NOT_RUN: "NOT RUN"}.get(step.code, "FAILED") for step in done}
    failed = [name for name, word in words.items() if word == "FAILED"]
    print("\n== seconds")
    for name, value in seconds.items():
        print(f"{name:<10} {value:8.1f}  {words[name]}")
    print(f"{'all':<10} {total:8.1f}")
    if not names and set(words.values()) == {"passed"}:
        record = {**machine(), "seconds": seconds, "total": total}
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
