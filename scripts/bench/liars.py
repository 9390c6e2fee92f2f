"""What can lying owners do to a swarm? Real services over the in-memory store; prints JSON.

Every owner has a token, a vote and one node; a step is one task of a node drawn at random. Scores are normal
with a true mean per code; the edits of honest owners are drawn from the mix of ``promotion_odds``. Every run
tells a hidden gap too; no code looks ahead, so honest ones are normal around zero (``simulated_gaps``). A
share of the owners lies, each by one strategy; with few liars the strategies take turns from seed to seed:

- ``forger``: its own edits, worse than their parent or equal, come with an invented good score, and no gap;
- ``killer``: candidates of others come with an invented bad score, to kill true gains, or with an honest
  score and an invented gap, so that they seem to look ahead: large for the candidate or very negative for the
  control, just enough or enormous. Of one candidate all killers tell the same, as if they had agreed;
- ``blocker``: true gains that it finds come with an invented bad score, so that the idea counts as tried
  (``retries_of_spoilt_edits``: honest owners who have the same idea are refused, or asked and granted);
- ``booster``: whatever is being verified comes with an invented good score and no gap; what is decided
  already, and might be an audit, is measured honestly (it lies only where it thinks that nobody knows);
- ``copier``: runs nothing and reports what anybody can read of a code, with noise, and no gap;
- ``guesser``: as a copier, but it knows that screening runs were picked, and takes a part of their gain;
- ``sleeper``: honest until it is trusted, then forger and booster, until it is trusted no more;
- ``flipper``: reports honestly and then again, better, under the same and under new ids, with and without
  its claim;
- ``colluder`` (swarms of their own): forges its own edits, vouches for those of its fellows, and is honest
  about everything else. Colluders whose fellows verify are a swarm's colluding verifiers.

``confirmed_by_forged_results`` counts confirmed codes without a true gain over the best before (a null edit
counts) one of whose confirmers had forged a verification of it, whatever that did to the decision
(``false_bests_with_any_forged_vote``: anybody had, asked or relied on or left out);
``false_by_chance_on_honest_votes`` are the others, which a swarm without liars has too.

``true_gains_refuted_by_forged_gaps`` counts codes with a true gain over their parent that were refuted for
looking ahead after an owner had invented a gap for one of their pairs; ``refuted_by_honest_gaps`` the codes,
with a gain or without, of which nobody had. Only what has passed is refuted so, and what has passed once is
not ``lost``: ``large_gains_lost_it_hit`` counts it.

Colluders cannot be told from honest owners before they lie, so what protects is who is drawn. A forged
candidate is confirmed at most if, at some point of its verification, three colluders or more have voted and
at least twice as many as honest owners: ``bound`` is the chance of that when owners are drawn at random
without return. It is of codes without a gain over the best before: a forged code that was built on a better
one may be better too, and honest owners then confirm it (``confirmed_forged_experiments`` counts those too).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import structlog
from autoresearch.model import BestChange, ExperimentId, ExperimentState, Level
from simulated_swarm import CLASS, RETRY_CHANCE, SPREAD, START_MEAN, Member, ReaderHere, Swarm, open_swarm

from coordinator.dedup.code import CodeReader
from coordinator.dedup.precedents import JUDGED
from coordinator.domain.baseline import baseline_id
from coordinator.domain.hidden_gap import LOOKS_AHEAD
from coordinator.domain.trust import is_trusted, trust_of

OWNERS = 20
SHARES = (0.0, 0.1, 0.3)
SEEDS = (1, 2, 3, 4)
PUBLISHES = 10_000
KINDS = ("independent", "colluding")
INDEPENDENT = ("forger", "killer", "blocker", "booster", "copier", "guesser", "sleeper", "flipper")
LARGE_GAIN = 2.0
COLLUDERS_TO_CONFIRM = 3


async def simulate(
    reader: CodeReader,
    *,
    lying: int,
    colluding: bool,
    publishes: int,
    seed: int,
    owners: int = OWNERS,
    strategies: Sequence[str] = INDEPENDENT,
    retry_chance: float = RETRY_CHANCE,
) -> dict[str, Any]:
    """One swarm from its baseline on; its figures."""
    swarm = await open_swarm(reader, seed=seed)
    swarm.retry_chance = retry_chance
    try:
        for index in range(owners):
            strategy = strategies[(index + seed) % len(strategies)] if index < lying else "honest"
            await swarm.join(f"o{index}", "colluder" if colluding and index < lying else strategy)
        while swarm.publishes < publishes:
            await swarm.step()
            await swarm.one.caretaker.reap()
        return {"seed": seed, "lying": lying, **await _figures(swarm)}
    finally:
        await swarm.services.close()


async def _figures(swarm: Swarm) -> dict[str, Any]:
    state = await swarm.state()
    history = await swarm.one.leaderboard.get_progress(CLASS)
    confirmed = _confirmed(swarm, history)
    false_bests = [one for one in confirmed if one["true_gain"] <= 0]
    working_mean = swarm.codes[state.working.experiment_id].true_mean if state.working else START_MEAN
    best_mean = swarm.codes[confirmed[-1]["experiment_id"]].true_mean if confirmed else START_MEAN
    return {
        "owners": len(swarm.members),
        "strategies": dict(Counter(one.strategy for one in swarm.members)),
        "publishes": swarm.publishes,
        "experiments": len(swarm.codes) - 1,
        "runs_per_experiment": round(swarm.publishes / (len(swarm.codes) - 1), 3),
        "verification_runs": state.verification_runs,
        "forged_experiments": sum(code.is_forged for code in swarm.codes.values()),
        "verified_forged_experiments": _verified_forged(swarm),
        "confirmed": len(confirmed),
        "confirmed_by_forged_results": sum(one["has_forged_votes"] for one in false_bests),
        "by_strategy": _by_strategy(swarm, false_bests),
        "false_by_chance_on_honest_votes": sum(not one["has_forged_votes"] for one in false_bests),
        "of_these_with_a_forged_screen": sum(
            one["is_forged"] and not one["has_forged_votes"] for one in false_bests
        ),
        "false_bests_with_any_forged_vote": sum(bool(one["owners_who_forged"]) for one in false_bests),
        "false_bests": false_bests,
        "confirmed_forged_experiments": sum(one["is_forged"] for one in confirmed),
        "large_gains": _large_gains(swarm, history),
        **_refuted_by_gaps(swarm),
        "retries_of_spoilt_edits": _retries(swarm),
        "minutes_to_confirm_median": _median([one["minutes"] for one in confirmed]),
        "true_gain_in_spreads": round((START_MEAN - best_mean) / SPREAD, 1),
        "true_gain_of_working_in_spreads": round((START_MEAN - working_mean) / SPREAD, 1),
        "audit_share_of_runs": round(state.audit_runs / swarm.publishes, 4),
        **_trust(swarm, state),
        "refusals": dict(swarm.refusals),
    }


def _confirmed(swarm: Swarm, history: Sequence[BestChange]) -> list[dict[str, Any]]:
    """Every confirmation with what is true of it, in order of time."""
    anchor = baseline_id(swarm.challenge.challenge_id, CLASS)
    confirmed = list[dict[str, Any]]()
    for change in history:
        best = change.best
        if best.level is not Level.CONFIRMED or "refuted" in change.reason:
            continue
        code = swarm.codes[best.experiment_id]
        confirmed.append(
            {
                "experiment_id": best.experiment_id,
                "true_gain": round((swarm.codes[anchor].true_mean - code.true_mean) / SPREAD, 2),
                "has_forged_votes": bool(set(best.confirmed_by) & code.forged_votes),
                "confirmers_who_forged": sorted(set(best.confirmed_by) & code.forged_votes),
                "owners_who_forged": sorted(code.forged_votes),
                "is_forged": code.is_forged,
                "proposer": code.owner,
                "relied_on": code.relied_on,
                "minutes": (change.at - code.at).total_seconds() / 60,
            }
        )
        anchor = best.experiment_id
    return confirmed


def _by_strategy(swarm: Swarm, false_bests: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Of each strategy: the confirmed codes without a gain that one of its owners had a forged part in."""
    strategies = {one.owner: one.strategy for one in swarm.members}
    lying = sorted(set(strategies.values()) - {"honest"})
    figures = {
        one: {"false_bests_it_vouched_for": 0, "false_bests_it_proposed": 0, "large_gains_lost_it_hit": 0}
        for one in lying
    }
    for best in false_bests:
        for strategy in {strategies[owner] for owner in best["confirmers_who_forged"]}:
            figures[strategy]["false_bests_it_vouched_for"] += 1
        if best["is_forged"]:
            figures[strategies[best["proposer"]]]["false_bests_it_proposed"] += 1
    state_of = swarm.one.context.catalog.state_of
    for key, code in swarm.codes.items():
        if code.gain_in_spreads >= LARGE_GAIN and state_of(key) is ExperimentState.REFUTED:
            for strategy in {strategies[owner] for owner in code.bad_votes}:
                figures[strategy]["large_gains_lost_it_hit"] += 1
    return figures


