"""Who calls? What the interceptor asks, and what it gets to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from autoresearch.model import Node, NodeId

from coordinator.auth.policy import Requirement


class Role(StrEnum):
    """What a caller has shown to be."""

    ANYBODY = "anybody"
    KEY_HOLDER = "key_holder"
    NODE = "node"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a call comes from. ``node`` is set for ``Role.NODE`` alone."""

    role: Role
    key_id: NodeId
    node: Node | None = None


ANYBODY = Caller(role=Role.ANYBODY, key_id=NodeId(""))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCall:
    """A call as it came over the wire: the signature covers ``method`` and ``body``, byte for byte."""

    method: str
    metadata: Sequence[tuple[str, str | bytes]]
    body: bytes


class Authenticator(Protocol):
    """Tells who calls."""

    def requirement_of(self, method: str) -> Requirement:
        """What the method needs. Raises PermissionDenied for a method that nobody may call."""

    async def authenticate(self, call: SignedCall, requirement: Requirement) -> Caller:
        """The caller, who meets ``requirement``.

        Raises:
            Unauthenticated: no signature, a wrong one, or one that was seen before.
            ClockSkew: the signed time is outside the window.
            PermissionDenied: the caller is known and may not do this.
        """
