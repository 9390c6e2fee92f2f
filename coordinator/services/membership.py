"""Who takes part: server info, enrolment, sessions, heartbeats."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from autoresearch.errors import ConsentMissing, InvalidArgument, LimitExceeded, ProtocolMismatch, TokenRefused
from autoresearch.limits import (
    ACTIVITY_LIMIT_CHARS,
    CLAIMS_PER_CALL_LIMIT,
    TOKEN_LIMIT_CHARS,
    check_hardware,
    check_line,
)
from autoresearch.model import (
    NAME_LIMIT_CHARS,
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    Beat,
    ChallengeText,
    ClaimId,
    Enrolment,
    Hardware,
    HardwareClass,
    Node,
    NodeId,
    OwnerId,
    ServerInfo,
    Session,
)
from autoresearch.signing import node_id_of

from coordinator.domain.class_state import working_best
from coordinator.services.admin import OPEN_OWNER_PREFIX, hash_of_token
from coordinator.services.context import ChallengeContext, Sessions
from coordinator.services.settings import ServiceSettings
from coordinator.storage.base import IdentityStore

TOUCH_INTERVAL_S = 30.0
"""While a node does the same, its heartbeats mark it as seen this often at most."""

ACTIVITY_CONNECTING = "connecting"

TOUCHES_CACHED = 100_000
CLASSES_PER_NODE = 8
"""Hardware classes that a node may connect with per ``CLASSES_WINDOW``."""

NO_CLASS = HardwareClass("")
"""Of a node that only proposes."""

CLASSES_WINDOW = timedelta(hours=24)
CLASSES_RETRY_S = 3600.0
OPEN_OWNER_CHARS = 12
TERMS = (
    "Contributions (hypotheses, insights, code, results) are published under: {}. Sent are: the node's "
    "public key and name, what it runs on, its ideas, insights, code, scores and the ends of its logs, "
    "scrubbed of paths, host and user names."
)


def check_connected(caller: Node) -> HardwareClass:
    """The caller's class. Raises InvalidArgument for a node that never said what it runs on."""
    if not caller.hardware_class:
        raise InvalidArgument("this node has not said what hardware it runs on; call Connect first")
    return caller.hardware_class