def _verified_forged(swarm: Swarm) -> int:
    """Forged codes that got as far as being verified."""
    entries = [swarm.one.context.catalog.entry(key) for key, code in swarm.codes.items() if code.is_forged]
    return sum(any(not run.is_explore for run in entry.runs) for entry in entries if entry)


def _large_gains(swarm: Swarm, history: Sequence[BestChange]) -> dict[str, Any]:
    """True gains of two spreads or more that were measured honestly, and what became of them."""
    passed = {
        change.best.experiment_id
        for change in history
        if change.best.level in (Level.SELF_REPLICATED, Level.ONE_OWNER, Level.CONFIRMED)
    }
    strategies = {one.owner: one.strategy for one in swarm.members}
    invented = ("blocker", "copier", "guesser")
    found = {
        key: code
        for key, code in swarm.codes.items()
        if code.gain_in_spreads >= LARGE_GAIN and strategies.get(code.owner) not in invented
    }
    lost = [code for key, code in found.items() if key not in passed]
    return {
        "found": len(found),
        "lost": len(lost),
        "share_lost": round(len(lost) / len(found), 3) if found else None,
        "killed_with_forged_bad_results": sum(bool(code.bad_votes) for code in lost),
        "of_these_with_forged_gaps": sum(bool(code.forged_gaps) for code in lost),
    }


