"""Why an enrolment token is refused; each store does the spending in one transition of its own."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from autoresearch.errors import TokenRefused
from autoresearch.model import Node, Token


class Refusal(StrEnum):
    """Why a token admits nobody."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    SPENT = "spent"
    OTHER_OWNER = "other owner"


_SENTENCES = {
    Refusal.UNKNOWN: "this enrolment token is not known here: check that all of it was copied",
    Refusal.REVOKED: "enrolment token {} was revoked: ask the operator for another",
    Refusal.EXPIRED: "enrolment token {} has expired: ask the operator for another",
    Refusal.SPENT: "enrolment token {} is spent: ask the operator for another",
    Refusal.OTHER_OWNER: (
        "this node's key is another owner's already, and enrolment token {} cannot change that: leave the "
        "token out, or join as a new node with an own --state-dir"
    ),
}


def refused(why: Refusal, token_id: str) -> TokenRefused:
    """The error for a refusal."""
    return TokenRefused(_SENTENCES[why].format(token_id))


def check_owner(token: Token | None, node: Node) -> None:
    """Raise TokenRefused where an enrolled node with a vote brings a token that is nobody's or another's."""
    if token is None:
        raise refused(Refusal.UNKNOWN, "")
    if token.owner_id != node.owner_id:
        raise refused(Refusal.OTHER_OWNER, token.token_id)


def check_token(token: Token | None, now: datetime) -> Token:
    """The token, if one more node may enrol with it.

    Raises:
        TokenRefused: it is unknown, revoked, expired or spent.
    """
    if token is None:
        raise refused(Refusal.UNKNOWN, "")
    if token.is_revoked:
        raise refused(Refusal.REVOKED, token.token_id)
    if token.expires_at is not None and token.expires_at <= now:
        raise refused(Refusal.EXPIRED, token.token_id)
    if token.uses_left is not None and token.uses_left <= 0:
        raise refused(Refusal.SPENT, token.token_id)
    return token
