"""Hypotheses, experiments, results, and how they are listed."""
# ruff: noqa: D103 - each pair of names says all there is

from __future__ import annotations

from autoresearch.attestation import Attestation
from autoresearch.codec.fields import (
    EnumTable,
    chosen,
    need,
    optional_time_to_wire,
    read_blank,
    read_class,
    read_handle,
    read_hash,
    read_number,
    read_optional,
    read_optional_number,
    read_optional_time,
    read_program_hash,
    read_time,
    read_uuid,
    read_uuids,
    time_to_wire,
)
from autoresearch.limits import check_number
from autoresearch.model import (
    Advice,
    ChallengeId,
    Change,
    ConstantChange,
    Experiment,
    ExperimentId,
    ExperimentState,
    ExperimentSummary,
    Hardware,
    HardwareClass,
    Hypothesis,
    Intent,
    KnobTrial,
    Level,
    MechanismChange,
    MechanismOp,
    NearMatch,
    NodeId,
    Outcome,
    OwnerId,
    ProgramHash,
    Purpose,
    Result,
    ResultId,
    SourceHash,
    Usage,
)
from autoresearch.v1 import types_pb2 as pb

OPS = EnumTable(MechanismOp, pb.MechanismOp, "MECHANISM_OP")
INTENTS = EnumTable(Intent, pb.Intent, "INTENT")
OUTCOMES = EnumTable(Outcome, pb.Outcome, "OUTCOME")
PURPOSES = EnumTable(Purpose, pb.Purpose, "PURPOSE")
LEVELS = EnumTable(Level, pb.Level, "LEVEL")
STATES = EnumTable(ExperimentState, pb.ExperimentState, "EXPERIMENT_STATE")


def change_to_message(value: Change) -> pb.Change:
    if isinstance(value, ConstantChange):
        return pb.Change(constant=pb.ConstantChange(name=value.name, old=value.old, new=value.new))
    return pb.Change(
        mechanism=pb.MechanismChange(op=OPS.to_wire(value.op), what=value.what, where=value.where)
    )


def change_from_message(message: pb.Change) -> Change:
    if chosen(message, "kind") == "constant":
        constant = message.constant
        return ConstantChange(name=constant.name, old=constant.old, new=constant.new)
    mechanism = message.mechanism
    return MechanismChange(op=OPS.read(mechanism, "op"), what=mechanism.what, where=mechanism.where)


def hypothesis_to_message(value: Hypothesis) -> pb.Hypothesis:
    return pb.Hypothesis(
        title=value.title,
        rationale=value.rationale,
        changes=[change_to_message(change) for change in value.changes],
        intent=INTENTS.to_wire(value.intent),
        distinction=value.distinction,
        agent=value.agent,
        program_hash=value.program_hash,
    )


def hypothesis_from_message(message: pb.Hypothesis) -> Hypothesis:
    program = read_optional(message, "program_hash", read_program_hash)
    return Hypothesis(
        title=message.title,
        rationale=message.rationale,
        changes=tuple(change_from_message(change) for change in message.changes),
        intent=INTENTS.read(message, "intent"),
        distinction=message.distinction,
        agent=message.agent,
        program_hash=None if program is None else ProgramHash(program),
    )


def usage_to_message(value: Usage) -> pb.Usage:
    return pb.Usage(
        model=value.model,
        calls=value.calls,
        input_tokens=value.input_tokens,
        cache_read_tokens=value.cache_read_tokens,
        cache_write_tokens=value.cache_write_tokens,
        output_tokens=value.output_tokens,
        cost_usd=value.cost_usd,
        is_estimate=value.is_estimate,
        seconds=value.seconds,
    )


def usage_from_message(message: pb.Usage) -> Usage:
    return Usage(
        model=message.model,
        calls=message.calls,
        input_tokens=message.input_tokens,
        cache_read_tokens=message.cache_read_tokens,
        cache_write_tokens=message.cache_write_tokens,
        output_tokens=message.output_tokens,
        cost_usd=read_number(message, "cost_usd"),
        is_estimate=message.is_estimate,
        seconds=read_number(message, "seconds"),
    )


def hardware_to_message(value: Hardware) -> pb.Hardware:
    return pb.Hardware(
        hardware_class=value.hardware_class,
        device_kind=value.device_kind,
        device_name=value.device_name,
        memory_mb=value.memory_mb,
        torch_version=value.torch_version,
        device_count=value.device_count,
    )