def _refuted_by_gaps(swarm: Swarm) -> dict[str, int]:
    """Codes that were taken for looking ahead, which none does."""
    refuted = [code for key, code in swarm.codes.items() if _seems_to_look_ahead(swarm, key)]
    return {
        "codes_with_forged_gaps": sum(bool(code.forged_gaps) for code in swarm.codes.values()),
        "true_gains_refuted_by_forged_gaps": sum(
            code.gain_in_spreads > 0 and bool(code.forged_gaps) for code in refuted
        ),
        "refuted_by_honest_gaps": sum(not code.forged_gaps for code in refuted),
    }


def _seems_to_look_ahead(swarm: Swarm, experiment_id: ExperimentId) -> bool:
    entry = swarm.one.context.catalog.entry(experiment_id)
    return (
        entry is not None and entry.state is ExperimentState.REFUTED and entry.reason.startswith(LOOKS_AHEAD)
    )


def _retries(swarm: Swarm) -> dict[str, int]:
    """What honest owners were answered who had the idea of a spoilt edit, and what came of those edits.

    ``refused`` are retries of edits that nobody has run honestly: the damage that a forged result does, but
    for those ``on_a_trusted_word``: a blocker that verifies honestly earns trust.
    """
    answers = ("asked", "granted", "refused", "refused_on_a_trusted_word", "refused_after_an_honest_run")
    state_of = swarm.one.context.catalog.state_of
    honest = [one.honest_id for one in swarm.spoilt if one.honest_id is not None]
    return {
        "spoilt_edits": len(swarm.spoilt),
        **{key: swarm.retries[key] for key in answers},
        "edits_run_honestly": len(honest),
        "edits_that_became_candidates": sum(state_of(one) in JUDGED for one in honest),
    }


def _trust(swarm: Swarm, state: Any) -> dict[str, Any]:
    voters = swarm.voters()
    liars = [one for one in swarm.members if one.strategy != "honest"]
    honest = [one for one in swarm.members if one.strategy == "honest"]

    def record(member: Member) -> list[float]:
        trust = trust_of(state, member.node.owner_id)
        return [trust.agreed, trust.strikes, round(trust.candour, 1)]

    return {
        "trusted_honest": sum(is_trusted(state, one.node.owner_id, voters) for one in honest),
        "honest": len(honest),
        "trusted_liars": [one.strategy for one in liars if is_trusted(state, one.node.owner_id, voters)],
        "trust_of_liars": {f"{one.strategy} {one.owner}": record(one) for one in liars},
        "trust_of_honest_untrusted": {
            one.owner: record(one) for one in honest if not is_trusted(state, one.node.owner_id, voters)
        },
    }


def _median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 1) if values else None


@lru_cache
def _reach(colluders: int, honest: int, yes: int, no: int, left: int) -> float:
    """Chance that a drawing gets to enough colluders, and twice as many as honest owners."""
    if yes >= COLLUDERS_TO_CONFIRM and yes >= 2 * no:
        return 1.0
    if left == 0 or colluders + honest == 0:
        return 0.0
    total = colluders + honest
    chance = 0.0
    if colluders:
        chance += colluders / total * _reach(colluders - 1, honest, yes + 1, no, left - 1)
    if honest:
        chance += honest / total * _reach(colluders, honest - 1, yes, no + 1, left - 1)
    return chance


def bound(owners: int, colluders: int, draws: int = 8) -> float:
    """Of a colluder's forged candidates, the share that can be confirmed at most."""
    return _reach(colluders - 1, owners - colluders, 0, 0, draws) if colluders else 0.0


