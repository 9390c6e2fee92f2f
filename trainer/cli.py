"""``python -m trainer``: prepare a challenge's tokens, run one ``train.py``, evaluate it over seeds.

Reports go to files or to stdout, words for people to stderr. Exit codes: 0 when a report was produced
(whatever it says), 2 for wrong usage, 1 for everything else.
"""

# ruff: noqa: FBT002, PLR0917 - typer reads options and their defaults from the signatures
# ruff: noqa: PLC0415 - numpy and the rest are imported by the command that needs them, never for --help
from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from autoresearch.challenge import Challenge, ChallengeError, find_challenge, load_challenge

from trainer import processes

if TYPE_CHECKING:
    from trainer.report import Report
    from trainer.sandbox import Plan

EXIT_FAILED, EXIT_USAGE = 1, 2
RUNS_LIMIT = 100
SEED_MAX = (1 << 63) - 1
SEEDS_LIMIT_BYTES = 1 << 10
STDOUT = Path("-")
_READ_LIMIT_BYTES = 1 << 20

app = typer.Typer(
    name="trainer",
    help="Measure one train.py: prepare the tokens, train under a budget, score by bits per byte.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ChallengeOption = Annotated[
    str, typer.Option("--challenge", help="A built-in challenge's name, or a folder with a challenge.toml.")
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir",
        envvar="AUTORESEARCH_CACHE_DIR",
        help="Where prepared tokens are kept.  [default: the user's cache directory]",
    ),
]
TrainOption = Annotated[Path | None, typer.Option("--train", help="The train.py.  [default: the baseline]")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cuda, rocm, mps or cpu.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=SEED_MAX, help="Seed of the training.")]
ValSeedOption = Annotated[
    int | None,
    typer.Option(
        "--val-seed",
        min=0,
        max=SEED_MAX,
        help="Seed of the validation text.  [default: drawn at random]",
    ),
]
SandboxOption = Annotated[
    str,
    typer.Option(
        "--sandbox",
        envvar="AUTORESEARCH_SANDBOX",
        metavar="auto|none",
        help="How train.py is held: auto takes every layer that this machine has and refuses if they are too "
        "few; none says that the code may do what you may do.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
CACHE_UNSET: Path | None = None


@app.command()
def prepare(
    challenge: ChallengeOption = "pocket",
    freeze: Annotated[
        bool,
        typer.Option("--freeze", help="Build an unfrozen challenge and write its hashes into its manifest."),
    ] = False,
    cache_dir: CacheOption = CACHE_UNSET,
) -> None:
    """Build or download a challenge's tokens, hash-checked; does nothing when they are there."""
    with _one_sentence():
        from trainer import corpora
        from trainer import prepare as preparing

        cache = cache_dir or corpora.default_cache_dir()
        if freeze:
            preparing.freeze(challenge, cache, _say)
        else:
            preparing.prepare(load_challenge(find_challenge(challenge)), cache, _say)


@app.command()
def run(
    out: Annotated[Path, typer.Option("--out", help="Where the report is written; - is stdout.")],
    challenge: ChallengeOption = "pocket",
    train: TrainOption = None,
    seed: SeedOption = 0,
    val_seed: ValSeedOption = None,
    device: DeviceOption = "auto",
    sandbox: SandboxOption = "auto",
    cache_dir: CacheOption = CACHE_UNSET,
    as_json: JsonOption = False,
    keep_scratch: Annotated[
        bool, typer.Option("--keep-scratch", help="Keep the run's scratch directory.")
    ] = False,
    holdout: Annotated[
        bool, typer.Option("--holdout", help="Score the held-back text too, as confirmations do.")
    ] = False,
    losses: Annotated[
        Path | None,
        typer.Option("--losses", help="Write the nats of each validation row: float64, little endian."),
    ] = CACHE_UNSET,
    seeds_from_stdin: Annotated[
        bool,
        typer.Option(
            "--seeds-from-stdin",
            help='Read one line {"seed": int, "val_seed": int or null, "holdout": bool} and end when the '
            "caller ends.",
        ),
    ] = False,
) -> None:
    """Train and score one train.py, and write a report whatever happens to it."""
    processes.forbid_inspection()
    signal.signal(signal.SIGTERM, _terminate)
    with _one_sentence():
        from trainer.report import write_report

        if seeds_from_stdin:
            if seed or val_seed is not None or holdout:
                raise typer.BadParameter(
                    "--seeds-from-stdin takes the place of --seed, --val-seed and --holdout"
                )
            seed, val_seed, holdout = _seeds_of_caller()
        measure = _measure(
            challenge,
            train,
            device,
            sandbox,
            cache_dir,
            keep_scratch=keep_scratch,
            holdout=holdout,
            losses_to=losses,
        )
        report = measure(seed, val_seed)
        is_stdout = out == STDOUT
        if not is_stdout:
            write_report(report, out)
        _say(_summary(report, load_challenge(find_challenge(challenge))))
        if not is_stdout:
            printed = ", with the end of what train.py printed" if report.log_tail else ""
            _say(f"{out} has the whole report{printed}")
        if as_json or is_stdout:
            sys.stdout.write(report.to_json() + "\n")


@app.command()
def evaluate(
    challenge: ChallengeOption = "pocket",
    train: TrainOption = None,
    seed: SeedOption = 0,
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=RUNS_LIMIT, help="How many seeds, from --seed on.")
    ] = 1,
    val_seed: ValSeedOption = None,
    device: DeviceOption = "auto",
    sandbox: SandboxOption = "auto",
    cache_dir: CacheOption = CACHE_UNSET,
    as_json: JsonOption = False,
) -> None:
    """Train over one or more seeds and print the scores, their mean and spread, and what the checks found."""
    processes.forbid_inspection()
    with _one_sentence():
        import json

        from trainer.spread import Spread, describe_run

        measure = _measure(challenge, train, device, sandbox, cache_dir)
        reports, contest = [], load_challenge(find_challenge(challenge))
        for number in range(runs):
            reports.append(measure(seed + number, val_seed))
            _say(_summary(reports[-1], contest))
        spread = Spread.of(reports, contest.metric_name)
        if as_json:
            lines = {"runs": [describe_run(report) for report in reports], **spread.to_fields()}
            sys.stdout.write(json.dumps(lines, allow_nan=False, indent=1) + "\n")
        else:
            sys.stdout.write("\n".join(json.dumps(describe_run(report)) for report in reports) + "\n")
            sys.stdout.write(spread.sentence() + "\n")


