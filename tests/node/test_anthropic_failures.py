import asyncio

import pytest
from anthropic_builders import Pauses, agent_for, ends, replaces, states
from autoresearch.model import Hypothesis
from messages_server import KEY, Fails, Garbage, Hangs, MessagesServer, Says, call, text, thought
from node_builders import make_context

from node.agent.account import Account, Cap
from node.agent.base import AgentError, AgentUnusable, BudgetSpent
from node.agent.prices import own_price
from node.purse import Budget, Purse

IDEA = Hypothesis(title="Warmer")


@pytest.mark.parametrize(
    "failure",
    [
        Fails(529, "overloaded_error"),
        Fails(500, "api_error"),
        Fails(503, "api_error"),
        Fails(400, "invalid_request_error", headers={"x-should-retry": "true"}),
        Says.of(text("Half"), drop_after=4),
        Says.of(text("Half"), end_after=4),
        Says.of(text("Half"), error_after=(3, "overloaded_error")),
        Says.of(call("state_hypothesis"), raw_input='{"title": }'),
        Garbage(),
    ],
    ids=lambda failure: repr(failure)[:60],
)
async def test_what_passes_is_tried_again(failure):
    pauses = Pauses()
    async with MessagesServer(failure, failure, states()) as server:
        proposal = await agent_for(server, pauses=pauses).propose(make_context())

    assert proposal.hypothesis.title == "MATRIX_LR 0.04 -> 0.05"
    assert len(server.requests) == 3
    assert 0.5 <= pauses.taken[0] <= 1.0 <= pauses.taken[1] <= 2.0


async def test_a_server_that_says_when_to_come_back_is_obeyed():
    pauses = Pauses()
    limited = Fails(429, "rate_limit_error", headers={"retry-after": "17"})
    async with MessagesServer(limited, states()) as server:
        await agent_for(server, pauses=pauses).propose(make_context())

    assert pauses.taken == [17.0]


async def test_a_server_that_says_to_come_back_much_later_is_left_for_now():
    pauses = Pauses()
    limited = Fails(429, "rate_limit_error", "over the limit", headers={"retry-after": "3600"})
    async with MessagesServer(limited) as server:
        with pytest.raises(AgentError, match="asked again in 3600 s only: rate_limit_error: over the limit"):
            await agent_for(server, pauses=pauses).propose(make_context())

    assert pauses.taken == []


async def test_a_server_that_stays_overloaded_is_given_up_after_six_attempts():
    pauses = Pauses()
    async with MessagesServer(*[Fails(529, "overloaded_error", "busy")] * 6) as server:
        with pytest.raises(AgentError, match="in 6 attempts; the last: overloaded_error: busy"):
            await agent_for(server, pauses=pauses).propose(make_context())

    assert (len(server.requests), len(pauses.taken)) == (6, 5)
    assert all(pause <= 30.0 for pause in pauses.taken)


async def test_a_server_that_cannot_be_reached_is_a_clear_error_and_costs_nothing():
    context = make_context()
    async with MessagesServer() as server:
        url = server.url
    with pytest.raises(AgentError, match=r"did not answer well in 6 attempts; the last: the connection"):
        await agent_for(server, url=url).propose(context)

    assert context.account.usage.tokens == 0


async def test_a_server_that_says_nothing_is_not_waited_for():
    async with MessagesServer(Hangs(), states()) as server:
        await agent_for(server, silence_limit_s=0.2).propose(make_context())

    assert len(server.requests) == 2


async def test_a_conversation_has_a_time_limit():
    async with MessagesServer(Hangs()) as server:
        with pytest.raises(AgentError, match=r"not done after 0\.3 s"):
            await agent_for(server, time_limit_s=0.3).propose(make_context())


