"""Which proof of who calls each method needs. What is not listed is denied."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from autoresearch.calls import ADMIN_SERVICE, IDEA_SERVICE, LEADERBOARD_SERVICE, SWARM_SERVICE


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


_HEALTH = "/grpc.health.v1.Health/"

ENROL_METHOD = SWARM_SERVICE + "Enrol"

POLICY: Mapping[str, Requirement] = {
    SWARM_SERVICE + "GetServerInfo": Requirement.PUBLIC,
    ENROL_METHOD: Requirement.ENROLMENT_KEY,
    SWARM_SERVICE + "Connect": Requirement.NODE,
    SWARM_SERVICE + "Heartbeat": Requirement.NODE,
    SWARM_SERVICE + "NextTask": Requirement.NODE,
    SWARM_SERVICE + "Claim": Requirement.NODE,
    SWARM_SERVICE + "Start": Requirement.NODE,
    SWARM_SERVICE + "Release": Requirement.NODE,
    SWARM_SERVICE + "Publish": Requirement.NODE,
    SWARM_SERVICE + "GetBest": Requirement.NODE,
    SWARM_SERVICE + "WatchEvents": Requirement.NODE_OR_OPERATOR,
    LEADERBOARD_SERVICE + "GetStatus": Requirement.PUBLIC,
    LEADERBOARD_SERVICE + "ListExperiments": Requirement.PUBLIC,
    LEADERBOARD_SERVICE + "GetExperiment": Requirement.PUBLIC,
    LEADERBOARD_SERVICE + "GetSource": Requirement.PUBLIC,
    LEADERBOARD_SERVICE + "ListNodes": Requirement.PUBLIC,
    LEADERBOARD_SERVICE + "GetProgress": Requirement.PUBLIC,
    LEADERBOARD_SERVICE + "Compare": Requirement.PUBLIC,
    LEADERBOARD_SERVICE + "Search": Requirement.PUBLIC,
    LEADERBOARD_SERVICE + "ListPrograms": Requirement.PUBLIC,
    IDEA_SERVICE + "Propose": Requirement.NODE,
    IDEA_SERVICE + "ListIdeas": Requirement.PUBLIC,
    IDEA_SERVICE + "Withdraw": Requirement.NODE,
    IDEA_SERVICE + "ShareInsight": Requirement.NODE,
    IDEA_SERVICE + "ListInsights": Requirement.PUBLIC,
    ADMIN_SERVICE + "CreateToken": Requirement.OPERATOR,
    ADMIN_SERVICE + "ListTokens": Requirement.OPERATOR,
    ADMIN_SERVICE + "RevokeToken": Requirement.OPERATOR,
    ADMIN_SERVICE + "SetProgram": Requirement.OPERATOR,
    _HEALTH + "Check": Requirement.PUBLIC,
    _HEALTH + "Watch": Requirement.PUBLIC,
    # Served only where the operator asked for reflection.
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Requirement.PUBLIC,
}


def requirement_of(method: str) -> Requirement | None:
    """What ``method`` (``/package.Service/Method``) needs; None means that nobody may call it."""
    return POLICY.get(method)