def summed(swarms: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one share over all its swarms."""

    def total(key: str) -> int:
        return sum(one[key] for one in swarms)

    large = [one["large_gains"] for one in swarms]
    found, lost = sum(one["found"] for one in large), sum(one["lost"] for one in large)
    by_strategy: dict[str, Counter[str]] = {}
    for one in swarms:
        for strategy, figures in one["by_strategy"].items():
            by_strategy.setdefault(strategy, Counter()).update(figures)
            by_strategy[strategy]["swarms"] += 1
    retries = Counter[str]()
    for one in swarms:
        retries.update(one["retries_of_spoilt_edits"])
    return {
        "swarms": len(swarms),
        "publishes": total("publishes"),
        "experiments": total("experiments"),
        "confirmed": total("confirmed"),
        "confirmed_by_forged_results": total("confirmed_by_forged_results"),
        "false_bests_with_any_forged_vote": total("false_bests_with_any_forged_vote"),
        "false_by_chance_on_honest_votes": total("false_by_chance_on_honest_votes"),
        "of_these_with_a_forged_screen": total("of_these_with_a_forged_screen"),
        "by_strategy": {key: dict(value) for key, value in sorted(by_strategy.items())},
        "large_gains_found": found,
        "large_gains_lost": lost,
        "share_of_large_gains_lost": round(lost / found, 3) if found else None,
        "large_gains_killed_with_forged_bad_results": sum(
            one["killed_with_forged_bad_results"] for one in large
        ),
        "of_these_with_forged_gaps": sum(one["of_these_with_forged_gaps"] for one in large),
        "codes_with_forged_gaps": total("codes_with_forged_gaps"),
        "true_gains_refuted_by_forged_gaps": total("true_gains_refuted_by_forged_gaps"),
        "refuted_by_honest_gaps": total("refuted_by_honest_gaps"),
        "retries_of_spoilt_edits": dict(retries),
        "runs_per_experiment": round(total("publishes") / total("experiments"), 3),
        "audit_share_of_runs_max": max(one["audit_share_of_runs"] for one in swarms),
        "true_gain_in_spreads_mean": round(statistics.mean(one["true_gain_in_spreads"] for one in swarms), 1),
    }


def colluding_rate(swarms: Sequence[dict[str, Any]], colluders: int) -> dict[str, Any]:
    """How many forged codes of colluders were confirmed, beside the most that could be."""
    forged = sum(one["forged_experiments"] for one in swarms)
    verified = sum(one["verified_forged_experiments"] for one in swarms)
    confirmed = sum(one["confirmed_forged_experiments"] for one in swarms)
    false = sum(best["is_forged"] for one in swarms for best in one["false_bests"])
    return {
        "colluders": colluders,
        "forged_experiments": forged,
        "verified_forged_experiments": verified,
        "confirmed_forged_experiments": confirmed,
        "confirmed_forged_without_a_gain": false,
        "measured_rate_per_forged": round(confirmed / forged, 5) if forged else 0.0,
        "measured_rate_per_verified_forged": round(confirmed / verified, 5) if verified else 0.0,
        "measured_rate_without_a_gain": round(false / verified, 5) if verified else 0.0,
        "bound_per_verified_forged": round(bound(OWNERS, colluders), 5),
    }


async def report(arguments: argparse.Namespace) -> dict[str, Any]:
    reader = ReaderHere()
    shares = []
    kinds = [kind for kind in KINDS if arguments.kind in (None, kind)]
    try:
        for share in arguments.shares:
            lying = round(share * OWNERS)
            for kind in kinds if lying else kinds[:1]:
                is_colluding = kind == "colluding"
                swarms = [
                    await simulate(
                        reader,
                        lying=lying,
                        colluding=is_colluding,
                        publishes=arguments.publishes,
                        seed=seed,
                        strategies=arguments.strategies,
                    )
                    for seed in arguments.seeds
                ]
                one = {"share": share, "colluding": is_colluding, **summed(swarms)}
                if is_colluding:
                    one["colluders"] = colluding_rate(swarms, lying)
                shares.append({**one, "of_each_swarm": swarms})
    finally:
        await reader.close()
    return {"owners": OWNERS, "publishes_per_swarm": arguments.publishes, "shares": shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of the owners, lying")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="a swarm per share for each")
    parser.add_argument("--kind", choices=KINDS, help="of liars: each on its own or one group; else both")
    parser.add_argument("--strategies", choices=INDEPENDENT, nargs="+", default=INDEPENDENT)
    parser.add_argument("--publishes", type=int, default=PUBLISHES, help="of each swarm")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    print(json.dumps(asyncio.run(report(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
