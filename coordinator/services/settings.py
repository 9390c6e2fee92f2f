"""What an operator may set about the services of every challenge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Durations in seconds; counts are caps per node unless they say otherwise.

    ``view_refresh_s`` is how old this process's picture of active nodes and live leases may be.
    ``index_wait_s`` is how long a call waits for indexes that are behind the store: by an experiment that
    began meanwhile, which mostly takes milliseconds, or because the store was restarted and is read anew.
    ``insights_per_node`` is per day: one for each run of five minutes.
    """

    version: str
    is_enrolment_open: bool = True
    lease_ttl_s: float = 120.0
    heartbeat_interval_s: float = 30.0
    claims_per_node: int = 32
    ideas_per_node: int = 16
    insights_per_node: int = 288
    judge_workers: int = 1
    judge_limit_s: float = 5.0
    view_refresh_s: float = 1.0
    index_wait_s: float = 2.0
    reap_interval_s: float = 5.0
