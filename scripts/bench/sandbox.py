"""What the sandbox costs: seconds until a worker is confined, with and without, and what a system call costs.

    python scripts/bench/sandbox.py [--starts 20]

Starts alternate between the two, so that a busy machine slows both alike. The survey of the machine, which
happens once per command, is timed apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from autoresearch.challenge import Limits

from trainer import processes
from trainer.budget import BudgetPage
from trainer.sandbox import Order, Plan, launch, plan_sandbox

WAIT_S = 30.0


def started_s(plan: Plan, page_fd: int) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        order = Order(scratch=Path(scratch), limits=Limits(), device_kinds=("cpu",), page_fd=page_fd)
        launched = launch(plan, order)
        processes.ProcessTree(launched.pid).kill()
        launched.wait(WAIT_S)
        launched.close()
        return launched.started_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--starts", type=int, default=20)
    starts = parser.parse_args().starts
    processes.adopt_orphans()
    began_s = time.perf_counter()
    held, free = plan_sandbox("auto"), plan_sandbox("none")
    print(f"survey      {1000 * (time.perf_counter() - began_s) / 2:6.1f} ms")
    page = BudgetPage()
    times: dict[str, list[float]] = {"auto": [], "none": []}
    for _ in range(starts):
        times["auto"].append(started_s(held, page.fd))
        times["none"].append(started_s(free, page.fd))
    for name, found in times.items():
        low, middle, high = (1000 * value for value in statistics.quantiles(found, n=4))
        print(f"{name:<11} {middle:6.1f} ms (quartiles {low:.1f} to {high:.1f})")
    added = statistics.median(times["auto"]) - statistics.median(times["none"])
    print(f"added       {1000 * added:6.1f} ms")


if __name__ == "__main__":
    main()
