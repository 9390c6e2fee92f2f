"""Whole nodes with an agent that costs: what it spent is on its results, and a spent budget ends the run."""

import pytest
from anthropic_brain import Brain
from anthropic_builders import agent_for
from autoresearch.model import ClaimId, Hypothesis, HypothesisId, Outcome, QueuedTask, Usage, utc_now
from fake_swarm import FakeSwarm, duplicate, make_lease
from messages_server import Fails, MessagesServer
from node_builders import BASELINE
from test_loop import Node, ScriptedAgent, scored

from node.agent.account import Cap
from node.agent.base import AgentError, AgentUnusable, BudgetSpent
from node.agent.search import SearchAgent
from node.library import source_hash
from node.loop import Ending
from node.purse import Budget, Purse
from node.state import Work


class PayingAgent(ScriptedAgent):
    """Pays a dollar for each idea, whether it comes or not."""

    async def propose(self, context):
        with context.account.call(Usage(cost_usd=1.0)) as bill:
            bill.usage = Usage(model="m", calls=1, output_tokens=10, cost_usd=1.0)
            return await super().propose(context)

    async def reflect(self, context, hypothesis, result):
        return None


def paying_node(tmp_path, swarm, agent, budget=None, **more):
    node = Node(tmp_path, swarm, agent, **more)
    purse = Purse(tmp_path / "purse.sqlite", budget or Budget(), now=utc_now)
    node.preparer._open_account = purse.open_account
    node.purse = purse
    return node


async def test_three_experiments_of_a_model_are_published_with_what_they_cost(tmp_path):
    async with MessagesServer(*[Brain()] * 20) as server:
        node = paying_node(tmp_path, FakeSwarm(), agent_for(server), max_experiments=3)

        ending = await node.run()

    usages = [publication.result.usage for publication in node.swarm.published]
    assert ending is Ending.DONE
    assert node.outcomes == [Outcome.COMPLETED] * 3
    assert len({publication.experiment.source_hash for publication in node.swarm.published}) == 3
    assert all(usage.model == "claude-sonnet-5-5" and usage.calls == 3 for usage in usages)
    assert all(usage.cost_usd > 0 and usage.output_tokens == 150 and usage.seconds > 0 for usage in usages)
    assert sum(usage.cost_usd for usage in usages) <= node.purse.spent_today().cost_usd
    assert server.complaints == []


async def test_ideas_that_came_to_nothing_are_on_the_bill_of_the_next(tmp_path):
    agent = PayingAgent(AgentError("no idea"), scored(1.5), scored(1.4, "again"))
    node = paying_node(tmp_path, FakeSwarm(verdicts=[duplicate()]), agent, max_experiments=1)

    await node.run()

    (publication,) = node.swarm.published
    assert (publication.result.usage.calls, publication.result.usage.cost_usd) == (3, 3.0)


async def test_a_repair_is_on_the_bill_of_the_experiment_that_it_makes(tmp_path):
    agent = PayingAgent("# fake: crash\n", scored(1.6), repairs=[scored(1.4, "repaired")])
    node = paying_node(tmp_path, FakeSwarm(), agent, max_experiments=3)

    await node.run()

    bills = [publication.result.usage.cost_usd for publication in node.swarm.published]
    assert bills == [1.0, 1.0, 0.0]


async def test_work_of_others_and_ideas_that_cost_nothing_have_no_bill(tmp_path):
    swarm = FakeSwarm()
    source = b"# fake: score 1.9\n"
    swarm.sources["queued"] = source
    swarm.tasks.append(
        QueuedTask(
            lease=make_lease(ClaimId("q")),
            hypothesis_id=HypothesisId("h"),
            hypothesis=Hypothesis(title="waiting"),
            parent=swarm._best(),
            source_hash=source_hash(source),
        )
    )
    node = paying_node(tmp_path, swarm, SearchAgent(node_id="n"), max_experiments=2)

    await node.run()

    assert [publication.result.usage for publication in swarm.published] == [None, None]


async def test_a_spent_budget_ends_the_run_after_the_experiment_in_hand(tmp_path):
    agent = PayingAgent(*[scored(1.5 - n / 100, str(n)) for n in range(5)])
    node = paying_node(tmp_path, FakeSwarm(), agent, Budget(total=Cap(usd=2.0)))

    ending = await node.run()

    assert ending is Ending.BUDGET_SPENT
    assert node.outcomes == [Outcome.COMPLETED] * 2
    assert node.purse.spent_in_total().cost_usd == 2.0
    assert "$2.0000 of $2 are spent" in node.loop.why
    assert (node.leases.held, node.swarm.released) == (set(), [])
    assert node.board.state.work is Work.STOPPED


async def test_a_budget_that_ends_amid_an_idea_gives_its_claim_back(tmp_path):
    async with MessagesServer(*[Brain()] * 20) as server:
        budget = Budget(day=Cap(tokens=8_000))
        node = paying_node(tmp_path, FakeSwarm(), agent_for(server, max_tokens=1_000), budget)

        ending = await node.run()

    assert ending is Ending.BUDGET_SPENT
    assert node.purse.spent_today().tokens <= 8_000
    assert node.leases.held == set()
    claimed, published = len(node.swarm.claims), len(node.swarm.published)
    assert published == len(node.swarm.started)
    assert len(node.swarm.released) == claimed - published


async def test_an_agent_that_cannot_work_as_it_is_set_up_ends_the_run_and_says_why(tmp_path):
    async with MessagesServer(Fails(401, "authentication_error", "invalid x-api-key")) as server:
        node = paying_node(tmp_path, FakeSwarm(), agent_for(server))

        ending = await node.run()

    assert ending is Ending.AGENT_UNUSABLE
    assert "authentication_error: invalid x-api-key" in node.loop.why


@pytest.mark.parametrize("error", [BudgetSpent("b"), AgentUnusable("u")])
async def test_what_is_claimed_for_an_idea_in_words_is_given_back_when_its_agent_ends(tmp_path, error):
    class Ended(ScriptedAgent):
        async def edit(self, context, hypothesis):
            raise error

    swarm = FakeSwarm()
    swarm.tasks.append(
        QueuedTask(
            lease=make_lease(ClaimId("q")),
            hypothesis_id=HypothesisId("h"),
            hypothesis=Hypothesis(title="waiting"),
            parent=swarm._best(),
            source_hash=None,
        )
    )
    node = Node(tmp_path, swarm, Ended(BASELINE))

    ending = await node.run()

    assert ending in (Ending.BUDGET_SPENT, Ending.AGENT_UNUSABLE)
    assert swarm.released == [("q", "the agent could not do it")]