class Membership:
    """The services of SwarmService that are about the caller itself."""

    def __init__(
        self,
        identity: IdentityStore,
        find: Callable[[str], ChallengeContext],
        hosted: Sequence[ChallengeContext],
        settings: ServiceSettings,
        *,
        sessions: Sessions,
        clock: Callable[[], datetime],
    ) -> None:
        """``find`` gives a challenge by name or id, or raises UnknownChallenge."""
        self._identity = identity
        self._find = find
        self._hosted = hosted
        self._settings = settings
        self._sessions = sessions
        self._clock = clock
        self._touched: OrderedDict[NodeId, tuple[float, str]] = OrderedDict()
        self._classes: OrderedDict[NodeId, dict[HardwareClass, datetime]] = OrderedDict()

    def server_info(self) -> ServerInfo:
        """Who answers here."""
        licences = sorted({one.challenge.contribution_licence for one in self._hosted})
        return ServerInfo(
            version=self._settings.version,
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            server_time=self._clock(),
            challenges=tuple(_text(one) for one in self._hosted),
            is_enrolment_open=self._settings.is_enrolment_open,
            terms=TERMS.format(", ".join(licences)),
        )

    async def enrol(self, public_key: bytes, *, token: str, name: str, has_consented: bool) -> Enrolment:
        """Binds a key to the node id that follows from it and, by a token, to an owner.

        Idempotent for one key. Without a token, where enrolment is open, the owner is ``open-`` and the
        end of the node id, and has no vote.

        Raises:
            InvalidArgument: the key or the name breaks a rule.
            ConsentMissing: the owner has not agreed to the terms.
            TokenRefused: the token is wrong, spent, expired or revoked, or one is needed.
        """
        node_id = node_id_of(public_key)
        check_line(name, "name", limit=NAME_LIMIT_CHARS)
        check_line(token, "token", limit=TOKEN_LIMIT_CHARS)
        if not has_consented:
            raise ConsentMissing("enrolment needs the owner's consent to the terms; show them and ask")
        known = await self._identity.get_node(node_id)
        if known is None and not token and not self._settings.is_enrolment_open:
            raise TokenRefused("this coordinator enrols by token only; ask its operator for one")
        now = self._clock()
        node = Node(
            node_id=node_id,
            owner_id=OwnerId(OPEN_OWNER_PREFIX + node_id[-OPEN_OWNER_CHARS:]),
            name=name or node_id[:OPEN_OWNER_CHARS],
            public_key=public_key,
            hardware_class=HardwareClass(""),
            enrolled_at=now,
            last_seen_at=now,
            has_vote=False,
        )
        bound = await self._identity.enrol(node, hash_of_token(token) if token else None)
        return Enrolment(node_id=bound.node_id, owner_id=bound.owner_id, has_vote=bound.has_vote)

    async def connect(
        self,
        caller: Node,
        *,
        protocol_min: int,
        protocol_max: int,
        challenge: str,
        hardware: Hardware | None,
        node_version: str,
    ) -> Session:
        """Opens a session; idempotent. Without hardware the node is of no class from now on.

        Raises:
            InvalidArgument: the hardware cannot be, or the challenge does not run on it.
            ProtocolMismatch: no common version; names both ranges.
            UnknownChallenge: it is not hosted here.
            LimitExceeded: the node has connected with too many hardware classes.
        """
        protocol = min(protocol_max, PROTOCOL_MAX)
        if protocol < max(protocol_min, PROTOCOL_MIN):
            raise ProtocolMismatch(
                f"the node speaks protocol {protocol_min} to {protocol_max}, this coordinator "
                f"{PROTOCOL_MIN} to {PROTOCOL_MAX}; update the older of the two"
            )
        check_line(node_version, "node_version", limit=NAME_LIMIT_CHARS)
        context = self._find(challenge)
        if hardware is not None:
            self._check_hardware(caller, hardware, context)
        hardware_class = hardware.hardware_class if hardware is not None else NO_CLASS
        await self._identity.touch_node(caller.node_id, hardware_class, activity=ACTIVITY_CONNECTING)
        self._touched[caller.node_id] = (time.monotonic(), ACTIVITY_CONNECTING)
        best = None
        if hardware is not None:
            self._sessions.put(caller.node_id, hardware)
            await context.see_class(hardware_class)
            state = (await context.classes.get(hardware_class)).state
            best = working_best(state.working, state, context.rules) if state.working else None
        return Session(
            protocol=protocol,
            challenge=_text(context),
            position=await context.store.position(),
            lease_ttl_s=self._settings.lease_ttl_s,
            heartbeat_interval_s=self._settings.heartbeat_interval_s,
            owner_id=caller.owner_id,
            best=best,
            program=await context.programs.current(),
        )

    async def heartbeat(
        self, caller: Node, *, challenge_id: str, claim_ids: Sequence[ClaimId], activity: str
    ) -> Beat:
        """Renews the caller's leases among ``claim_ids`` and says which are lost."""
        if len(claim_ids) > CLAIMS_PER_CALL_LIMIT:
            raise InvalidArgument(
                f"{len(claim_ids)} claims are named, the limit is {CLAIMS_PER_CALL_LIMIT}; send fewer"
            )
        check_line(activity, "activity", limit=ACTIVITY_LIMIT_CHARS)
        context = self._find(challenge_id)
        await self._touch(caller.node_id, activity)
        ids = tuple(dict.fromkeys(claim_ids))
        renewal = await context.store.renew(caller.node_id, ids, ttl_s=self._settings.lease_ttl_s)
        best_id = None
        if caller.hardware_class:
            view = await context.classes.get(caller.hardware_class)
            best_id = view.state.working_id
        return Beat(
            position=await context.store.position(),
            renewed=renewal.renewed,
            lost=renewal.lost,
            best_experiment_id=best_id,
            program_hash=(await context.programs.current()).program_hash,
        )

    def _check_hardware(self, caller: Node, hardware: Hardware, context: ChallengeContext) -> None:
        check_hardware(hardware)
        kinds = context.challenge.device_kinds
        if hardware.device_kind not in kinds:
            raise InvalidArgument(
                f"challenge {context.challenge.name} runs on {', '.join(kinds)}, "
                f"not on {hardware.device_kind!r}; choose another challenge"
            )
        self._count_class(caller.node_id, hardware.hardware_class)

    def _count_class(self, node_id: NodeId, hardware_class: HardwareClass) -> None:
        oldest = self._clock() - CLASSES_WINDOW
        seen = self._classes.get(node_id, {})
        recent = {name: at for name, at in seen.items() if at > oldest}
        if hardware_class not in recent and len(recent) >= CLASSES_PER_NODE:
            raise LimitExceeded(
                f"this node has connected with {CLASSES_PER_NODE} hardware classes within "
                f"{CLASSES_WINDOW.total_seconds() / 3600:.0f} hours; connect with one of them",
                retry_after_s=CLASSES_RETRY_S,
            )
        self._classes[node_id] = {**recent, hardware_class: self._clock()}
        self._classes.move_to_end(node_id)
        while len(self._classes) > TOUCHES_CACHED:
            self._classes.popitem(last=False)

    async def _touch(self, node_id: NodeId, activity: str) -> None:
        now = time.monotonic()
        last_at, last_activity = self._touched.get(node_id, (-math.inf, ""))
        if activity == last_activity and now - last_at < TOUCH_INTERVAL_S:
            return
        self._touched[node_id] = (now, activity)
        self._touched.move_to_end(node_id)
        while len(self._touched) > TOUCHES_CACHED:
            self._touched.popitem(last=False)
        await self._identity.touch_node(node_id, activity=activity)


def _text(context: ChallengeContext) -> ChallengeText:
    challenge = context.challenge
    return ChallengeText(
        challenge_id=challenge.challenge_id,
        name=challenge.name,
        manifest_toml=challenge.manifest_toml,
        baseline_source=challenge.baseline_source,
        program_md=challenge.program_md,
    )
