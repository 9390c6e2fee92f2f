"""Stands in for ``python -m trainer run``: a real process that obeys comments in the train.py it is given.

``# fake: score 1.5`` completes; ``crash``, ``garbage``, ``nothing``, ``hang``, ``hang-forever``, ``flood``,
``full``, ``other-seed``, ``nan``, ``huge`` misbehave; ``forge`` reports well and is then killed;
``wait FILE`` completes once FILE exists; ``env FILE`` writes its environment there.
"""

import ctypes
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "protos"))

from autoresearch.attestation import Attestation

DIGEST = "sha256:" + "ab" * 32


def main():
    if sys.argv[1] == "prepare":
        return
    if sys.argv[1] == "sandbox":
        sys.stdout.write(json.dumps({"layers": ["own-session"], "notes": []}))
        return
    words = [word for word in sys.argv[2:] if word != "--seeds-from-stdin"]
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert (options["--out"], len(words) + 3) == ("-", len(sys.argv))
    told = json.loads(sys.stdin.readline())
    die_with(told["parent"])
    raw = Path(options["--train"]).read_bytes()
    source = raw.decode()
    match = re.search(r"^# fake: (\S+) ?(\S*)", source, re.MULTILINE)
    mode, value = match.groups() if match else ("score", "")
    started_at = datetime.now(UTC).isoformat()
    marks = Path(os.environ.get("HOME", "/nowhere"), "tmp")
    if marks.is_dir():
        (marks / f"began-{told['seed']}-{os.getpid()}").write_text(mode)
    told.setdefault("holdout", False)
    code_hash = "sha256:" + hashlib.sha256(raw).hexdigest()
    report = {
        "outcome": "completed",
        "reason": "",
        "crash_kind": None,
        "metrics": {"val_bpb": score(source, value)},
        "seed": told["seed"],
        "val_seed": told["val_seed"],
        "code_hash": code_hash,
        "harness_version": "1",
        "timings": {"train_s": 0.1, "wall_s": 0.2},
        "steps": 3,
        "tokens": 300,
        "peak_memory_mb": 12.5,
        "curve": [[0.0, 3.0], [1.0, 2.0]],
        "log_tail": f"trained in {Path.cwd()}\n",
        "attestation": attestation(options, told, code_hash).to_fields(),
        "started_at": started_at,
        "finished_at": datetime.now(UTC).isoformat(),
    }
    if told["holdout"]:
        report["metrics"]["holdout_bpb"] = report["metrics"]["val_bpb"] + 0.01
    misbehave(mode, value, report)
    sys.stdout.write(json.dumps(report))
    sys.stdout.flush()
    if mode == "forge":
        os.kill(os.getpid(), signal.SIGKILL)


def attestation(options, told, code_hash):
    manifest = Path(options["--challenge"], "challenge.toml").read_bytes()
    return Attestation(
        manifest_hash="sha256:" + hashlib.sha256(manifest).hexdigest(),
        code_hash=code_hash,
        seed=told["seed"],
        val_seed=told["val_seed"],
        harness_version="1",
        rows_digest=DIGEST,
        losses_digest=DIGEST,
        sandbox=("own-session",),
        timings_s={"train_s": 0.1},
    )


def die_with(parent):
    """Ends this process with its caller, also where the caller is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the caller is gone")


def score(source, value):
    if value:
        try:
            return float(value)
        except ValueError:
            return 2.0
    rate = re.search(r"MATRIX_LR = ([\d.e-]+)", source)
    return 2.0 + abs(float(rate.group(1)) - 0.08) if rate else 2.0


def misbehave(mode, value, report):  # noqa: C901, PLR0912 - one table of misdeeds
    match mode:
        case "crash":
            report |= {"outcome": "crashed", "crash_kind": "exception", "reason": "boom", "metrics": {}}
        case "garbage":
            sys.stdout.write("{not json")
            sys.exit(0)
        case "nothing":
            sys.stderr.write("oh \x1b[31mno\x1b[0m \x00\u202e\n")
            sys.exit(3)
        case "hang" | "hang-forever":
            if mode == "hang-forever":
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
            )
            Path(value).write_text(f"{os.getpid()} {child.pid}")
            time.sleep(600)
        case "flood":
            for _ in range(200):
                sys.stderr.write("x" * 100_000)
            sys.exit(4)
        case "full":
            if not Path(value).exists():
                sys.stderr.write("error: No space left on device\n")
                Path(value).touch()
                sys.exit(1)
        case "other-seed":
            report["seed"] += 1
        case "nan":
            report["metrics"] = {"val_bpb": float("nan")}
        case "huge":
            report["log_tail"] = "ä" * 2_000_000
        case "env":
            Path(value).write_text(json.dumps(dict(os.environ)))
        case "wait":
            while not Path(value).exists():
                time.sleep(0.01)


main()
