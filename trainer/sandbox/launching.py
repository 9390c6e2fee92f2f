"""Starts a worker inside its layers and answers for them: what it reports was in force before the candidate.

The worker is ``trainer.sandbox.entry``. bubblewrap builds its namespaces and loads the filter; the rest it
does to itself, told through a control socket, and the launcher waits for its answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trainer.budget import shared_file
from trainer.deadline import Deadline
from trainer.processes import ProcessTree
from trainer.sandbox import confine
from trainer.sandbox.launched import Launched
from trainer.sandbox.layers import Layer, in_order
from trainer.sandbox.policy import Plan
from trainer.sandbox.setup import Order, Setup

_ANSWER_LIMIT_BYTES = 1 << 12
_OUTPUT_LIMIT_BYTES = 1 << 16
_WRAPPERS_LIMIT = 4
_POLL_S = 0.1


class LaunchError(Exception):
    """The worker did not come up inside its layers; the message says why."""


def launch(plan: Plan, order: Order) -> Launched:
    """Start a worker and return when all its layers are in force.

    Raises:
        LaunchError: it did not come up, or a layer could not be put in force.
        OSError: this machine cannot start processes.
    """
    began_s = time.monotonic()
    layers = plan.layers if order.core is not None else plan.layers - {Layer.PINNED_CORE}
    if order.keeps_scratch and Layer.CAPPED_SCRATCH in layers:
        layers = layers - {Layer.CAPPED_SCRATCH} | {Layer.SCRATCH_DIRECTORY}
    setup = Setup(plan, order, frozenset(layers))
    setup.hand_over_folders()
    with contextlib.ExitStack() as ours:
        channel, theirs = ours.enter_context(_pair())
        control, told = ours.enter_context(_pair())
        read_fd, write_fd = os.pipe()
        try:
            passed = (theirs.fileno(), order.page_fd, told.fileno())
            with _pinned(order.core if Layer.PINNED_CORE in layers else None):
                process = _start(setup, passed, write_fd)
        except OSError:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)
            theirs.close()
            told.close()
        launched = Launched(
            process=process,
            worker_pid=process.pid,
            channel=channel.dup(),
            output_fd=read_fd,
            scratch=setup.scratch,
            layers=in_order(layers),
            started_s=0.0,
        )
        try:
            family = ProcessTree(process.pid)
            deadline = Deadline(family, order.limits.launch_s, patience=order.patience, of_launch=began_s)
            _confine(setup, control, process.pid, deadline)
            launched.worker_pid = _innermost(process.pid)
            if Layer.CAPPED_SCRATCH in layers:
                launched.scratch_fd = _open_scratch(launched)
        except (LaunchError, OSError) as error:
            raise _given_up(launched, error) from error
        launched.started_s = time.monotonic() - began_s
        return launched


def _start(setup: Setup, passed: Sequence[int], output_fd: int) -> subprocess.Popen[bytes]:
    """The worker's process, or bubblewrap with the worker in it."""
    worker = [sys.executable, "-s", "-P", "-m", confine.ENTRY, *map(str, passed)]
    if not setup.program:
        return _spawn(worker, passed, output_fd, setup.environment())
    with contextlib.ExitStack() as stack:
        program = setup.wrapper_filter
        handed = [stack.enter_context(_handed(program))] if program else []
        words = setup.wrapper_arguments(handed[0] if handed else None)
        handed.append(stack.enter_context(_handed(b"\0".join(word.encode() for word in words) + b"\0")))
        command = [setup.program, "--args", str(handed[-1]), "--", *worker]
        outside = {} if Layer.EMPTY_ENVIRONMENT in setup.layers else os.environ
        return _spawn(command, (*passed, *handed), output_fd, outside)


def _confine(setup: Setup, control: socket.socket, pid: int, deadline: Deadline) -> None:
    """Have the worker give up the rest, and wait for its word."""
    control.settimeout(_POLL_S)
    try:
        control.sendall(setup.confinement(pid).to_json())
        control.shutdown(socket.SHUT_WR)
        answer = _answer(control, deadline)
    except OSError as error:
        raise LaunchError("the worker ended before it was confined") from error
    if not answer:
        raise LaunchError("the worker ended before it was confined")
    problem = json.loads(answer).get("error")
    if problem:
        raise LaunchError(str(problem))


def _answer(control: socket.socket, deadline: Deadline) -> bytes:
    while True:
        try:
            return control.recv(_ANSWER_LIMIT_BYTES)
        except TimeoutError as error:
            if deadline.is_over():
                raise LaunchError(
                    f"the worker did not come up in {deadline}; is the machine busy?"
                ) from error


def _spawn(
    command: list[str], fds: Sequence[int], output_fd: int, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output_fd,
        stderr=output_fd,
        pass_fds=tuple(fds),
        start_new_session=True,
    )


@contextlib.contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    """Pin this thread for the length of the block: what it starts meanwhile is born pinned."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@contextlib.contextmanager
def _handed(text: bytes) -> Iterator[int]:
    """A descriptor from which a child reads this."""
    fd = shared_file("autoresearch-arguments", len(text))
    try:
        os.pwrite(fd, text, 0)
        yield fd
    finally:
        os.close(fd)


def _innermost(pid: int) -> int:
    """The worker beneath bubblewrap: the last of a line of only children, as it has none of its own yet."""
    for _ in range(_WRAPPERS_LIMIT):
        try:
            found = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        except OSError:
            return pid
        if len(found) != 1:
            return pid
        pid = int(found[0])
    return pid


def _open_scratch(launched: Launched) -> int:
    inside = f"/proc/{launched.worker_pid}/root{launched.scratch}"
    return os.open(inside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _given_up(launched: Launched, error: Exception) -> LaunchError:
    """End what was started, and tell what it printed."""
    launched.process.kill()
    launched.process.wait()
    os.set_blocking(launched.output_fd, False)
    try:
        said = os.read(launched.output_fd, _OUTPUT_LIMIT_BYTES).decode("utf-8", errors="replace").strip()
    except BlockingIOError:
        said = ""
    launched.close()
    last = said.splitlines()[-1] if said else ""
    return LaunchError(f"the sandbox could not be set up: {error}" + (f" ({last[:300]})" if last else ""))
