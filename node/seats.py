"""Which accelerators a node works on: one seat each, with what makes a process see its own alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autoresearch.model import Hardware

from node.hardware import VISIBLE

ALL = "all"


class SeatError(Exception):
    """The accelerators that were asked for are not here, or do not go together; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """The place of one worker: its name within the node, and its part of the environment."""

    name: str
    environ: Mapping[str, str] = field(default_factory=dict)


def choose_seats(gpus: str, workers: int, kind: str, cards: Sequence[str]) -> tuple[Seat, ...]:
    """The seats of a supervised node; none where one process does it all.

    Args:
        gpus: ``all``, a list such as ``0,1``, or empty.
        workers: How many workers share the processor.
        kind: Of the devices that the challenge will be run on.
        cards: What the runtime calls each accelerator here, in order.

    Raises:
        SeatError: They are not here.
    """
    if gpus and kind not in VISIBLE:
        other = "--workers" if kind == "cpu" else "neither --gpus nor --workers"
        raise SeatError(f"this challenge is run on {kind} here, which --gpus does not share out; use {other}")
    if workers > 1 and kind != "cpu":
        raise SeatError(f"--workers shares out a processor, and this challenge is run on {kind}; use --gpus")
    if gpus:
        numbers = range(len(cards)) if gpus == ALL else [int(part) for part in gpus.split(",")]
        absent = [str(number) for number in numbers if number >= len(cards)]
        if absent or not cards:
            raise SeatError(f"there is no GPU {', '.join(absent) or 'here'}; this machine has {len(cards)}")
        return tuple(Seat(name=f"gpu-{n}", environ={VISIBLE[kind]: cards[n]}) for n in numbers)
    return tuple(Seat(name=f"cpu-{number}") for number in range(workers)) if workers > 1 else ()


def common_hardware(found: Mapping[str, Hardware]) -> Hardware:
    """The hardware of every seat, which must be one: a node's scores are compared within one class.

    Raises:
        SeatError: They are of several classes.
    """
    classes: dict[str, list[str]] = {}
    for name, hardware in found.items():
        classes.setdefault(hardware.hardware_class, []).append(name.removeprefix("gpu-"))
    if len(classes) > 1:
        parts = "; ".join(f"--gpus {','.join(names)} ({kind})" for kind, names in classes.items())
        raise SeatError(
            f"these are accelerators of {len(classes)} hardware classes, and a node is of one: start a node "
            f"with a --name of its own for each: {parts}"
        )
    return next(iter(found.values()))