@app.command()
def sandbox(policy: SandboxOption = "auto", as_json: JsonOption = False) -> None:
    """Say which layers would hold a train.py on this machine; exit code 1 where they are too few."""
    with _one_sentence():
        import json

        from trainer.sandbox import SandboxUnavailable, in_order

        try:
            plan = _plan(policy, say=lambda _line: None)
        except SandboxUnavailable as error:
            if not as_json:
                raise
            told = {"layers": [], "notes": [], "problem": error.problem, "fix": error.fix}
            sys.stdout.write(json.dumps(told, indent=1) + "\n")
            raise typer.Exit(EXIT_FAILED) from error
        layers = list(in_order(plan.layers))
        if as_json:
            sys.stdout.write(json.dumps({"layers": layers, "notes": list(plan.notes)}, indent=1) + "\n")
            return
        sys.stdout.write("".join(f"{layer}\n" for layer in layers))
        for note in plan.notes:
            _say(f"note: {note}")


def main() -> None:
    """Entry point of ``python -m trainer``."""
    app()


def _measure(
    name: str,
    train: Path | None,
    device: str,
    sandbox: str,
    cache_dir: Path | None,
    *,
    keep_scratch: bool = False,
    holdout: bool = False,
    losses_to: Path | None = None,
) -> Callable[[int, int | None], Report]:
    """A function of seed and validation seed that makes one run."""
    from trainer import corpora
    from trainer.devices import DEVICE_KINDS
    from trainer.harness import draw_val_seed, run_experiment
    from trainer.record import Experiment

    if device not in {"auto", *DEVICE_KINDS}:
        raise typer.BadParameter(f"{device!r} is not one of auto, {', '.join(DEVICE_KINDS)}")
    challenge = load_challenge(find_challenge(name))
    source = _read_source(train, challenge)
    plan = _plan(sandbox)

    def measure(seed: int, val_seed: int | None) -> Report:
        experiment = Experiment(
            challenge=challenge,
            source=source,
            seed=seed,
            val_seed=draw_val_seed() if val_seed is None else val_seed,
            device=device,
            cache_dir=cache_dir or corpora.default_cache_dir(),
            plan=plan,
            keep_scratch=keep_scratch,
            holdout=holdout,
            losses_to=losses_to,
        )
        return run_experiment(experiment, _say)

    return measure


