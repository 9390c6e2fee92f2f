"""Three owners, real processes, real training: what becomes of a gain, of a lucky seed and of a lie.

Ada's node tries edits that do nothing until one run of them is lucky, then a true improvement; Grace's and
Mallory's nodes verify. Then Mallory's node publishes an invented score, Grace builds on it, she and Ada
verify it, and what she built is tried again on the best. With ``--challenge pocket`` all of it happens on a
weakened copy of ``pocket`` with a shorter budget and a shorter validation text. Any other folder is taken as
it is, with the edits that ``--better``, ``--later`` and ``--forged`` name: the last should do harm, and the
one before it gain much even so.

Prints a ledger in JSON, then what ``leaderboard`` and ``show`` print. Exit code 1 if a promise is broken:

- ``class_opened``: three runs of the baseline open the class;
- ``lucky_seed_not_promoted``: one edit without effect passed the screen, none got beyond provisional;
- ``gain_confirmed``: the improvement went from provisional to confirmed, by two other owners;
- ``lie_refuted``: the invented score was provisional at most, and the best before it is built on again;
- ``descendants_requeued``: what was built on the lie has no level from it, and was run again on the best;
- ``all_visible``: ``leaderboard`` and ``show`` say so, and of the descendant why it was queued.

The rule itself confirms a lucky seed in less than one per cent of the drills.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from autoresearch.challenge import Challenge, find_challenge, load_challenge
from autoresearch.errors import Unavailable
from autoresearch.model import (
    ExperimentId,
    ExperimentQuery,
    ExperimentState,
    ExperimentSummary,
    Idea,
    Purpose,
    Result,
)
from bench.forging_node import Lie, publish_lie
from bench.owners_ledger import (
    AGAIN,
    DESCENDANT,
    GAIN,
    IDLE,
    LIE,
    LUCKY,
    Pages,
    Story,
    View,
    has_ended,
    is_decided,
    is_open,
    ledger_of,
    line_of,
)
from bench.planned_agent import edited
from local_swarm import COORDINATOR, LocalSwarm, SwarmFailed, program

from node.logs import set_up_logging

ADA, GRACE, MALLORY = "ada", "grace", "mallory"
OWNERS = (ADA, GRACE, MALLORY)
POLL_S = 1.0
LISTED = 200
IDLE_EDITS_FIRST, IDLE_EDITS_LIMIT = 12, 40
"""Each passes a screen against the mean of three runs with a chance of about a third; in one drill of 13
these were so lucky themselves that none of twelve does. Then the rest is tried on the improvement."""

LIE_IN_SPREADS = 12.0
"""How much better than the best the lie claims to be."""

AGENT = Path(__file__).with_name("planned_agent.py")
AGENT_LIMIT_S = 7200
QUEUED_WITHIN_S = 60.0
"""What a refutation calls for is queued after it, not with it."""

WEAKENED = {"BATCH_SIZE": "24", "EMBEDDING_LR": "0.002"}
BETTER, LATER, FORGED = "BATCH_SIZE=4", "EMBEDDING_LR=0.05", "MATRIX_LR=0.0003"
"""With a budget of 6 s and one seed the baseline scores 1.69; the first gains 0.29 on it, the second 0.09 on
the first. The third costs 0.56 on the first, and the second gains 0.26 on that: it does not beat the best
before the lie, and is worth another try."""

VALIDATION_BYTES = 96_000
SPREAD_OF_COPY = 0.03
HIDDEN_GAP_OF_COPY = {"pair_sd": 0.045, "run_sd": 0.06}
"""Less of a shorter text is hidden: pocket's, times about the root of how much shorter it is."""

PATIENCE = {"launch_s": 900, "setup_s": 600, "train_wall_s": 1800, "eval_s": 600}
"""Limits of the copy: a busy machine makes the drill slow, not wrong."""


