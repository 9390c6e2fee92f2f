"""Who takes part: server info, enrolment, sessions, heartbeats."""

from __future__ import annotations

from collections.abc import Sequence

from autoresearch.model import Beat, ClaimId, Enrolment, Hardware, Node, ServerInfo, Session


class Membership:
    """The services of SwarmService that are about the caller itself."""

    def server_info(self) -> ServerInfo:
        """Who answers here."""

    async def enrol(self, public_key: bytes, *, token: str, name: str, has_consented: bool) -> Enrolment:
        """Binds a key to the node id that follows from it and, by a token, to an owner.

        Idempotent for one key. Without a token, where enrolment is open, the owner is ``open-`` and the
        end of the node id, and has no vote.

        Raises:
            InvalidArgument: the key or the name breaks a rule.
            TokenRefused: the token is wrong, spent, expired or revoked, or one is needed.
            ConsentRequired: the owner has not agreed to the terms.
        """

    async def connect(
        self,
        caller: Node,
        *,
        protocol_min: int,
        protocol_max: int,
        challenge: str,
        hardware: Hardware,
        node_version: str,
    ) -> Session:
        """Opens a session; idempotent. Raises UnknownChallenge, ProtocolMismatch (names both ranges)."""

    async def heartbeat(
        self, caller: Node, *, challenge_id: str, claim_ids: Sequence[ClaimId], activity: str
    ) -> Beat:
        """Renews the caller's leases among ``claim_ids`` and says which are lost."""