def hardware_from_message(message: pb.Hardware) -> Hardware:
    return Hardware(
        hardware_class=HardwareClass(read_class(message, "hardware_class")),
        device_kind=message.device_kind,
        device_name=message.device_name,
        memory_mb=read_number(message, "memory_mb"),
        torch_version=message.torch_version,
        device_count=message.device_count,
    )


def experiment_to_message(value: Experiment) -> pb.Experiment:
    return pb.Experiment(
        experiment_id=value.experiment_id,
        challenge_id=value.challenge_id,
        hypothesis=hypothesis_to_message(value.hypothesis),
        source_hash=value.source_hash,
        parents=value.parents,
        node_id=value.node_id,
        owner_id=value.owner_id,
        hardware_class=value.hardware_class,
        created_at=time_to_wire(value.created_at),
        flags=value.flags,
        proposer_id=value.proposer_id,
        proposer_owner_id=value.proposer_owner_id,
        idea_usage=usage_to_message(value.idea_usage) if value.idea_usage else None,
    )


def experiment_from_message(message: pb.Experiment) -> Experiment:
    need(message, "hypothesis")
    proposer = read_optional(message, "proposer_id", read_handle)
    proposer_owner = read_optional(message, "proposer_owner_id", read_handle)
    return Experiment(
        experiment_id=ExperimentId(read_uuid(message, "experiment_id")),
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        hypothesis=hypothesis_from_message(message.hypothesis),
        source_hash=SourceHash(read_hash(message, "source_hash")),
        parents=tuple(map(ExperimentId, read_uuids(message, "parents"))),
        node_id=NodeId(read_blank(message, "node_id", read_handle)),
        owner_id=OwnerId(read_blank(message, "owner_id", read_handle)),
        hardware_class=HardwareClass(read_class(message, "hardware_class")),
        created_at=read_time(message, "created_at"),
        flags=tuple(message.flags),
        proposer_id=None if proposer is None else NodeId(proposer),
        proposer_owner_id=None if proposer_owner is None else OwnerId(proposer_owner),
        idea_usage=usage_from_message(message.idea_usage) if message.HasField("idea_usage") else None,
    )


def attestation_to_message(value: Attestation) -> pb.Attestation:
    return pb.Attestation(
        manifest_hash=value.manifest_hash,
        code_hash=value.code_hash,
        seed=value.seed,
        val_seed=value.val_seed,
        harness_version=value.harness_version,
        rows_digest=value.rows_digest,
        losses_digest=value.losses_digest,
        holdout_rows_digest=value.holdout_rows_digest,
        holdout_losses_digest=value.holdout_losses_digest,
        device_kind=value.device_kind,
        device_name=value.device_name,
        memory_mb=value.memory_mb,
        torch_version=value.torch_version,
        sandbox=value.sandbox,
        timings_s=value.timings_s,
    )


def attestation_from_message(message: pb.Attestation) -> Attestation:
    for name, seconds in message.timings_s.items():
        check_number(seconds, f"Attestation.timings_s[{name[:80]}]")
    return Attestation(
        manifest_hash=message.manifest_hash,
        code_hash=message.code_hash,
        seed=message.seed,
        val_seed=message.val_seed,
        harness_version=message.harness_version,
        rows_digest=message.rows_digest,
        losses_digest=message.losses_digest,
        holdout_rows_digest=message.holdout_rows_digest,
        holdout_losses_digest=message.holdout_losses_digest,
        device_kind=message.device_kind,
        device_name=message.device_name,
        memory_mb=read_number(message, "memory_mb"),
        torch_version=message.torch_version,
        sandbox=tuple(message.sandbox),
        timings_s=dict(message.timings_s),
    )


def result_to_message(value: Result) -> pb.Result:
    return pb.Result(
        result_id=value.result_id,
        experiment_id=value.experiment_id,
        challenge_id=value.challenge_id,
        node_id=value.node_id,
        owner_id=value.owner_id,
        outcome=OUTCOMES.to_wire(value.outcome),
        purpose=PURPOSES.to_wire(value.purpose),
        metrics=value.metrics,
        seed=value.seed,
        hardware=hardware_to_message(value.hardware),
        code_hash=value.code_hash,
        harness_version=value.harness_version,
        started_at=time_to_wire(value.started_at),
        finished_at=time_to_wire(value.finished_at),
        reason=value.reason,
        crash_kind=value.crash_kind,
        log_tail=value.log_tail,
        curve=[pb.CurvePoint(progress=progress, loss=loss) for progress, loss in value.curve],
        attested=attestation_to_message(value.attestation) if value.attestation else None,
        verification_id=value.verification_id,
        is_late=value.is_late,
        published_at=optional_time_to_wire(value.published_at),
        usage=usage_to_message(value.usage) if value.usage else None,
    )


