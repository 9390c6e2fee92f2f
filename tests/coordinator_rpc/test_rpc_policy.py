"""Every method is listed with what it needs, and nothing else can be called."""

from __future__ import annotations

from autoresearch.v1 import admin_pb2, ideas_pb2, leaderboard_pb2, swarm_pb2
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2

from coordinator.auth.policy import POLICY, Requirement, requirement_of

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service
    for module in (swarm_pb2, leaderboard_pb2, ideas_pb2, admin_pb2, health_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)


def _methods(service: ServiceDescriptor) -> set[str]:
    return {f"/{service.full_name}/{method.name}" for method in service.methods}


def test_every_method_of_every_service_is_listed() -> None:
    methods = set().union(*map(_methods, SERVICES))

    assert methods <= set(POLICY)


def test_nothing_is_listed_that_no_service_has() -> None:
    methods = set().union(*map(_methods, SERVICES))

    extra = {method for method in POLICY if method not in methods}

    assert extra == {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}


def test_what_is_not_listed_is_denied() -> None:
    assert requirement_of("/autoresearch.v1.SwarmService/Erase") is None


def test_administration_needs_an_operator() -> None:
    admin = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]

    assert {requirement_of(method) for method in _methods(admin)} == {Requirement.OPERATOR}


def test_only_reading_is_public() -> None:
    public = {method.rpartition("/")[2] for method, need in POLICY.items() if need is Requirement.PUBLIC}

    assert {name for name in public if not name.startswith(("Get", "List"))} == {
        "Compare",
        "Search",
        "Check",
        "Watch",
        "ServerReflectionInfo",
    }
