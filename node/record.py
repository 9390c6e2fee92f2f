"""Turns a training's report into a published result and a page of the notebook.

Publishing goes through the outbox: the result is on this machine's disk before anything is sent, so neither a
lost coordinator nor a killed node loses it. On a full disk the result stays in hand and is tried again.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass
from typing import Protocol

import structlog
from autoresearch.errors import LimitExceeded, ReadOnly, SwarmError, Unavailable
from autoresearch.model import (
    Lease,
    Published,
    Result,
    ResultId,
    Usage,
    new_id,
)

from node.agent.base import AgentContext
from node.assignment import Assignment, NodeFacts, Run
from node.board import Board, ResultLine
from node.lessons import lesson_of
from node.stopping import Stop
from node.swarm.database import StateFileDamaged, StateFileError
from node.swarm.protocol import Publication, Swarm
from node.training.report import TrainingReport
from node.training.scrub import Scrub

RETRY_S = 10.0
FULL_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})

_log = structlog.get_logger(__name__)


class NotebookError(Exception):
    """The notebook cannot be read or written; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One run for the notebook. ``context`` holds the parent where the run is this node's own idea."""

    run: Run
    title: str
    result: Result
    is_kept: bool
    context: AgentContext | None


class Notebook(Protocol):
    """Where the node keeps its own record of what it did."""

    def record(self, page: Page) -> None:
        """Writes one page. Raises NotebookError."""


class Recorder:
    """Publishes results and keeps the notebook."""

    def __init__(
        self,
        *,
        swarm: Swarm,
        notebook: Notebook,
        board: Board,
        facts: NodeFacts,
        stop: Stop,
        scrub: Scrub,
        retry_s: float = RETRY_S,
    ) -> None:
        """``scrub`` takes what says who and where a volunteer is out of an agent's prose."""
        self._swarm = swarm
        self._notebook = notebook
        self._board = board
        self._facts = facts
        self._stop = stop
        self._scrub = scrub
        self._retry_s = retry_s

    async def record(self, assignment: Assignment, run: Run, report: TrainingReport) -> Result:
        """Publishes one run.

        Raises:
            Aborted: The node was told to stop while the disk is full or the swarm refuses for the moment.
            StateFileDamaged: It cannot be kept here.
        """
        result = self._result(run, report, assignment.usage)
        published = await self._publish(self._publication(run, result, assignment.lease))
        score = result.metrics.get(self._facts.challenge.metric_name)
        self._board.show_result(
            ResultLine(
                experiment_id=run.experiment.experiment_id,
                title=assignment.title,
                purpose=run.purpose.value,
                outcome=result.outcome,
                score=score,
                state=published.state if published else None,
                reason=result.reason,
                finished_at=result.finished_at.isoformat(),
            )
        )
        _log.info(
            "result",
            title=assignment.title,
            outcome=result.outcome.value,
            score=score,
            state=published.state.value if published else "kept here",
            reason=result.reason or None,
        )
        best = published.best if published else None
        is_kept = best is not None and best.experiment_id == run.experiment.experiment_id
        page = Page(
            run=run, title=assignment.title, result=result, is_kept=is_kept, context=assignment.context
        )
        await self._note(page)
        return result

    async def share(self, result: Result, lesson: str, *, agent: str) -> None:
        """Shares what an agent learned from a run. A lesson that cannot be kept is told, and is no more."""
        insight = lesson_of(
            result,
            self._scrub(lesson),
            node_id=self._facts.node_id,
            owner_id=self._facts.owner_id,
            agent=agent,
        )
        if insight is None:
            return
        try:
            await self._swarm.share(insight)
        except (SwarmError, OSError) as error:
            _log.warning("lesson not shared", reason=str(error))

    async def _note(self, page: Page) -> None:
        try:
            await asyncio.to_thread(self._notebook.record, page)
        except NotebookError as error:
            _log.error("notebook not written; the result itself is safe", reason=str(error))

    async def _publish(self, publication: Publication) -> Published | None:
        has_complained = False
        while True:
            try:
                return await self._swarm.publish(publication)
            except StateFileDamaged:
                raise
            except (OSError, StateFileError) as error:
                if isinstance(error, OSError) and not is_disk_full(error):
                    raise
                if not has_complained:
                    _log.error(
                        "the result cannot be kept on disk: it is held in memory and tried again",
                        reason=str(error),
                        result_id=publication.result.result_id,
                        retry_every_s=self._retry_s,
                    )
                has_complained = True
            except (Unavailable, ReadOnly, LimitExceeded) as error:
                if not has_complained:
                    _log.warning("result not taken yet; trying again", reason=error.message)
                has_complained = True
            except SwarmError as error:
                _log.error("result refused", result_id=publication.result.result_id, reason=error.message)
                return None
            await self._stop.or_aborted(asyncio.sleep(self._retry_s))

    def _publication(self, run: Run, result: Result, lease: Lease) -> Publication:
        return Publication(result=result, experiment=run.experiment, source=run.source, lease=lease)

    def _result(self, run: Run, report: TrainingReport, usage: Usage | None) -> Result:
        return Result(
            result_id=ResultId(new_id()),
            experiment_id=run.experiment.experiment_id,
            challenge_id=self._facts.challenge.challenge_id,
            node_id=self._facts.node_id,
            owner_id=self._facts.owner_id,
            outcome=report.outcome,
            purpose=run.purpose,
            metrics=report.metrics,
            seed=run.seed,
            hardware=self._facts.hardware,
            code_hash=run.experiment.source_hash,
            harness_version=report.harness_version,
            started_at=report.started_at,
            finished_at=report.finished_at,
            reason=report.reason,
            crash_kind=report.crash_kind,
            log_tail=report.log_tail,
            curve=report.curve,
            attestation=report.attestation,
            verification_id=run.verification_id,
            usage=usage,
        )


def is_disk_full(error: OSError) -> bool:
    """True for the ways in which files say that there is no room."""
    return error.errno in FULL_DISK_ERRNOS