@dataclass(slots=True, kw_only=True)
class Drill:
    """The swarm with the plans of its agents."""

    swarm: LocalSwarm
    challenge: Challenge
    limit_s: float
    began: float = field(default_factory=time.monotonic)
    edits: int = 0

    def start(self, owner: str, *, proposes: bool) -> None:
        """The owner's node, with a planned agent or with none."""
        if not proposes:
            self.swarm.start_node(owner, "--agent", "none")
            return
        plan = self.plan_of(owner)
        plan.mkdir(parents=True, exist_ok=True)
        command = shlex.join([sys.executable, str(AGENT), str(plan), "{workdir}"])
        limit = ("--agent-time-limit", str(AGENT_LIMIT_S))
        self.swarm.start_node(owner, "--agent", "command", "--agent-command", command, *limit)

    def restart(self, *owners: str, proposes: bool) -> None:
        """The owners' nodes leave together and come back."""
        self.leave(*owners)
        for owner in owners:
            self.start(owner, proposes=proposes)

    def leave(self, *owners: str) -> None:
        """The owners' nodes give back what they have and leave."""
        self.swarm.stop(*owners, sig=signal.SIGTERM)

    def plan_of(self, owner: str) -> Path:
        return self.swarm.root / "plans" / owner

    def plan(self, owner: str, title: str, rationale: str, **edit: Any) -> None:
        """One more edit for an owner's agent."""
        plan = {"title": title, "rationale": rationale, "constants": {}, "lines": "", "due_on": "", **edit}
        draft = self.plan_of(owner) / f"{self.edits:03}.part"
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(plan))
        draft.rename(draft.with_suffix(".json"))
        self.edits += 1

    def view(self) -> View:
        """What readers see now."""
        return asyncio.run(self._view())

    async def _view(self) -> View:
        reader = self.swarm.reader()
        try:
            page = await reader.experiments(ExperimentQuery(limit=LISTED))
            return View(
                experiments=page.experiments, history=await reader.progress(), ideas=await reader.ideas()
            )
        finally:
            await reader.close()

    def runs_of(self, *experiment_ids: ExperimentId) -> dict[ExperimentId, tuple[Result, ...]]:
        """The runs of each."""
        return asyncio.run(self._runs_of(experiment_ids))

    async def _runs_of(
        self, experiment_ids: Iterable[ExperimentId]
    ) -> dict[ExperimentId, tuple[Result, ...]]:
        reader = self.swarm.reader()
        try:
            return {one: (await reader.experiment(one))[1] for one in experiment_ids}
        finally:
            await reader.close()

    def wait(self, what: str, is_done: Callable[[View], bool]) -> View:
        """Until the readers see it."""
        self.say(f"waiting for {what}")
        deadline = time.monotonic() + self.limit_s
        while time.monotonic() < deadline:
            self.swarm.check()
            with contextlib.suppress(Unavailable):  # where the coordinator is kept from answering for a while
                if is_done(view := self.view()):
                    return view
            time.sleep(POLL_S)
        raise SwarmFailed(f"not seen within {self.limit_s:.0f} s: {what}")

    def wait_for_run(self, what: str, find: Callable[[View], list[ExperimentSummary]]) -> ExperimentSummary:
        """The first of those that ``find`` finds, once it has run."""
        view = self.wait(what, lambda view: has_ended(find(view)))
        found = next(one for one in find(view) if has_ended([one]))
        self.say(line_of(found))
        if not found.runs:
            raise SwarmFailed(f"{what}: the run ended as {found.state} ({found.reason})")
        return found

    def wait_for_verdict(self, what: str, experiment_id: ExperimentId) -> None:
        """Until verification has decided."""
        view = self.wait(f"the verdict on {what}", lambda view: is_decided(view.of(experiment_id)))
        self.say(line_of(view.of(experiment_id)))

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", file=sys.stderr, flush=True)

    def printed(self, *arguments: str) -> str:
        """What a reader's command prints."""
        argv = [program("autoresearch-node"), *arguments, self.swarm.address]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Parse, drill, print."""
    options = parsed()
    set_up_logging("text", "error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with tempfile.TemporaryDirectory(prefix="three-owners-") as folder:
        root = Path(folder)
        is_copy = options.challenge == "pocket"
        place = weakened(root / "challenge", options.seconds) if is_copy else Path(options.challenge)
        subprocess.run(
            [sys.executable, "-m", "trainer", "prepare", "--challenge", str(place)],
            check=True,
            stdout=sys.stderr,
        )
        swarm = LocalSwarm(root=root, serve_options=("--challenge", str(place)))
        drill = Drill(swarm=swarm, challenge=load_challenge(place), limit_s=options.limit)
        try:
            ledger, pages = carry_out(drill, options)
        except SwarmFailed as error:
            sys.exit(f"error: {error}")
        finally:
            swarm.stop(*OWNERS, sig=signal.SIGTERM)
            swarm.stop(COORDINATOR, sig=signal.SIGTERM)
    print(json.dumps(ledger, indent=1))
    print(f"\n$ autoresearch-node leaderboard\n{pages.leaderboard}")
    for role, text in pages.shown.items():
        print(f"\n$ autoresearch-node show {ledger['roles'][role]['id']}    # {role}\n{text}")
    sys.exit(0 if all(ledger["promises"].values()) else 1)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--challenge", default="pocket", help="pocket (a weakened copy) or a folder")
    parser.add_argument("--seconds", type=int, default=6, help="budget of the copy of pocket (default 6)")
    parser.add_argument("--better", default=BETTER, help=f"the true improvement (default {BETTER})")
    parser.add_argument("--later", default=LATER, help=f"what is built on the lie (default {LATER})")
    parser.add_argument("--forged", default=FORGED, help=f"the edit that is lied about (default {FORGED})")
    parser.add_argument("--limit", type=float, default=1200, help="longest time of one step in seconds")
    return parser.parse_args()


def weakened(folder: Path, seconds: int) -> Path:
    """A copy of pocket whose baseline has two constants that are known to be bad."""
    shutil.copytree(find_challenge("pocket"), folder, ignore=shutil.ignore_patterns("__pycache__"))
    manifest, train = folder / "challenge.toml", folder / "train.py"
    settings = {"seconds": seconds, "bytes": VALIDATION_BYTES, "prior_sd": SPREAD_OF_COPY}
    settings |= HIDDEN_GAP_OF_COPY | PATIENCE
    text = manifest.read_text().replace('name = "pocket"', 'name = "pocket-weakened"')
    for name, value in settings.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        if not count:
            raise SwarmFailed(f"pocket's challenge.toml has no {name}")
    manifest.write_text(text)
    train.write_text(edited(train.read_text(), {"constants": WEAKENED, "lines": ""}))
    return folder


def carry_out(drill: Drill, options: argparse.Namespace) -> tuple[dict[str, Any], Pages]:
    """The whole story, then its ledger and what the readers' commands print of it."""
    better, later, forged = (constants_of(text) for text in (options.better, options.later, options.forged))
    drill.swarm.start_coordinator()
    for owner in OWNERS:
        drill.swarm.make_token(owner)
    drill.start(ADA, proposes=True)
    drill.start(GRACE, proposes=False)
    drill.start(MALLORY, proposes=False)
    drill.wait("three runs of the baseline", is_open)
    roles = act_honestly(drill, better)
    roles[LIE] = forge(drill, forged)
    roles[DESCENDANT] = build_on(drill, roles[LIE], later, forged)
    refute(drill, roles[LIE])
    if again := try_again(drill, roles):
        roles[AGAIN] = again
    view = drill.view()
    took_s = round(time.monotonic() - drill.began)
    pages = Pages(
        leaderboard=drill.printed("leaderboard"),
        shown={role: drill.printed("show", one) for role, one in roles.items()},
    )
    runs = drill.runs_of(view.baseline_id, *roles.values())
    story = Story(challenge=drill.challenge, view=view, roles=roles, runs=runs, pages=pages)
    return {"took_s": took_s, **ledger_of(story)}, pages


