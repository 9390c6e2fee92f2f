"""What an operator does."""

from __future__ import annotations

from autoresearch.model import OwnerId, Token


class Admin:
    """Enrolment tokens; shared by all challenges."""

    async def create_token(
        self, *, owner_id: OwnerId, uses: int | None, expires_in_s: float | None
    ) -> tuple[Token, str]:
        """A new token's record and its text, which is shown once and kept only as a SHA-256."""

    async def list_tokens(self) -> tuple[Token, ...]:
        """Every token, oldest first."""

    async def revoke_token(self, token_id: str) -> None:
        """Ends a token for later enrolments; idempotent. Raises NotFound."""
