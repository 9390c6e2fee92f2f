from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.state import (
    LINK_TABLE,
    WORK_TABLE,
    IllegalTransition,
    Link,
    LinkEvent,
    NodeState,
    Work,
    WorkEvent,
    advance,
    diagram_mermaid,
)


def reachable(start):
    seen, queue = {start}, deque([start])
    while queue:
        for following in WORK_TABLE[queue.popleft()].values():
            if following not in seen:
                seen.add(following)
                queue.append(following)
    return seen


def test_the_tables_cover_every_state():
    assert set(WORK_TABLE) == set(Work)
    assert set(LINK_TABLE) == set(Link)


def test_every_state_can_be_reached_from_connecting():
    assert reachable(Work.CONNECTING) == set(Work)


@pytest.mark.parametrize("work", list(Work))
def test_every_state_can_come_to_a_stop(work):
    assert Work.STOPPED in reachable(work)


def test_stopped_is_the_end():
    for event in WorkEvent:
        with pytest.raises(IllegalTransition, match="stopped"):
            advance(NodeState(work=Work.STOPPED), event)


@pytest.mark.parametrize("work", [w for w in Work if w is not Work.STOPPED])
def test_a_stop_may_be_asked_at_any_moment(work):
    assert advance(NodeState(work=work), WorkEvent.STOP_ASKED).work is Work.DRAINING


@given(st.lists(st.sampled_from([*WorkEvent, *LinkEvent]), max_size=40))
def test_draining_never_goes_back_to_new_work(events):
    state = NodeState(work=Work.DRAINING)
    for event in events:
        try:
            state = advance(state, event)
        except IllegalTransition:
            continue

    assert state.work in {Work.DRAINING, Work.STOPPED}


@given(st.sampled_from(list(Work)), st.sampled_from(list(Link)), st.sampled_from(list(LinkEvent)))
def test_the_link_changes_without_touching_the_work(work, link, event):
    after = advance(NodeState(work=work, link=link), event)

    assert after.work is work
    assert after.link is (Link.SOLO if event is LinkEvent.COORDINATOR_LOST else Link.ONLINE)


def test_a_node_that_trains_alone_says_so():
    state = advance(NodeState(work=Work.TRAINING), LinkEvent.COORDINATOR_LOST)

    assert state.label == "training (solo)"


def test_the_diagram_shows_every_step_that_leads_elsewhere():
    steps = [(s, e, t) for s, row in WORK_TABLE.items() for e, t in row.items() if s is not t]

    for source, event, target in steps:
        assert f"{source} --> {target}: {event}" in diagram_mermaid()
    assert diagram_mermaid().startswith("stateDiagram-v2\n")
