"""What is told of one ticket: how far it is, and what comes next. Strangers' words are quoted and cut."""

from __future__ import annotations

from autoresearch.model import Duplicate, NearMatch, NeedsDistinction, StartRefused

from node.agent.mcp.tickets import Kind, Stage, Ticket
from node.agent.quoting import (
    QUESTION_SHOWN_CHARS,
    advice_text,
    failure_quote,
    hypothesis_quote,
    inline,
    materials_text,
    quoted,
)

LOG_SHOWN_CHARS = 4_000


def ticket_text(ticket: Ticket, *, patience_s: float, is_training: bool, is_lost: bool) -> str:
    """All that is known of one piece, and what comes next."""
    head = [
        f"id: {ticket.ticket_id}",
        f"state: {state_word(ticket, is_training=is_training, is_lost=is_lost)}",
    ]
    if ticket.repairs:
        head.append(f"repairs: {ticket.repairs}")
    if ticket.experiment_id:
        head.append(f"experiment: {ticket.experiment_id}")
    head.append(title_line(ticket))
    body = _BODIES[ticket.stage](ticket)
    if ticket.stage is Stage.GRANTED:
        body.append(f"It goes back to the swarm {patience_s:g} s after your last word.")
    if is_lost:
        body = ["Its claim ran out before its turn; claim it anew if you still want it."]
    return "\n".join([*head, "", *body]).rstrip("\n")


def title_line(ticket: Ticket) -> str:
    """What it is about. Quoted whoever had the idea: a title may be taken over from what was read."""
    return quoted(inline(ticket.hypothesis.title))


def state_word(ticket: Ticket, *, is_training: bool = False, is_lost: bool = False) -> str:
    """The state as a researcher reads it."""
    if ticket.stage is Stage.REFUSED:
        return "needs_distinction" if ticket.question else "duplicate"
    if ticket.stage is Stage.FINISHED and ticket.result is not None:
        return ticket.result.outcome.value
    if ticket.stage is Stage.QUEUED:
        return "lost" if is_lost else "training" if is_training else "queued"
    return ticket.stage.value


def _judging(ticket: Ticket) -> list[str]:
    del ticket
    return [
        "The node claims it as soon as it prepares the next experiment: one trains, one is prepared ahead.",
        "Wait with result; give_up takes it back.",
    ]


def _granted(ticket: Ticket) -> list[str]:
    parent = ticket.context.parent
    lines = [
        f"Yours to write. It starts from experiment {parent.experiment_id}:",
        quoted(inline(parent.title)),
    ]
    match ticket.kind:
        case Kind.ASKED:
            lines = ["The swarm asks for the code of this idea of somebody else:", ""]
            lines += [hypothesis_quote(ticket.hypothesis), "", materials_text(ticket.context.materials)]
        case Kind.REPAIR:
            assert ticket.failure is not None, "a repair comes from a failure"  # noqa: S101
            lines = [
                "Your run crashed. Mend its code if the idea is worth it; edits are made to that code:",
                "",
                failure_quote(ticket.failure),
            ]
        case Kind.IDEA:
            pass
    advice = advice_text(ticket.advice)
    if advice:
        lines += ["", advice]
    lines += ["", "Hand in the code with run (edits or code), or let it go with give_up."]
    return lines


def _starting(ticket: Ticket) -> list[str]:
    del ticket
    return ["The code is being judged. Ask again with result."]


def _queued(ticket: Ticket) -> list[str]:
    lines = [
        "It is trained as soon as the machine is free. Have the next idea meanwhile: what_to_try, claim."
    ]
    if ticket.flags:
        flags = [quoted(inline(flag)) for flag in ticket.flags]
        lines = ["Your words and your code differ:", *flags, *lines]
    return lines


def _finished(ticket: Ticket) -> list[str]:
    result, parent = ticket.result, ticket.context.parent
    assert result is not None, "what is finished has a result"  # noqa: S101
    metric = ticket.context.challenge.metric_name
    lines = [f"{inline(name)}: {value:.6g}" for name, value in sorted(result.metrics.items())]
    if metric in result.metrics:
        delta = result.metrics[metric] - parent.mean
        spread = f"a rerun spreads by {parent.spread:.5f}"
        lines.append(f"against its parent ({parent.mean:.5f}): {delta:+.5f}, where {spread}")
    if ticket.state is not None:
        lines.append(f"the swarm says: {ticket.state.value}")
    if ticket.why:
        lines.append(quoted(ticket.why, QUESTION_SHOWN_CHARS))
    if result.crash_kind or result.reason:
        lines += [quoted(f"{result.crash_kind or ''} {result.reason}".strip())]
    if result.log_tail:
        lines += ["", "The end of its log:", quoted(result.log_tail[-LOG_SHOWN_CHARS:])]
    lines += ["", "What did you learn? insights (action share, with this id) tells others."]
    return lines


def _refused(ticket: Ticket) -> list[str]:
    verdict = ticket.verdict
    assert verdict is not None, "a refusal says why"  # noqa: S101
    told = quoted(_near(verdict.match))
    match verdict:
        case NeedsDistinction():
            lines = ["Close to a tried one:", told, quoted(verdict.question, QUESTION_SHOWN_CHARS)]
        case Duplicate():
            lines = ["Tried already:", told, _same(verdict.level)]
        case StartRefused():
            lines = ["This code was tried already:", told, _same(verdict.level)]
            if verdict.question:
                lines.append(quoted(verdict.question, QUESTION_SHOWN_CHARS))
    advice = advice_text(ticket.advice)
    if advice:
        lines += ["", advice]
    if ticket.question:
        lines += ["", "Claim it again with 'distinction' (why yours differs), or claim something else."]
    else:
        lines += ["", "Claim something else."]
    return lines


def _dropped(ticket: Ticket) -> list[str]:
    return [quoted(ticket.why, QUESTION_SHOWN_CHARS)]


_BODIES = {
    Stage.JUDGING: _judging,
    Stage.GRANTED: _granted,
    Stage.STARTING: _starting,
    Stage.QUEUED: _queued,
    Stage.FINISHED: _finished,
    Stage.REFUSED: _refused,
    Stage.DROPPED: _dropped,
}


def _same(level: str) -> str:
    return quoted(f"what is the same: {inline(level)}")


def _near(match: NearMatch) -> str:
    """A tried experiment, on one line."""
    delta = f", {match.delta:+.5f} against its parent" if match.delta is not None else ""
    name = f" [{match.experiment_id}]" if match.experiment_id else ""
    return f"{inline(match.title)} ({match.state.value}{delta}){name}"