def act_honestly(drill: Drill, better: dict[str, str]) -> dict[str, ExperimentId]:
    """The lucky seed and the true improvement, as a rule in this order."""
    lucky = try_until_lucky(drill, range(1, IDLE_EDITS_FIRST + 1))
    gain = improve(drill, better)
    if lucky is None:
        drill.restart(ADA, proposes=True)  # its next edit would start from the baseline
        lucky = try_until_lucky(drill, range(IDLE_EDITS_FIRST + 1, IDLE_EDITS_LIMIT + 1))
    if lucky is None:
        raise SwarmFailed(f"none of {IDLE_EDITS_LIMIT} edits without effect was lucky: run the drill again")
    return {LUCKY: lucky, GAIN: gain}


def try_until_lucky(drill: Drill, numbers: Iterable[int]) -> ExperimentId | None:
    """Ada's edits that do nothing, one after the other, until a run passes the screen; then its end."""
    for number in numbers:
        title = f"{IDLE}{number}:"
        drill.plan(
            ADA,
            f"{title} a constant that nobody reads",
            "It does nothing: whatever this run gains is luck.",
            lines=f"\nIDLE = {number}  # read by nobody\n",
        )
        found = drill.wait_for_run(f"edit without effect, number {number}", partial(titled, title))
        if found.state is not ExperimentState.COMPLETED:
            drill.wait_for_verdict("the lucky seed", found.experiment.experiment_id)
            return found.experiment.experiment_id
    return None