@pytest.mark.parametrize(
    "failure",
    [
        Fails(401, "authentication_error", "invalid x-api-key"),
        Fails(402, "billing_error", "no credit"),
        Fails(403, "permission_error", "not yours"),
        Fails(404, "not_found_error", "model: claude-none"),
    ],
    ids=lambda failure: failure.kind,
)
async def test_a_setup_that_will_never_work_ends_the_agent(failure):
    async with MessagesServer(failure) as server:
        with pytest.raises(AgentUnusable, match=f"{failure.kind}: {failure.message}; check the key"):
            await agent_for(server).propose(make_context())

    assert len(server.requests) == 1


async def test_a_call_that_is_refused_is_not_repeated():
    async with MessagesServer(Fails(400, "invalid_request_error", "thinking: no")) as server:
        with pytest.raises(AgentError, match="refuses the call: invalid_request_error: thinking: no"):
            await agent_for(server).propose(make_context())


async def test_a_redirect_is_not_followed_since_the_key_would_go_along():
    async with MessagesServer() as elsewhere:
        moved = Fails(307, "api_error", headers={"location": f"{elsewhere.url}/v1/messages"})
        async with MessagesServer(moved) as server:
            with pytest.raises(AgentError, match=r"refuses the call|attempts"):
                await agent_for(server).propose(make_context())

    assert elsewhere.headers == []


async def test_a_key_that_the_server_repeats_is_in_no_message():
    async with MessagesServer(key="another") as server:
        with pytest.raises(AgentUnusable, match=r"invalid api key \[key\]") as caught:
            await agent_for(server).propose(make_context())

    assert KEY in server.complaints[0]
    assert KEY not in str(caught.value)


async def test_a_key_at_the_place_where_a_message_is_cut_is_hidden_too():
    long = Fails(400, "invalid_request_error", "x" * 270 + KEY)
    async with MessagesServer(long) as server:
        with pytest.raises(AgentError, match="xxx") as caught:
            await agent_for(server).propose(make_context())

    assert KEY[:6] not in str(caught.value)


async def test_a_refusal_of_the_model_is_told_with_its_reason():
    refusal = Says.of(text("I cannot help."), stop="refusal", detail={"category": "frontier_llm"})
    async with MessagesServer(refusal) as server:
        with pytest.raises(AgentError, match=r"refuses the task \(frontier_llm\); it said: I cannot help\."):
            await agent_for(server).propose(make_context())


async def test_what_was_cut_off_is_not_carried_out_and_the_model_told_so():
    cut = Says.of(
        text("So"),
        call("edit_train_py"),
        raw_input='{"command": "str_replace", "old_str": "MATRIX_LR = 0.04 ", "new_str": "MAT',
        stop="max_tokens",
    )
    musing = Says.of(thought("Well", signature=""), stop="max_tokens")
    async with MessagesServer(cut, musing, replaces(), ends()) as server:
        source = await agent_for(server).edit(make_context(), IDEA)

    assert "MATRIX_LR = 0.05 " in source
    assert "You were cut off after 50 tokens" in server.users()[1]
    assert server.complaints == []


async def test_a_model_that_is_cut_off_again_and_again_is_given_up_with_the_way_out():
    async with MessagesServer(*[Says.of(text("So"), stop="max_tokens")] * 3) as server:
        with pytest.raises(AgentError, match=r"cut off 3 times after 50 tokens; .*--agent-max-tokens"):
            await agent_for(server).edit(make_context(), IDEA)


async def test_a_paused_turn_goes_on_where_it_stopped():
    paused = Says.of(text("Let me think."), stop="pause_turn")
    async with MessagesServer(paused, states()) as server:
        await agent_for(server).propose(make_context())

    assert [message["role"] for message in server.requests[1]["messages"]] == ["user", "assistant"]


async def test_a_full_window_in_the_middle_begins_again_with_less():
    full = Says.of(text("So"), stop="model_context_window_exceeded")
    async with MessagesServer(full, states()) as server:
        await agent_for(server).propose(make_context())

    assert len(server.requests) == 2


