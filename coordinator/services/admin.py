"""What an operator does."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from autoresearch.errors import InvalidArgument, NotFound
from autoresearch.limits import check_handle, check_number
from autoresearch.model import OwnerId, Token, utc_now

from coordinator.storage.base import IdentityStore

TOKEN_BYTES = 24
TOKEN_PREFIX = "art_"  # noqa: S105  (what a token looks like, not one)
USES_LIMIT = 1_000_000
EXPIRY_LIMIT_S = 10 * 365 * 86_400.0
OPEN_OWNER_PREFIX = "open-"
"""Owners of nodes that enrolled without a token; no token's owner may look like one."""


class Admin:
    """Enrolment tokens; shared by all challenges."""

    def __init__(self, identity: IdentityStore, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._identity = identity
        self._clock = clock

    async def create_token(
        self, *, owner_id: OwnerId, uses: int | None, expires_in_s: float | None
    ) -> tuple[Token, str]:
        """A new token's record and its text, which is shown once and kept only as a SHA-256.

        Raises:
            InvalidArgument: the owner, the uses or the expiry breaks a rule.
        """
        check_handle(owner_id, "owner_id")
        if owner_id.startswith(OPEN_OWNER_PREFIX):
            raise InvalidArgument(f"owner_id may not begin with {OPEN_OWNER_PREFIX!r}; choose another")
        if uses is not None:
            check_number(uses, "uses", low=1, high=USES_LIMIT)
        if expires_in_s is not None:
            check_number(expires_in_s, "expires_in_s", low=1.0, high=EXPIRY_LIMIT_S)
        now = self._clock()
        text = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        token = Token(
            token_id="t_" + secrets.token_hex(8),
            owner_id=owner_id,
            uses_left=uses,
            created_at=now,
            expires_at=now + timedelta(seconds=expires_in_s) if expires_in_s is not None else None,
        )
        await self._identity.put_token(token, hash_of_token(text))
        return token, text

    async def list_tokens(self) -> tuple[Token, ...]:
        """Every token, oldest first."""
        return await self._identity.list_tokens()

    async def revoke_token(self, token_id: str) -> None:
        """Ends a token for later enrolments; idempotent. Raises NotFound."""
        check_handle(token_id, "token_id")
        if not await self._identity.revoke_token(token_id):
            raise NotFound(f"there is no token {token_id}; list the tokens to find its id")


def hash_of_token(text: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(text.encode()).hexdigest()
