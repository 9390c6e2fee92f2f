import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from autoresearch.model import Usage

from node.agent.account import Account, Cap, sum_of
from node.agent.base import AgentError, BudgetSpent
from node.purse import Budget, Purse


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 2, 23, 30, tzinfo=UTC)

    def __call__(self):
        return self.now


def purse_at(path, clock=None, **caps):
    return Purse(path / "purse.sqlite", Budget(**caps), now=clock or Clock())


def dollars(amount):
    return Usage(cost_usd=amount)


def spend(account, amount, *, most=None):
    with account.call(dollars(amount if most is None else most)) as bill:
        bill.usage = dollars(amount)


def test_what_is_spent_is_kept_over_a_restart(tmp_path):
    purse = purse_at(tmp_path)
    spend(purse.open_account(), 0.25)
    purse.close()

    again = purse_at(tmp_path)

    assert again.spent_today().cost_usd == again.spent_in_total().cost_usd == 0.25


def test_a_call_that_could_pass_a_cap_is_not_made(tmp_path):
    purse = purse_at(tmp_path, day=Cap(usd=1.0))
    spend(purse.open_account(), 0.75)

    with pytest.raises(BudgetSpent, match=r"of the day is spent: \$0\.7500 of \$1 are spent and a call may"):
        spend(purse.open_account(), 0.1, most=0.3)

    spend(purse.open_account(), 0.25)
    assert purse.spent_today().cost_usd == 1.0


def test_workers_that_share_a_purse_leave_each_other_something(tmp_path):
    purse = purse_at(tmp_path, day=Cap(usd=1.0), total=Cap(tokens=1_000), is_shared=True)
    least = Usage(input_tokens=300, cost_usd=0.1)

    with (
        purse.open_account().call_within(Cap(), least=least) as (_, first),
        purse.open_account().call_within(Cap(usd=0.2), least=least) as (_, second),
    ):
        reserved = purse.spent_today()

    assert (first, second) == (Cap(usd=0.5, tokens=500), Cap(usd=0.2, tokens=300))
    assert (reserved.cost_usd, reserved.tokens) == (0.7, 800)


def test_a_day_begins_anew_at_midnight_utc_and_the_total_does_not(tmp_path):
    clock = Clock()
    purse = purse_at(tmp_path, clock, day=Cap(usd=1.0), total=Cap(usd=1.5))
    spend(purse.open_account(), 1.0)
    with pytest.raises(BudgetSpent, match="begins anew at 00:00 UTC"):
        purse.check()

    clock.now += timedelta(hours=1)
    purse.check()
    spend(purse.open_account(), 0.5)

    assert purse.spent_today().cost_usd == 0.5
    with pytest.raises(BudgetSpent, match="--budget-"):
        purse.check()


def test_a_call_over_midnight_counts_for_the_day_on_which_it_began(tmp_path):
    clock = Clock()
    purse = purse_at(tmp_path, clock)
    with purse.open_account().call(dollars(1.0)) as bill:
        clock.now += timedelta(hours=1)
        bill.usage = dollars(0.5)

    assert purse.spent_today().cost_usd == 0.0
    assert purse.spent_in_total().cost_usd == 0.5


def test_tokens_have_caps_of_their_own(tmp_path):
    purse = purse_at(tmp_path, total=Cap(tokens=1_000))
    with purse.open_account().call(Usage(input_tokens=900, output_tokens=50)):
        pass

    with pytest.raises(BudgetSpent, match="950 of 1,000 tokens are spent and a call may take 51"):
        spend_tokens(purse.open_account(), 51)


def spend_tokens(account, tokens):
    with account.call(Usage(output_tokens=tokens)):
        pass


def test_workers_cannot_reserve_the_same_money(tmp_path):
    first, second = (purse_at(tmp_path, day=Cap(usd=1.0)) for _ in range(2))

    with first.open_account().call(dollars(0.6)) as bill:
        with pytest.raises(BudgetSpent):
            spend(second.open_account(), 0.6)

        bill.usage = dollars(0.1)

    spend(second.open_account(), 0.6)
    assert first.spent_today().cost_usd == pytest.approx(0.7)


def test_a_call_whose_end_nobody_saw_stays_counted_in_full(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from datetime import UTC, datetime
from autoresearch.model import Usage
from node.purse import Budget, Purse
purse = Purse(Path({str(tmp_path / "purse.sqlite")!r}), Budget(), now=lambda: datetime.now(UTC))
with purse.open_account().call(Usage(cost_usd=0.3)) as bill:
    bill.usage = Usage(cost_usd=0.1)
with purse.open_account().call(Usage(cost_usd=0.5)) as bill:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ))

    assert done.returncode == -signal.SIGKILL
    assert purse_at(tmp_path).spent_in_total().cost_usd == pytest.approx(0.6)


def test_many_workers_together_stay_under_the_cap(tmp_path):
    purse_at(tmp_path)
    code = f"""
from pathlib import Path
from datetime import UTC, datetime
from autoresearch.model import Usage
from node.agent.account import Cap
from node.agent.base import BudgetSpent
from node.purse import Budget, Purse
now = lambda: datetime(2026, 1, 2, tzinfo=UTC)
purse = Purse(Path({str(tmp_path / "purse.sqlite")!r}), Budget(total=Cap(usd=1.0)), now=now)
try:
    while True:
        with purse.open_account().call(Usage(cost_usd=0.02)) as bill:
            bill.usage = Usage(cost_usd=0.015)
except BudgetSpent:
    pass
"""
    workers = [subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ)) for _ in range(3)]

    assert [worker.wait(120) for worker in workers] == [0, 0, 0]
    assert 0.9 < purse_at(tmp_path).spent_in_total().cost_usd <= 1.0


def test_an_experiments_cap_is_its_own_and_ends_no_day(tmp_path):
    purse = purse_at(tmp_path, experiment=Cap(usd=0.5))
    account = purse.open_account()
    spend(account, 0.4)

    with pytest.raises(AgentError, match=r"one experiment is spent: \$0\.4000 of \$0\.5") as caught:
        spend(account, 0.2)

    assert not isinstance(caught.value, BudgetSpent)
    spend(purse.open_account(), 0.2)
    assert account.usage == dollars(0.4)


def test_a_call_that_fails_is_settled_by_what_was_known_of_it(tmp_path):
    purse = purse_at(tmp_path)
    account = purse.open_account()

    def fail():
        with account.call(dollars(1.0)) as bill:
            bill.usage = dollars(0.25)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()

    assert account.usage.cost_usd == purse.spent_today().cost_usd == 0.25


def test_time_is_counted_and_costs_nothing(tmp_path):
    account = purse_at(tmp_path, experiment=Cap(usd=0.1)).open_account()

    account.add(Usage(seconds=12.0))

    assert account.usage == Usage(seconds=12.0)


def test_an_account_of_nobody_has_no_caps():
    account = Account()
    spend(account, 1_000.0)

    assert account.usage.cost_usd == 1_000.0
    assert Account().usage is None
    assert sum_of(None, None) is None
    assert sum_of(dollars(1.0), None) == sum_of(None, dollars(1.0)) == dollars(1.0)