async def test_an_unknown_stop_is_an_error_that_names_it():
    async with MessagesServer(Says.of(text("So"), stop="tired")) as server:
        with pytest.raises(AgentError, match="unknown reason: 'tired'"):
            await agent_for(server).propose(make_context())


async def test_several_calls_in_one_message_are_each_answered():
    both = Says.of(
        call("edit_train_py", command="view", view_range=[5, 5]),
        call("edit_train_py", command="insert", insert_line=0, insert_text="# warm"),
        call("no_such_tool", x=1),
    )
    async with MessagesServer(both, ends()) as server:
        source = await agent_for(server).edit(make_context(), IDEA)

    assert source.startswith('# warm\n"""A tiny')
    results = server.requests[1]["messages"][-1]["content"]
    assert [result.get("is_error", False) for result in results] == [False, False, True]
    assert server.complaints == []


async def test_a_model_that_cannot_use_its_tools_is_given_up():
    wrong = Says.of(call("edit_train_py", command="fly"))
    async with MessagesServer(*[wrong] * 9) as server:
        with pytest.raises(AgentError, match=r"wrongly 9 times; the last: there is no command 'fly'"):
            await agent_for(server).edit(make_context(), IDEA)


async def test_a_conversation_has_a_limit_of_turns():
    look = Says.of(call("edit_train_py", command="view"))
    async with MessagesServer(*[look] * 30) as server:
        with pytest.raises(AgentError, match="did not come to an end in 24 turns"):
            await agent_for(server).edit(make_context(), IDEA)

    assert len(server.requests) == 24


async def test_what_was_heard_before_a_connection_broke_is_paid_for():
    context = make_context()
    broken = Says.of(text("x" * 300), drop_after=40)
    async with MessagesServer(broken, states()) as server:
        await agent_for(server).propose(context)

    usage = context.account.usage
    assert (usage.calls, usage.is_estimate) == (2, True)
    assert usage.output_tokens == 50 + (40 - 3) * 7 // 3


async def test_a_call_that_is_cancelled_is_paid_for_as_far_as_anyone_knows():
    context = make_context()
    async with MessagesServer(Hangs()) as server:
        running = asyncio.create_task(agent_for(server).propose(context))
        await server.arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert (context.account.usage.calls, context.account.usage.is_estimate) == (1, True)
    assert context.account.usage.input_tokens > 500


async def test_the_cap_of_an_experiment_ends_its_conversation():
    look = Says.of(call("edit_train_py", command="view"))
    price = own_price(read_usd=0.0, written_usd=1_000.0)
    account = Account(cap=Cap(usd=4.1))
    async with MessagesServer(*[look] * 30) as server:
        with pytest.raises(AgentError, match=r"budget of one experiment is spent: \$0\.1500 of \$4\.1") as e:
            await agent_for(server, price=price).edit(make_context(account=account), IDEA)

    assert not isinstance(e.value, BudgetSpent)
    assert len(server.requests) == 3


async def test_no_call_is_made_that_could_pass_the_cap_of_the_day(tmp_path):
    look = Says.of(call("edit_train_py", command="view"))
    budget = Budget(day=Cap(tokens=20_000))
    purse = Purse(tmp_path / "purse.sqlite", budget, now=lambda: make_context().parent.since)
    account = purse.open_account()
    async with MessagesServer(*[look] * 30) as server:
        with pytest.raises(BudgetSpent, match=r"budget of the day is spent: .* of 20,000 tokens"):
            await agent_for(server).edit(make_context(account=account), IDEA)

    assert 3 < len(server.requests) < 24
    assert purse.spent_today().tokens == account.usage.tokens <= 20_000


async def test_an_estimate_learns_from_what_the_server_counts():
    async with MessagesServer(states(), states()) as server:
        agent = agent_for(server)
        before = agent._counter.count("x" * 400)
        await agent.propose(make_context())

    assert before == 100
    assert agent._counter.count("x" * 400) > 100