def _plan(policy: str, say: Callable[[str], None] | None = None) -> Plan:
    """The layers of every run of this command, told to the user."""
    from trainer.sandbox import POLICIES, plan_sandbox

    chosen = next((one for one in POLICIES if one == policy), None)
    if chosen is None:
        raise typer.BadParameter(f"--sandbox is {policy!r}; give one of {', '.join(POLICIES)}")
    plan = plan_sandbox(chosen)
    for line in (plan.sentence, *plan.notes):
        (say or _say)(line)
    return plan


def _read_source(train: Path | None, challenge: Challenge) -> bytes:
    if train is None:
        return challenge.baseline_source.encode("utf-8")
    with train.open("rb") as file:
        return file.read(_READ_LIMIT_BYTES)


def _seeds_of_caller() -> tuple[int, int | None, bool]:
    """Seeds that stand in no command line, from a program whose end is ours too, and what is to be scored.

    ``parent``, where the line has it, is the caller's process id; it tells a caller that ended before the
    kernel was asked to end us with it.
    """
    import json

    is_attached = processes.die_with_parent()
    line = sys.stdin.buffer.readline(SEEDS_LIMIT_BYTES)
    try:
        fields = json.loads(line)
        seed, val_seed, parent = fields["seed"], fields.get("val_seed"), fields.get("parent")
        holdout = fields.get("holdout", False) is True
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise typer.BadParameter("stdin holds no line of JSON with a seed") from error
    if not _is_seed(seed) or not (val_seed is None or _is_seed(val_seed)):
        raise typer.BadParameter(f"a seed is a whole number from 0 to {SEED_MAX}")
    if not is_attached or (parent is not None and not processes.die_with_parent(parent)):
        raise typer.Exit(EXIT_FAILED)
    return seed, val_seed, holdout


def _is_seed(value: object) -> bool:
    return type(value) is int and 0 <= value <= SEED_MAX


def _summary(report: Report, challenge: Challenge) -> str:
    if report.outcome == "completed":
        names = (challenge.metric_name, challenge.holdout_metric)
        shown = ", ".join(f"{name} {report.metrics[name]:.4f}" for name in names if name in report.metrics)
        return f"completed: {shown} after {report.steps} steps, {report.timings.wall_s:.1f} s in all"
    kind = f" ({report.crash_kind})" if report.crash_kind else ""
    return f"{report.outcome}{kind}: {report.reason}"


def _terminate(number: int, _frame: object) -> NoReturn:
    """Leave through every ``finally``, so that the worker ends and the scratch directory goes."""
    raise SystemExit(128 + number)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn what went wrong on our side into one sentence on stderr and an exit code."""
    from trainer.corpora import CorpusError
    from trainer.sandbox import LaunchError, SandboxUnavailable

    try:
        yield
    except ChallengeError as error:
        _say(f"error: {error}")
        raise typer.Exit(EXIT_USAGE) from error
    except (CorpusError, LaunchError, SandboxUnavailable) as error:
        _say(f"error: {error}")
        raise typer.Exit(EXIT_FAILED) from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _say(f"error: {error.strerror or error}{where}")
        raise typer.Exit(EXIT_FAILED) from error
    except KeyboardInterrupt as error:
        _say("interrupted")
        raise typer.Exit(130) from error
