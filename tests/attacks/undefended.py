"""``python -m trainer`` with some of its defences taken out, to show what attacks gain without them.

    python undefended.py splices,levels,landlock run --challenge ... --train ... --out ...

Layers of the sandbox are left out by their names. Modules of ``tests/trainer`` have to be on the path.

The trainer itself has no switch: here its parts are replaced, in this process alone, before its command runs.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import one_process
from fewer_layers import leave_out

from trainer import budget, cli, evaluate, harness, link, logits, processes, sandbox, wire
from trainer import scoring_time as times
from trainer.budget import Phase
from trainer.sandbox.layers import Layer

NEVER_S = 10_000
PLENTY_BYTES = 1 << 30


def separate_process() -> None:
    """Train and score in one process."""
    swap(harness, "run_experiment", one_process.run_experiment)


def splices() -> None:
    """Believe that answers do not depend on later tokens of the row."""
    swap(evaluate, "_judge_splices", lambda *_: 0.0)


def levels() -> None:
    """Do not compare audited rows with others."""
    swap(evaluate, "_judge_levels", lambda *_: None)


def purity() -> None:
    """Believe that answers do not depend on other rows or earlier calls."""
    judge = evaluate._judge

    def lenient(gain, tolerance, source):
        if source == evaluate._LATER_TOKENS:
            judge(gain, tolerance, source)

    swap(evaluate, "_judge", lenient)


def finiteness() -> None:
    """Count positions whose logits are NaN or infinite for nothing."""
    losses = logits.HostBuffer.losses

    def forgiving(self, slot, targets):
        return np.nan_to_num(losses(self, slot, targets), nan=0.0, posinf=0.0, neginf=0.0)

    swap(logits.HostBuffer, "losses", forgiving)


def normalisation() -> None:
    """Take logits for log-probabilities as they are."""
    swap(logits, "nats", lambda given, targets: -given.astype(np.float64)[np.arange(len(targets)), targets])


def private_copy() -> None:
    """Read the shared logits in place: once for the normaliser, once for the target."""

    def losses(self, slot, targets):
        shape = self._shape
        start = slot * shape.slot_floats * 4
        shared = np.frombuffer(self._map, np.float32, shape.slot_floats, start).reshape(-1, shape.vocab_size)
        largest = shared.max(axis=1)
        normaliser = np.log(np.exp(shared - largest[:, None], dtype=np.float64).sum(axis=1)) + largest
        time.sleep(0.05)
        chosen = shared[np.arange(targets.size), targets.reshape(-1)].astype(np.float64)
        return (normaliser - chosen).reshape(targets.shape)

    swap(logits.HostBuffer, "losses", losses)
    swap(logits.HostBuffer, "close", lambda self: os.close(self._fd))


def scoring_time() -> None:
    """Do not ask what went into the calls while scoring."""
    swap(times.ScoringTime, "excess_s", lambda _self: 0.0)


def own_clock() -> None:
    """Keep what is spent on the budget page alone, and leave that open for writing."""
    swap(budget, "_F_SEAL_FUTURE_WRITE", 0)

    def tick(self):
        counted_s, self.counted_s = getattr(self, "counted_s", 0.0), self.clock.used_s
        progress = self.page._progress[0] + (self.counted_s - counted_s) / self.challenge.budget.amount
        self.page.write(progress, Phase.OVER if progress >= 1.0 else Phase.RUNNING)

    swap(harness._Run, "_tick", tick)


def counted_set_up() -> None:
    """Give all CPU seconds of set-up away."""
    swap(budget, "SET_UP_FREE_S", NEVER_S)


def family_clock() -> None:
    """Count the worker's own CPU time, and not that of what it started."""

    def own_s(self):
        return processes._clock_s(self.pid) or 0.0

    swap(processes.ProcessTree, "cpu_s", own_s)
    swap(processes.ProcessTree, "settled_cpu_s", own_s)


def frame_limits() -> None:
    """Take frames of any length from a worker."""
    swap(wire, "WORKER_LIMITS_BYTES", dict.fromkeys(wire.WORKER_LIMITS_BYTES, PLENTY_BYTES))


def source_cap() -> None:
    """Take a train.py of any length."""
    swap(harness, "_check_source", lambda _experiment: None)


def with_limits(**limits: int) -> None:
    """Load challenges with other limits."""
    load = cli.load_challenge

    def loaded(folder):
        challenge = load(folder)
        return replace(challenge, limits=replace(challenge.limits, **limits))

    swap(cli, "load_challenge", loaded)


def memory_cap() -> None:
    """Let a worker use any amount of memory."""
    with_limits(memory_mb=1 << 24)


def scratch_watchdog() -> None:
    """Let a worker fill the disk."""
    swap(link, "folder_exceeds", lambda *_: False)


def clean_log() -> None:
    """Keep what a worker prints as it is."""
    swap(
        link.WorkerLink,
        "log_tail",
        property(lambda self: bytes(self._tail[-8192:]).decode("utf-8", "replace")),
    )


def process_limit() -> None:
    """Let a worker start any number of processes."""
    swap(link, "PROCESS_LIMIT", 1 << 20)


def sealed_size() -> None:
    """Let a worker truncate shared memory."""
    swap(budget, "_seal_size", lambda _fd: None)


def end_of_family() -> None:
    """End the worker alone, not what it started."""
    swap(processes.ProcessTree, "kill", lambda self: processes._signal(self.pid, 9))


SWITCHES: dict[str, Callable[[], None]] = {
    "separate-process": separate_process,
    "splices": splices,
    "levels": levels,
    "purity": purity,
    "finiteness": finiteness,
    "normalisation": normalisation,
    "private-copy": private_copy,
    "scoring-time": scoring_time,
    "own-clock": own_clock,
    "counted-set-up": counted_set_up,
    "family-clock": family_clock,
    "frame-limits": frame_limits,
    "source-cap": source_cap,
    "overrun-cap": functools.partial(with_limits, overrun_ms=NEVER_S * 1000),
    "scoring-cap": functools.partial(with_limits, eval_s=NEVER_S),
    "scoring-cpu-cap": functools.partial(with_limits, eval_cpu_s=0),
    "memory-cap": memory_cap,
    "clean-log": clean_log,
    "scratch-watchdog": scratch_watchdog,
    "process-limit": process_limit,
    "sealed-size": sealed_size,
    "end-of-family": end_of_family,
}
LAYERS = frozenset(Layer)


def swap(owner: object, name: str, part: object) -> None:
    """Replace a part that must be there: a defence that was renamed is not switched off in silence."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, part)


def main() -> None:
    names = [name for name in sys.argv.pop(1).split(",") if name]
    layers = frozenset(Layer(name) for name in names if name not in SWITCHES)
    for name in names:
        if name in SWITCHES:
            SWITCHES[name]()
    if layers:
        plan_sandbox = sandbox.plan_sandbox
        swap(sandbox, "plan_sandbox", lambda policy: leave_out(plan_sandbox(policy), layers))
    cli.main()


if __name__ == "__main__":
    main()