def result_from_message(message: pb.Result) -> Result:
    need(message, "hardware")
    return Result(
        result_id=ResultId(read_uuid(message, "result_id")),
        experiment_id=ExperimentId(read_uuid(message, "experiment_id")),
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        node_id=NodeId(read_blank(message, "node_id", read_handle)),
        owner_id=OwnerId(read_blank(message, "owner_id", read_handle)),
        outcome=OUTCOMES.read(message, "outcome"),
        purpose=PURPOSES.read(message, "purpose"),
        metrics=_metrics_of(message),
        seed=message.seed,
        hardware=hardware_from_message(message.hardware),
        code_hash=SourceHash(read_hash(message, "code_hash")),
        harness_version=message.harness_version,
        started_at=read_time(message, "started_at"),
        finished_at=read_time(message, "finished_at"),
        reason=message.reason,
        crash_kind=message.crash_kind,
        log_tail=message.log_tail,
        curve=tuple((read_number(point, "progress"), read_number(point, "loss")) for point in message.curve),
        attestation=attestation_from_message(message.attested) if message.HasField("attested") else None,
        verification_id=message.verification_id,
        is_late=message.is_late,
        published_at=read_optional_time(message, "published_at"),
        usage=usage_from_message(message.usage) if message.HasField("usage") else None,
    )


def experiment_summary_to_message(value: ExperimentSummary) -> pb.ExperimentSummary:
    return pb.ExperimentSummary(
        experiment=experiment_to_message(value.experiment),
        state=STATES.to_wire(value.state),
        score=value.score,
        interval=value.interval,
        runs=value.runs,
        delta=value.delta,
        level=LEVELS.to_wire(value.level),
        confirmed_by=value.confirmed_by,
        reason=value.reason,
        sealed_runs=value.sealed_runs,
        usage=usage_to_message(value.usage) if value.usage else None,
    )


def experiment_summary_from_message(message: pb.ExperimentSummary) -> ExperimentSummary:
    need(message, "experiment")
    return ExperimentSummary(
        experiment=experiment_from_message(message.experiment),
        state=STATES.read(message, "state"),
        score=read_optional_number(message, "score"),
        interval=read_optional_number(message, "interval"),
        runs=message.runs,
        delta=read_optional_number(message, "delta"),
        level=LEVELS.read_optional(message, "level"),
        confirmed_by=tuple(map(OwnerId, message.confirmed_by)),
        reason=message.reason,
        sealed_runs=message.sealed_runs,
        usage=usage_from_message(message.usage) if message.HasField("usage") else None,
    )


def near_match_to_message(value: NearMatch) -> pb.NearMatch:
    return pb.NearMatch(
        experiment_id=value.experiment_id,
        title=value.title,
        state=STATES.to_wire(value.state),
        score=value.score,
        delta=value.delta,
        same_parent=value.same_parent,
        reason=value.reason,
    )


def near_match_from_message(message: pb.NearMatch) -> NearMatch:
    return NearMatch(
        # Empty where the match is a claim that has no code yet.
        experiment_id=ExperimentId(read_blank(message, "experiment_id", read_uuid)),
        title=message.title,
        state=STATES.read(message, "state"),
        score=read_optional_number(message, "score"),
        delta=read_optional_number(message, "delta"),
        same_parent=message.same_parent,
        reason=message.reason,
    )


def knob_trial_to_message(value: KnobTrial) -> pb.KnobTrial:
    return pb.KnobTrial(knob=value.knob, value=value.value, trials=value.trials, best_delta=value.best_delta)


def knob_trial_from_message(message: pb.KnobTrial) -> KnobTrial:
    return KnobTrial(
        knob=message.knob,
        value=message.value,
        trials=message.trials,
        best_delta=read_optional_number(message, "best_delta"),
    )


def advice_to_message(value: Advice) -> pb.Advice:
    return pb.Advice(
        nearest=[near_match_to_message(match) for match in value.nearest],
        knobs=[knob_trial_to_message(trial) for trial in value.knobs],
    )


def advice_from_message(message: pb.Advice) -> Advice:
    return Advice(
        nearest=tuple(near_match_from_message(match) for match in message.nearest),
        knobs=tuple(knob_trial_from_message(trial) for trial in message.knobs),
    )


def _metrics_of(message: pb.Result) -> dict[str, float]:
    for name, value in message.metrics.items():
        check_number(value, f"Result.metrics[{name[:64]}]")
    return dict(message.metrics)
