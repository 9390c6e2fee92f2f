"""Which enrolment tokens may be spent, decided purely; each store does the spending in one transition."""

from __future__ import annotations

from datetime import datetime

from autoresearch.errors import TokenRefused
from autoresearch.model import Token


def check_token(token: Token | None, now: datetime) -> Token:
    """The token, if one more node may enrol with it.

    Raises:
        TokenRefused: it is unknown, revoked, expired or spent.
    """
    if token is None:
        raise TokenRefused("this enrolment token is not known here: ask the operator for one")
    if token.is_revoked:
        raise TokenRefused(f"enrolment token {token.token_id} was revoked: ask the operator for another")
    if token.expires_at is not None and token.expires_at <= now:
        raise TokenRefused(f"enrolment token {token.token_id} has expired: ask the operator for another")
    if token.uses_left is not None and token.uses_left <= 0:
        raise TokenRefused(f"enrolment token {token.token_id} is spent: ask the operator for another")
    return token