def improve(drill: Drill, constants: dict[str, str]) -> ExperimentId:
    """Ada's true improvement, until two others have confirmed it or it is out."""
    title = words(constants)
    drill.plan(ADA, title, "Undoes what makes this baseline weak.", constants=constants)
    found = drill.wait_for_run("the improvement", partial(titled, title))
    drill.wait_for_verdict("the improvement", found.experiment.experiment_id)
    return found.experiment.experiment_id


def forge(drill: Drill, constants: dict[str, str]) -> ExperimentId:
    """Mallory's invented score for an edit of the best. It looks like an honest run of the baseline."""
    drill.leave(MALLORY)
    baseline_id = drill.view().baseline_id
    honest = drill.runs_of(baseline_id)[baseline_id]
    lie = Lie(
        title=words(constants),
        rationale="Nobody has run this: the score is invented.",
        constants=constants,
        gain=LIE_IN_SPREADS * drill.view().history[-1].best.spread,
        model=next(one for one in honest if one.purpose is Purpose.BASELINE),
    )
    token = drill.swarm.make_token(MALLORY).read_text()
    node_dir = drill.swarm.node_dir(MALLORY)
    published = asyncio.run(publish_lie(drill.swarm.address, node_dir, token, drill.challenge, lie))
    if published.best is None or published.best.title != lie.title:
        raise SwarmFailed("the invented score did not pass the screen")
    drill.say(f"mallory published an invented score; the swarm builds on {published.best.title!r}")
    return published.best.experiment_id


def build_on(
    drill: Drill, lie: ExperimentId, constants: dict[str, str], forged: dict[str, str]
) -> ExperimentId:
    """Grace's edit of what the swarm now takes for its best. Ada's node is between two ideas meanwhile."""
    due_on = "".join(f"\n{name} = {value}" for name, value in forged.items())
    title = words(constants)
    drill.plan(GRACE, title, "A good idea on a bad base.", constants=constants, due_on=due_on)
    drill.restart(GRACE, proposes=True)
    found = drill.wait_for_run("an edit that builds on the lie", lambda view: view.children(lie))
    return found.experiment.experiment_id


def refute(drill: Drill, lie: ExperimentId) -> None:
    """Ada and Grace verify, as every node without an agent does."""
    drill.restart(ADA, GRACE, proposes=False)
    drill.wait_for_verdict("the lie", lie)


def try_again(drill: Drill, roles: dict[str, ExperimentId]) -> ExperimentId | None:
    """What was queued anew is run on the present best; None if nothing was queued."""
    idea = queued(drill, roles[DESCENDANT])
    drill.say(f"queued to be tried again: {idea.hypothesis.title if idea else 'nothing'}")
    if idea is None:
        return None

    def tries(view: View) -> list[ExperimentSummary]:
        return [one for one in view.titled(idea.hypothesis.title) if one.experiment.parent != roles[LIE]]

    drill.restart(GRACE, proposes=True)
    return drill.wait_for_run("another try of it on the present best", tries).experiment.experiment_id


def queued(drill: Drill, origin: ExperimentId) -> Idea | None:
    """What waits to be tried because of an experiment."""
    deadline = time.monotonic() + QUEUED_WITHIN_S
    while time.monotonic() < deadline:
        found = [one for one in drill.view().ideas if one.origin_experiment_id == origin]
        if found:
            return found[0]
        time.sleep(POLL_S)
    return None


def titled(title: str, view: View) -> list[ExperimentSummary]:
    return view.titled(title)


def constants_of(text: str) -> dict[str, str]:
    name, _, value = text.partition("=")
    return {name: value}


def words(constants: dict[str, str]) -> str:
    return ", ".join(f"{name} becomes {value}" for name, value in constants.items())


if __name__ == "__main__":
    main()
