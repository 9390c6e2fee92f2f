"""What the node shows of itself: its state, logged at every step, and a small file that ``status`` reads.

The file is replaced atomically; a full disk costs the picture, never the work.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from autoresearch.model import ExperimentId, ExperimentState, Outcome

from node.state import Link, LinkEvent, NodeState, Work, WorkEvent, advance

STATUS_NAME = "status.json"
LAST_RESULTS = 20

_log = structlog.get_logger(__name__)


class StatusUnreadable(Exception):
    """The picture that a node left cannot be read; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLine:
    """One finished run in a listing."""

    experiment_id: ExperimentId
    title: str
    purpose: str
    outcome: Outcome
    score: float | None
    state: ExperimentState | None
    reason: str
    finished_at: str


class Board:
    """Holds the state and tells of it."""

    def __init__(
        self, *, path: Path, now: Callable[[], datetime], facts: Mapping[str, Any], link: Link = Link.ONLINE
    ) -> None:
        self._path = path
        self._now = now
        self._facts = dict(facts)
        self._state = NodeState(link=link)
        self._current: dict[str, Any] | None = None
        self._prepared = ""
        self._usual_s: float | None = None
        self._results: deque[ResultLine] = deque(maxlen=LAST_RESULTS)
        self._done = 0
        self._can_write = True
        self._write()

    @property
    def state(self) -> NodeState:
        """Where the node stands."""
        return self._state

    def step(self, event: WorkEvent | LinkEvent) -> None:
        """Moves on and says so where it leads elsewhere."""
        before, self._state = self._state, advance(self._state, event)
        if before != self._state:
            _log.info("state", now=self._state.label, was=before.label, on=event.value)
        self._write()

    def learn(self, **facts: Any) -> None:
        """Adds what is known only later: the session's challenge, the owner."""
        self._facts |= facts
        self._write()

    def begin_run(self, experiment_id: ExperimentId, title: str, purpose: str) -> None:
        """A training begins."""
        started_at = self._now().isoformat()
        self._current = {
            "experiment_id": experiment_id,
            "title": title,
            "purpose": purpose,
            "started_at": started_at,
        }
        self.step(WorkEvent.RUN_BEGAN)

    def end_run(self) -> None:
        """It is over; its result is not out yet."""
        if self._current is not None:
            began_at = datetime.fromisoformat(self._current["started_at"])
            self._usual_s = (self._now() - began_at).total_seconds()
        self._current = None
        self.step(WorkEvent.RUN_ENDED)

    def drop_run(self) -> None:
        """The work in hand was given back, in the middle of a run or between two."""
        self._current = None
        self.step(WorkEvent.RUN_DROPPED)

    def show_prepared(self, title: str) -> None:
        """What comes next."""
        self._prepared = title
        self._write()

    def show_result(self, line: ResultLine) -> None:
        """A result is kept, here at least."""
        self._results.append(line)
        self._done += 1
        self._write()

    def leave(self) -> None:
        """The last word of a node that was told to stop, or was told how much to do: all is given back."""
        self._end(WorkEvent.STOP_ASKED, WorkEvent.WORK_GIVEN_BACK)

    def fail(self) -> None:
        """The last word of a node that cannot go on."""
        self._end(WorkEvent.FAILED)

    def _end(self, *events: WorkEvent) -> None:
        if self._state.work is Work.STOPPED:
            return
        self._current, self._prepared = None, ""
        for event in events:
            self.step(event)

    def picture(self) -> dict[str, Any]:
        """All that is shown, as JSON has it; ``usual_s`` is how long the last run took."""
        return {
            **self._facts,
            "pid": os.getpid(),
            "state": self._state.label,
            "current": self._current,
            "prepared": self._prepared,
            "usual_s": self._usual_s,
            "runs_done": self._done,
            "results": [asdict(line) for line in self._results],
            "updated_at": self._now().isoformat(),
        }

    def _write(self) -> None:
        picture = self.picture()
        draft = self._path.with_suffix(".tmp")
        try:
            draft.write_text(json.dumps(picture, indent=1), encoding="utf-8")
            draft.replace(self._path)
            self._can_write = True
        except OSError as error:
            if self._can_write:
                _log.warning("status file not written", path=str(self._path), reason=error.strerror)
            self._can_write = False


def read_status(state_dir: Path) -> dict[str, Any] | None:
    """The picture that a node left in its state dir; None if none ever ran there.

    Raises:
        StatusUnreadable: There is one, and it cannot be read.
    """
    path = state_dir / STATUS_NAME
    try:
        picture = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StatusUnreadable(f"cannot read {path} ({error.strerror}); mend its permissions") from error
    except ValueError as error:
        raise StatusUnreadable(_damaged(path)) from error
    if not isinstance(picture, dict):
        raise StatusUnreadable(_damaged(path))
    return picture


def _damaged(path: Path) -> str:
    return f"{path} is damaged; delete it: a node that runs writes it anew, and it holds nothing else"
