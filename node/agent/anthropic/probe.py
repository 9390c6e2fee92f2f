"""Asks a model's server whether it is there and takes the key, which costs nothing."""

from __future__ import annotations

from node.agent.anthropic.calling import Caller
from node.agent.anthropic.faults import FaultKind, fault_of

ABSENT_STATUS = 404


async def probe_server(caller: Caller) -> str:
    """What is wrong with the server or with the key; empty where both are fine.

    Many servers of one's own list no models: one that answers at all is taken for one.
    """
    client = await caller.made_client()
    try:
        await client.models.list(limit=1)
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            raise
        if getattr(error, "status_code", None) == ABSENT_STATUS or fault.kind is FaultKind.REFUSED:
            return ""
        return caller.shown(fault)
    return ""
