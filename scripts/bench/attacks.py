"""Prints the attack table: what each attack tries, and what becomes of it with and without its defence.

    python scripts/bench/attacks.py [NAME...] [--json] [--workers N] [--controls N]

Each line is two runs of ``python -m trainer run`` on a tiny challenge. ``--controls N`` makes N honest runs
instead, all kinds in turn with another seed each, and counts those that are rejected.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "attacks"), str(ROOT / "tests" / "trainer")]

from arenas import prepared_grounds  # noqa: E402
from attack import Attack, Cheat  # noqa: E402
from attack_runs import Runner  # noqa: E402
from suite import ATTACKS, HONEST  # noqa: E402
from verdicts import Verdict, judge, judge_control  # noqa: E402

TELL_LIMIT = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of names of attacks, or of controls")
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--controls", type=int, default=0, help="make so many honest runs instead")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first of them")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="attacks-") as root:
        Path(root).chmod(0o755)
        with prepared_grounds(Path(root)) as grounds:
            runner = Runner(grounds)
            is_clean = _controls(runner, given) if given.controls else _attacks(runner, given)
    sys.exit(0 if is_clean else 1)


def _attacks(runner: Runner, given: argparse.Namespace) -> bool:
    chosen = [attack for name, attack in ATTACKS.items() if _is_wanted(name, given.names)]
    began_s = time.monotonic()
    with ThreadPoolExecutor(given.workers) as pool:
        verdicts = list(pool.map(lambda attack: _judge(runner, attack), chosen))
    left = runner.left_behind()
    left += [line for verdict in verdicts for line in (*verdict.defended.survivors, *verdict.defended.litter)]
    if given.as_json:
        sys.stdout.write(json.dumps([_fields(verdict) for verdict in verdicts], indent=1) + "\n")
        return not left and not any(verdict.problems for verdict in verdicts)
    for kind, title in ((True, "Attacks on the score"), (False, "Attacks on the machine")):
        print(f"\n## {title}\n\n| Attack | Tries | Defence | With it | Without it |\n|---|---|---|---|---|")
        for verdict in verdicts:
            if isinstance(verdict.attack, Cheat) == kind:
                print(_line(verdict))
    counted = [verdict for verdict in verdicts if not verdict.attack.is_probe]
    bad = [verdict for verdict in verdicts if verdict.problems]
    cheats = sum(isinstance(verdict.attack, Cheat) for verdict in counted)
    print(
        f"\n{cheats} cheats and {len(counted) - cheats} escapes work without their defence, and "
        f"{len(verdicts) - len(counted)} probes have nothing to gain; {len(verdicts) - len(bad)} of "
        f"{len(verdicts)} are caught or without effect. Left behind: {', '.join(left) or 'nothing'}. "
        f"{time.monotonic() - began_s:.0f} s."
    )
    for verdict in bad:
        print(f"{verdict.attack.name}: {'; '.join(verdict.problems)}")
    return not bad and not left


def _judge(runner: Runner, attack: Attack) -> Verdict:
    verdict = judge(runner, attack)
    said = "; ".join(verdict.problems) or "as it should"
    sys.stderr.write(f"{attack.name}: {said}\n")
    return verdict


def _controls(runner: Runner, given: argparse.Namespace) -> bool:
    kinds = [control for name, control in HONEST.items() if _is_wanted(name, given.names)]
    turns = [(kinds[turn % len(kinds)], given.seed + turn) for turn in range(given.controls)]
    with ThreadPoolExecutor(given.workers) as pool:
        ended = list(pool.map(lambda turn: judge_control(runner, *turn), turns))
    bad = [
        (control.name, seed, told) for (control, seed), (_, told) in zip(turns, ended, strict=True) if told
    ]
    if given.as_json:
        sys.stdout.write(json.dumps({"runs": len(turns), "rejected": bad}, indent=1) + "\n")
    else:
        print(f"{len(bad)} of {len(turns)} honest runs of {len(kinds)} kinds were not scored")
        for name, seed, told in bad:
            print(f"{name}, seed {seed}: {'; '.join(told)}")
    return not bad


def _is_wanted(name: str, parts: list[str]) -> bool:
    return not parts or any(part in name for part in parts)


def _line(verdict: Verdict) -> str:
    attack = verdict.attack
    mark = "**" if verdict.problems else ""
    told = verdict.told_defended[:TELL_LIMIT].replace("\n", " ").replace("|", "/")
    without = f"{verdict.told_undefended} (no {', '.join(attack.without)})" if attack.without else "-"
    return f"| {mark}{attack.name}{mark} | {attack.tries} | {attack.defence} | {told} | {without} |"


def _fields(verdict: Verdict) -> dict[str, object]:
    attack: Attack = verdict.attack
    return {
        "name": attack.name,
        "kind": "cheat" if isinstance(attack, Cheat) else "escape",
        "tries": attack.tries,
        "defence": attack.defence,
        "counts": not attack.is_probe,
        "defended": verdict.told_defended,
        "undefended": verdict.told_undefended,
        "without": list(attack.without),
        "problems": list(verdict.problems),
    }


if __name__ == "__main__":
    main()
