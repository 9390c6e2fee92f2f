"""How well does ``pocket`` tell good from bad? Run it alone on the machine; prints JSON.

It measures, through ``python -m trainer run`` as a node would: the overhead of an experiment (all but the
training budget), the spread of the baseline over seeds, and the effect of changes known to be bad. Their
definitions stand here and are not tuned; the challenge's language and baseline were chosen while watching how
such changes rank, so a fresh run of this file is the evidence, not the choice:

- ``learning_rate_x2`` and ``learning_rate_x0.5``: every learning rate of the baseline, doubled or halved;
- ``one_layer_less``: DEPTH minus one;
- ``no_decay``: learning rates stay at their peak after warm-up (WARMDOWN_FRAC = 0).

Each change is run with the first seeds of the baseline, and with the same validation texts. ``z`` is the mean
effect over its standard error, from the baseline's spread: sd x sqrt(1 / runs + 1 / baseline runs).
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from autoresearch.challenge import Challenge, find_challenge, load_challenge

BASELINE_SEEDS, CHANGE_SEEDS = 8, 3
QUICK_BASELINE_SEEDS, QUICK_CHANGE_SEEDS = 3, 1
VAL_SEED_BASE = 1000
RATE_NAMES = r"\w+_LR"


def scaled(source: str, name: str, factor: float) -> str:
    """Every constant whose name matches, times a factor."""
    changed, count = re.subn(
        rf"(?m)^({name}) = ([0-9.e-]+)", lambda match: f"{match[1]} = {float(match[2]) * factor:g}", source
    )
    if not count:
        raise SystemExit(f"the baseline has no constant {name}")
    return changed


def constant(source: str, name: str) -> float:
    match = re.search(rf"(?m)^{name} = ([0-9.e-]+)", source)
    if match is None:
        raise SystemExit(f"the baseline has no constant {name}")
    return float(match[1])


def known_bad(source: str) -> dict[str, str]:
    """The changes, by name."""
    depth = int(constant(source, "DEPTH"))
    return {
        "learning_rate_x2": scaled(source, RATE_NAMES, 2.0),
        "learning_rate_x0.5": scaled(source, RATE_NAMES, 0.5),
        "one_layer_less": re.sub(r"(?m)^DEPTH = \d+", f"DEPTH = {depth - 1}", source),
        "no_decay": re.sub(r"(?m)^WARMDOWN_FRAC = [0-9.]+", "WARMDOWN_FRAC = 0.0", source),
    }


def run_once(source: str, seed: int, folder: Path) -> dict[str, Any]:
    """One experiment with the wall time that its user waits."""
    train, out = folder / "train.py", folder / "report.json"
    train.write_text(source, encoding="utf-8")
    command = ["-m", "trainer", "run", "--challenge", "pocket", "--train", str(train), "--out", str(out)]
    seeds = ["--seed", str(seed), "--val-seed", str(VAL_SEED_BASE + seed)]
    began = time.monotonic()
    subprocess.run([sys.executable, *command, *seeds], check=True, stderr=subprocess.DEVNULL)
    waited_s = time.monotonic() - began
    report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    if report["outcome"] != "completed":
        raise SystemExit(f"seed {seed}: {report['outcome']}: {report['reason']}\n{report['log_tail']}")
    report["waited_s"] = waited_s
    return report


def measure(sources: dict[str, str], seeds: dict[str, int], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Seed by seed, each code in turn, so that a machine that speeds up or slows down does so for all."""
    reports: dict[str, list[dict[str, Any]]] = {name: [] for name in sources}
    for seed in range(max(seeds.values())):
        for name in (name for name in sources if seed < seeds[name]):
            reports[name].append(run_once(sources[name], seed, folder))
            last = reports[name][-1]
            line = f"{name} seed {seed}: {last['metrics']['val_bpb']:.4f} in {last['steps']} steps"
            print(line, file=sys.stderr, flush=True)
    return reports


def effect(baseline: list[dict[str, Any]], changed: list[dict[str, Any]], sd: float) -> dict[str, Any]:
    """What a change costs, against the same seeds of the baseline."""
    pairs = zip(changed, baseline, strict=False)
    differences = [bad["metrics"]["val_bpb"] - good["metrics"]["val_bpb"] for bad, good in pairs]
    mean = statistics.fmean(differences)
    error = sd * math.sqrt(1 / len(changed) + 1 / len(baseline))
    return {
        "runs": len(changed),
        "mean_effect_bpb": round(mean, 5),
        "effects_bpb": [round(value, 5) for value in differences],
        "effect_in_sd": round(mean / sd, 2),
        "z": round(mean / error, 2),
        "clearly_worse": mean > sd,
    }


def summary(challenge: Challenge, baseline: list[dict[str, Any]], effects: dict[str, Any]) -> dict[str, Any]:
    scores = [report["metrics"]["val_bpb"] for report in baseline]
    overheads = [report["waited_s"] - report["timings"]["train_s"] for report in baseline]
    beyond = [report["waited_s"] - report["budget"]["used_s"] for report in baseline]
    return {
        "challenge_id": challenge.challenge_id,
        "device": baseline[0]["device"],
        "overhead_s": round(statistics.fmean(overheads), 3),
        "overhead_max_s": round(max(overheads), 3),
        "wall_minus_budget_s": round(statistics.fmean(beyond), 3),
        "overhead_limit_s": 6.0,
        "val_bpb": {
            "mean": round(statistics.fmean(scores), 5),
            "sd": round(statistics.stdev(scores), 5),
            "runs": [round(score, 5) for score in scores],
        },
        "steps": [report["steps"] for report in baseline],
        "known_bad": effects,
        "all_clearly_worse": all(entry["clearly_worse"] for entry in effects.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer seeds: a look, not a measurement")
    parser.add_argument("--train", type=Path, help="another baseline than the challenge's")
    options = parser.parse_args()
    subprocess.run([sys.executable, "-m", "trainer", "prepare", "--challenge", "pocket"], check=True)
    challenge = load_challenge(find_challenge("pocket"))
    source = options.train.read_text(encoding="utf-8") if options.train else challenge.baseline_source
    few, many = (
        (QUICK_CHANGE_SEEDS, QUICK_BASELINE_SEEDS) if options.quick else (CHANGE_SEEDS, BASELINE_SEEDS)
    )
    sources = {"baseline": source, **known_bad(source)}
    seeds = {name: many if name == "baseline" else few for name in sources}
    with tempfile.TemporaryDirectory() as place:
        reports = measure(sources, seeds, Path(place))
    baseline = reports.pop("baseline")
    sd = statistics.stdev(report["metrics"]["val_bpb"] for report in baseline)
    effects = {name: effect(baseline, changed, sd) for name, changed in reports.items()}
    print(json.dumps(summary(challenge, baseline, effects), indent=1))


if __name__ == "__main__":
    main()
