"""Read-only mode: a full disk would kill a store that syncs each write, so writes stop before it is full."""

from __future__ import annotations

from autoresearch.errors import ReadOnly

RETRY_S = 30.0

_SWARM = "/autoresearch.v1.SwarmService/"
GROWING_METHODS = frozenset(
    {
        _SWARM + "Enrol",
        _SWARM + "NextTask",
        _SWARM + "Claim",
        _SWARM + "Start",
        _SWARM + "Publish",
        "/autoresearch.v1.IdeaService/Propose",
        "/autoresearch.v1.AdminService/CreateToken",
    }
)
"""Methods that make the store grow. Renewals, releases and revocations go on."""


class WriteGate:
    """Open, or closed with a reason."""

    def __init__(self) -> None:
        self._reason = ""

    @property
    def reason(self) -> str:
        """Why it is closed; empty while it is open."""
        return self._reason

    def set_reason(self, reason: str) -> None:
        """Closes the gate, or opens it with an empty reason."""
        self._reason = reason

    def check(self, method: str) -> None:
        """Raises ReadOnly where the gate is closed to the method."""
        if self._reason and method in GROWING_METHODS:
            raise ReadOnly(
                f"the coordinator takes no writes: {self._reason}; keep the result and come back",
                retry_after_s=RETRY_S,
            )
