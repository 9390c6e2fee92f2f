"""Which proof of who calls each method needs. What is not listed is denied."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Requirement(StrEnum):
    """What a caller has to prove, weakest first.

    ``ENROLMENT_KEY``: a signature by the very key that the request wants enrolled. ``NODE``: the
    signature of an enrolled node that is not banned. ``OPERATOR``: the signature of an operator's key.
    An operator may call what a node may where no node is needed to do it.
    """

    PUBLIC = "public"
    ENROLMENT_KEY = "enrolment_key"
    NODE = "node"
    NODE_OR_OPERATOR = "node_or_operator"
    OPERATOR = "operator"


_SWARM = "/autoresearch.v1.SwarmService/"
_BOARD = "/autoresearch.v1.LeaderboardService/"
_IDEAS = "/autoresearch.v1.IdeaService/"
_ADMIN = "/autoresearch.v1.AdminService/"
_HEALTH = "/grpc.health.v1.Health/"

ENROL_METHOD = _SWARM + "Enrol"

POLICY: Mapping[str, Requirement] = {
    _SWARM + "GetServerInfo": Requirement.PUBLIC,
    ENROL_METHOD: Requirement.ENROLMENT_KEY,
    _SWARM + "Connect": Requirement.NODE,
    _SWARM + "Heartbeat": Requirement.NODE,
    _SWARM + "NextTask": Requirement.NODE,
    _SWARM + "Claim": Requirement.NODE,
    _SWARM + "Start": Requirement.NODE,
    _SWARM + "Release": Requirement.NODE,
    _SWARM + "Publish": Requirement.NODE,
    _SWARM + "GetBest": Requirement.NODE,
    _SWARM + "WatchEvents": Requirement.NODE_OR_OPERATOR,
    _BOARD + "GetStatus": Requirement.PUBLIC,
    _BOARD + "ListExperiments": Requirement.PUBLIC,
    _BOARD + "GetExperiment": Requirement.PUBLIC,
    _BOARD + "GetSource": Requirement.PUBLIC,
    _BOARD + "ListNodes": Requirement.PUBLIC,
    _BOARD + "GetProgress": Requirement.PUBLIC,
    _BOARD + "Compare": Requirement.PUBLIC,
    _IDEAS + "Propose": Requirement.NODE,
    _IDEAS + "ListIdeas": Requirement.PUBLIC,
    _ADMIN + "CreateToken": Requirement.OPERATOR,
    _ADMIN + "ListTokens": Requirement.OPERATOR,
    _ADMIN + "RevokeToken": Requirement.OPERATOR,
    _HEALTH + "Check": Requirement.PUBLIC,
    _HEALTH + "Watch": Requirement.PUBLIC,
    # Served only where the operator asked for reflection.
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Requirement.PUBLIC,
}


def requirement_of(method: str) -> Requirement | None:
    """What ``method`` (``/package.Service/Method``) needs; None means that nobody may call it."""
    return POLICY.get(method)
