"""Leases by this machine's clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from autoresearch.errors import LeaseLost
from autoresearch.model import ClaimId, ExperimentId, HardwareClass, Lease

from node.swarm.solo_store import SoloStore

LEASE_TTL_S = 300.0


class SoloLeases:
    """Grants, renews and finds; every method belongs into its caller's transaction."""

    def __init__(self, store: SoloStore, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def grant(
        self,
        hardware_class: HardwareClass,
        claim_id: ClaimId,
        kind: str,
        fingerprint: str,
        *,
        parent_id: ExperimentId | None = None,
        hypothesis: bytes | None = None,
        subject: str | None = None,
    ) -> Lease:
        """A new lease; ``subject`` is the verification or the idea that it is about."""
        token = self._store.next_number()
        self._store.connection.execute(
            "INSERT INTO claims (claim_id, hardware_class, kind, token, expires_at, fingerprint, parent_id,"
            " hypothesis, subject) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (claim_id, hardware_class, kind, token, 0.0, fingerprint, parent_id, hypothesis, subject),
        )
        return self.renew(claim_id)

    def renew(self, claim_id: ClaimId) -> Lease:
        """The lease for another term. Raises LeaseLost where it is gone."""
        expires_at = self._now() + timedelta(seconds=LEASE_TTL_S)
        self._store.connection.execute(
            "UPDATE claims SET expires_at = ? WHERE claim_id = ?", (expires_at.timestamp(), claim_id)
        )
        row = self._store.claim_row(claim_id)
        if row is None:
            raise LeaseLost(f"the claim {claim_id} is gone; claim again")
        return lease_of(row)

    def held(self, lease: Lease) -> sqlite3.Row:
        """The claim of a hypothesis that this lease still holds. Raises LeaseLost."""
        row = self._store.claim_row(lease.claim_id)
        if (
            row is None
            or row["token"] != lease.fencing_token
            or row["kind"] != "hypothesis"
            or row["expires_at"] <= self._now().timestamp()
        ):
            raise LeaseLost(f"the claim {lease.claim_id} expired or was given back; claim again")
        return row


def lease_of(row: sqlite3.Row) -> Lease:
    """The lease that a claim's row stands for."""
    return Lease(
        claim_id=ClaimId(row["claim_id"]),
        fencing_token=row["token"],
        expires_at=datetime.fromtimestamp(row["expires_at"], UTC),
        ttl_s=LEASE_TTL_S,
    )
