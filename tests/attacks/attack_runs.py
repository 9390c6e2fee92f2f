"""Runs candidates as ``python -m trainer run``, with and without defences, and sees what they leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arenas import Grounds, Mark
from controls import CONTROLS

HERE = Path(__file__).parent
SEED = 1
SECRET_VAL_SEED = 8_213_401
RUN_LIMIT_S = 900
NO_MARK = Mark(attack="")
SHARED_PLACES = ("/tmp", "/dev/shm", "/var/tmp", "/run", str(Path.home()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one run left: its report (None where there is none), and what it should not have left."""

    report: dict[str, Any] | None
    stderr: str
    peak_mb: float
    survivors: tuple[str, ...] = ()
    litter: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        return self.report["outcome"] if self.report else "no report"

    @property
    def reason(self) -> str:
        return self.report["reason"] if self.report else self.stderr[-300:]

    @property
    def bpb(self) -> float | None:
        return self.report["metrics"].get("val_bpb") if self.report else None

    @property
    def log_tail(self) -> str:
        return self.report["log_tail"] if self.report else ""


@dataclass(slots=True)
class Runner:
    """Runs sources on prepared grounds; may be used by several threads."""

    grounds: Grounds
    _marks: set[Mark] = field(default_factory=set)
    _controls: dict[tuple[str, str, int], Ran] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self,
        source: str,
        arena: str,
        *,
        mark: Mark = NO_MARK,
        without: tuple[str, ...] = (),
        seed: int = SEED,
        val_seed: int = SECRET_VAL_SEED,
    ) -> Ran:
        """One run, in a process tree of its own; ``mark`` is what it may leave behind."""
        self._marks.add(mark)
        folder = Path(tempfile.mkdtemp(dir=self.grounds.root))
        temporary = folder / "tmp"
        temporary.mkdir()
        (folder / "train.py").write_bytes(self.grounds.fill_in(source, mark))
        out = folder / "report.json"
        switches = [name for name in without if name not in {"secret-seed", "seed-on-stdin", "sandbox"}]
        command = ["-m", "trainer"]
        if switches:
            command = [str(HERE / "undefended.py"), ",".join(switches)]
        told = ["--seeds-from-stdin"]
        if "seed-on-stdin" in without:
            told = ["--seed", str(seed), "--val-seed", str(val_seed)]
        if "sandbox" in without:
            told += ["--sandbox", "none"]
        challenge, train = str(self.grounds.folders[arena]), str(folder / "train.py")
        arguments = ["run", "--challenge", challenge, "--train", train, "--out", str(out), *told]
        told_fd, tell_fd = os.pipe()
        try:
            done = subprocess.run(
                [
                    sys.executable,
                    str(HERE / "supervised.py"),
                    str(tell_fd),
                    sys.executable,
                    *command,
                    *arguments,
                ],
                input=json.dumps({"seed": seed, "val_seed": val_seed}) + "\n",
                capture_output=True,
                text=True,
                check=False,
                env=self._environment(temporary),
                pass_fds=(tell_fd,),
                timeout=RUN_LIMIT_S,
            )
        finally:
            os.close(tell_fd)
            with os.fdopen(told_fd) as pipe:
                seen = json.loads(pipe.read() or "{}")
        return Ran(
            report=json.loads(out.read_text()) if out.exists() else None,
            stderr=done.stderr,
            peak_mb=seen.get("peak_mb", 0.0),
            survivors=tuple(seen.get("survivors", ())),
            litter=tuple(str(path) for path in temporary.iterdir()),
        )

    def control(self, name: str, arena: str, val_seed: int) -> Ran:
        """The honest run that an attack is compared with, made once."""
        with self._lock:
            key = (name, arena, val_seed)
            if key not in self._controls:
                source = next(control.source for control in CONTROLS if control.name == name)
                self._controls[key] = self.run(source, arena, val_seed=val_seed)
            return self._controls[key]

    def files_left(self, mark: Mark) -> list[Path]:
        """Files of one attack that outlived their run."""
        places = [Path(place) for place in SHARED_PLACES]
        return mark.files_in(*places, self.grounds.cache, self.grounds.home)

    def left_behind(self) -> list[str]:
        """What is left of any attack."""
        files = [str(path) for mark in self._marks for path in self.files_left(mark)]
        return files + [f"System V segment {one}" for mark in self._marks for one in mark.segments()]

    def clean_up(self, mark: Mark) -> None:
        """Remove what an attack left when its defence was off."""
        for path in self.files_left(mark):
            path.unlink(missing_ok=True)
        for identifier in mark.segments():
            subprocess.run(["ipcrm", "-m", identifier], check=False)

    def _environment(self, temporary: Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTORESEARCH_")}
        return kept | {
            "AUTORESEARCH_CACHE_DIR": str(self.grounds.cache),
            "HOME": str(self.grounds.home),
            "TMPDIR": str(temporary),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "SECRET_OF_THE_NODE": "do not tell",
        }
