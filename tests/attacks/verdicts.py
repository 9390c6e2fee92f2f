"""Judges attacks and controls: what became of them with their defences, and what without."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from arenas import Mark
from attack import SUCCESS, Attack, Caught, Cheat, Control, Escape
from attack_runs import SECRET_VAL_SEED, SEED, Ran, Runner
from cheats_texts import KNOWN_VAL_SEED

FAT_MB = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of an attack with its defences, and without those that it names."""

    attack: Attack
    defended: Ran
    undefended: Ran | None
    problems: tuple[str, ...]
    told_defended: str
    told_undefended: str


def judge(runner: Runner, attack: Attack) -> Verdict:
    """Run an attack with all defences, and again without those that it names."""
    defended, told_defended, problems = _defended(runner, attack)
    undefended, told_undefended = None, "-"
    if not attack.is_probe and (os.getuid() == 0 or not attack.needs_root):
        undefended, told_undefended, missed = _undefended(runner, attack)
        problems += missed
    return Verdict(
        attack=attack,
        defended=defended,
        undefended=undefended,
        problems=tuple(problems),
        told_defended=told_defended,
        told_undefended=told_undefended,
    )


def judge_control(runner: Runner, control: Control, seed: int = SEED) -> tuple[Ran, list[str]]:
    """An honest run, and what is wrong with how it ended."""
    ran = runner.run(control.source, control.arena, seed=seed, val_seed=SECRET_VAL_SEED + seed)
    problems = _left_by(ran)
    if ran.outcome != "completed" or ran.bpb is None:
        problems.append(f"an honest run was {ran.outcome}: {ran.reason}")
    return ran, problems


def _defended(runner: Runner, attack: Attack) -> tuple[Ran, str, list[str]]:
    if isinstance(attack, Cheat) and attack.forerunner:
        runner.run(attack.forerunner, attack.arena, mark=Mark(attack=attack.name))
    ran = runner.run(attack.source, attack.arena, mark=Mark(attack=attack.name))
    problems = _left_by(ran)
    gain = _gain(runner, attack, ran, SECRET_VAL_SEED)
    if gain is not None:
        problems.append(f"succeeds with its defences on: {gain}")
    if isinstance(attack.expected, Caught):
        wanted = attack.expected
        if ran.outcome != wanted.outcome or not re.search(wanted.reason, ran.reason):
            problems.append(
                f"should be {wanted.outcome} ({wanted.reason}), and was {ran.outcome}: {ran.reason}"
            )
        told = f"{ran.outcome}: {ran.reason}"
    else:
        if ran.outcome != "completed" and not (attack.expected.or_rejected and ran.outcome == "rejected"):
            problems.append(f"should go on to a score, and was {ran.outcome}: {ran.reason}")
        told = "no effect" if ran.outcome == "completed" else f"{ran.outcome}: {ran.reason}"
    return ran, told, problems


def _undefended(runner: Runner, attack: Attack) -> tuple[Ran, str, list[str]]:
    val_seed = KNOWN_VAL_SEED if "secret-seed" in attack.without else SECRET_VAL_SEED
    mark = Mark(attack=attack.name)
    if isinstance(attack, Cheat) and attack.forerunner:
        runner.run(attack.forerunner, attack.arena, mark=mark, without=attack.without)
    ran = runner.run(attack.source, attack.arena, mark=mark, without=attack.without, val_seed=val_seed)
    gain = _gain(runner, attack, ran, val_seed)
    runner.clean_up(mark)
    if gain is None:
        return (
            ran,
            "fails too",
            [f"does not succeed without its defences either: {ran.outcome} {ran.reason} {ran.bpb}"],
        )
    return ran, gain, []


def _gain(runner: Runner, attack: Attack, ran: Ran, val_seed: int) -> str | None:
    """What an attack got, in words, or None."""
    if isinstance(attack, Cheat):
        if ran.outcome != "completed" or ran.bpb is None:
            return None
        honest = runner.control(attack.control, attack.arena, val_seed).bpb
        if honest is None:
            raise AssertionError(f"no honest score: {runner.control(attack.control, attack.arena, val_seed)}")
        return f"{ran.bpb:.3f} for {honest:.3f}" if ran.bpb < honest - attack.gain_min else None
    assert isinstance(attack, Escape)
    if SUCCESS in ran.log_tail:
        return "gets out"
    return _witnessed(runner, attack, ran)


def _witnessed(runner: Runner, attack: Escape, ran: Ran) -> str | None:
    """What can be seen of an escape from outside."""
    mark = Mark(attack=attack.name)
    seen = {
        "": (False, ""),
        "left-file": (bool(runner.files_left(mark)), "leaves a file"),
        "no-report": (ran.report is None, "the harness is gone"),
        "survivor": (bool(ran.survivors), "goes on running"),
        "escape-codes": ("\x1b" in ran.log_tail, "reaches the terminal"),
        "fat-harness": (ran.peak_mb > FAT_MB, f"the harness takes {ran.peak_mb:.0f} MB"),
        "segment": (bool(mark.segments()), "outlives the run"),
    }
    has_happened, words = seen[attack.witness]
    return words if has_happened else None


def _left_by(ran: Ran) -> list[str]:
    problems = [f"left a process: {line}" for line in ran.survivors]
    return problems + [f"left a file: {path}" for path in ran.litter]
