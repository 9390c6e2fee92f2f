"""What sandbox and audits cost a ``pocket`` experiment, and whether they change its score; prints JSON.

    python scripts/bench/isolation.py [--runs 4] [--starts 20]

- ``experiment``: wall seconds of ``python -m trainer run`` on the baseline, held (every layer, all audits)
  and bare (no sandbox, the fewest audits that a manifest may ask for), in turn with the same seeds.
- ``scores``: the same seeds on a copy of the challenge whose budget is a number of steps. The score and every
  loss that it is made of must be the same with and without a sandbox.
- ``start``: seconds until a worker is confined, with and without.

Both sides alternate, so that a busy machine slows them alike.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from autoresearch.challenge import Limits, find_challenge, load_challenge

from trainer import processes
from trainer.budget import BudgetPage
from trainer.sandbox import Order, Plan, launch, plan_sandbox

WAIT_S = 30.0
STEPS = 60
SHARE_LIMIT = 0.15
FEWEST_AUDITS = (("rows", 1), ("repeat_rows", 1))


def with_value(manifest: str, table: str, name: str, value: object) -> str:
    """The manifest with one line of one table replaced."""
    pattern = rf"(?ms)(^\[{re.escape(table)}\]\n(?:(?!^\[).)*?^{name} = )[^\n]*"
    replaced, count = re.subn(pattern, rf"\g<1>{value}", manifest)
    if not count:
        raise SystemExit(f"the manifest has no [{table}] {name}")
    return replaced


def stepwise(manifest: str) -> str:
    """The manifest with a budget of steps."""
    return re.sub(
        r"(?ms)^\[identity\.budget\]\n.*?\n\n",
        f'[identity.budget]\nkind = "steps"\nsteps = {STEPS}\n\n',
        manifest,
    )


def folder_of(root: Path, name: str, manifest: str, source: str) -> Path:
    """A challenge folder of another manifest."""
    folder = root / name
    folder.mkdir()
    (folder / "challenge.toml").write_text(manifest, encoding="utf-8")
    (folder / "train.py").write_text(source, encoding="utf-8")
    (folder / "program.md").write_text("A copy for measurements.\n", encoding="utf-8")
    return folder


def run_once(challenge: Path, seed: int, sandbox: str, place: Path) -> dict[str, Any]:
    """One experiment of the baseline, with the seconds that its user waits."""
    out, losses = place / "report.json", place / "losses.bin"
    command = [
        "run",
        "--challenge",
        str(challenge),
        "--train",
        str(challenge / "train.py"),
        "--out",
        str(out),
    ]
    told = [
        "--seed",
        str(seed),
        "--val-seed",
        str(1000 + seed),
        "--sandbox",
        sandbox,
        "--losses",
        str(losses),
    ]
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-m", "trainer", *command, *told], check=True, stderr=subprocess.DEVNULL)
    waited_s = time.monotonic() - began_s
    report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    if report["outcome"] != "completed":
        raise SystemExit(f"seed {seed}, sandbox {sandbox}: {report['outcome']}: {report['reason']}")
    return {**report, "waited_s": waited_s, "losses": losses.read_bytes()}


def experiments(held: Path, bare: Path, runs: int, place: Path) -> dict[str, Any]:
    """Wall seconds of both sides, in turn."""
    waited: dict[str, list[float]] = {"held": [], "bare": []}
    for seed in range(runs):
        waited["held"].append(run_once(held, seed, "auto", place)["waited_s"])
        waited["bare"].append(run_once(bare, seed, "none", place)["waited_s"])
    means = {name: statistics.fmean(found) for name, found in waited.items()}
    share = means["held"] / means["bare"] - 1.0
    return {
        "wall_s": {name: [round(value, 2) for value in found] for name, found in waited.items()},
        "share_of_wall_time": round(share, 4),
        "share_limit": SHARE_LIMIT,
        "is_met": share <= SHARE_LIMIT,
    }


def scores(challenge: Path, runs: int, place: Path) -> dict[str, Any]:
    """Whether the sandbox changes a score, or any loss that it is made of."""
    pairs = [
        [run_once(challenge, seed, sandbox, place) for sandbox in ("auto", "none")] for seed in range(runs)
    ]
    return {
        "steps": STEPS,
        "val_bpb": [[one["metrics"]["val_bpb"] for one in pair] for pair in pairs],
        "are_identical": all(
            held["metrics"]["val_bpb"] == bare["metrics"]["val_bpb"] for held, bare in pairs
        ),
        "losses_are_identical": all(held["losses"] == bare["losses"] for held, bare in pairs),
    }


def started_s(plan: Plan, page_fd: int) -> float:
    """Seconds until a worker of this plan is confined."""
    with tempfile.TemporaryDirectory() as scratch:
        order = Order(scratch=Path(scratch), limits=Limits(), device_kinds=("cpu",), page_fd=page_fd)
        launched = launch(plan, order)
        processes.ProcessTree(launched.pid).kill()
        launched.wait(WAIT_S)
        launched.close()
        return launched.started_s


def starts(count: int) -> dict[str, Any]:
    """Median seconds of starting a worker, both ways in turn."""
    processes.adopt_orphans()
    page, plans = BudgetPage(), {name: plan_sandbox(name) for name in ("auto", "none")}
    times: dict[str, list[float]] = {"auto": [], "none": []}
    for _ in range(count):
        for name, plan in plans.items():
            times[name].append(started_s(plan, page.fd))
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {
        "layers": sorted(layer.value for layer in plans["auto"].layers),
        "held_s": round(medians["auto"], 4),
        "bare_s": round(medians["none"], 4),
        "added_s": round(medians["auto"] - medians["none"], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=4, help="experiments on each side")
    parser.add_argument("--starts", type=int, default=20, help="starts of a worker on each side")
    options = parser.parse_args()
    subprocess.run([sys.executable, "-m", "trainer", "prepare", "--challenge", "pocket"], check=True)
    pocket = find_challenge("pocket")
    challenge = load_challenge(pocket)
    manifest = challenge.manifest_toml
    unaudited = manifest
    for name, value in FEWEST_AUDITS:
        unaudited = with_value(unaudited, "policy.audit", name, value)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        bare = folder_of(root, "bare", unaudited, challenge.baseline_source)
        counted = folder_of(root, "counted", stepwise(manifest), challenge.baseline_source)
        found = {
            "benchmark": "isolation",
            "experiment": experiments(pocket, bare, options.runs, root),
            "scores": scores(counted, 2, root),
            "start": starts(options.starts),
        }
    print(json.dumps(found, indent=1))
    sys.exit(0 if found["scores"]["are_identical"] and found["scores"]["losses_are_identical"] else 1)


if __name__ == "__main__":
    main()
