"""What a supervisor does with workers that end as they like; the processes are a test's."""

import asyncio

from node.exit_codes import ExitCode
from node.restarts import RESTARTS_LIMIT
from node.seats import Seat
from node.stopping import Stop
from node.supervisor import Supervisor


class Worker:
    """Ends when a test says so, or when it is killed."""

    stdin = None

    def __init__(self, pid):
        self.pid = pid
        self.code = asyncio.get_running_loop().create_future()

    async def wait(self):
        return await self.code

    def kill(self):
        self.code.set_result(-9)


class Team:
    """A supervisor of two seats, each of whose workers lives as its script says."""

    def __init__(self, **scripts):
        self.scripts, self.stop = scripts, Stop()
        self.workers, self.slept, self.places = [], [], {}
        self.has_begun, self.has_lost_one = asyncio.Event(), asyncio.Event()
        self.supervisor = Supervisor(
            seats=[Seat(name=name) for name in scripts],
            launch=self.launch,
            stop=self.stop,
            on_change=self.see,
            sleep=self.sleep,
            monotonic=lambda: 0.0,
        )

    async def launch(self, seat):
        code = self.scripts[seat.name]
        if isinstance(code, OSError):
            raise code
        worker = Worker(len(self.workers))
        self.workers.append(worker)
        self.has_begun.set()
        if code is not None:
            worker.code.set_result(code)
        return worker

    async def sleep(self, wait_s):
        self.slept.append(wait_s)
        await asyncio.sleep(0)

    def see(self, places):
        self.places = {place.seat.name: place for place in places}
        if any(place.code is not None for place in places):
            self.has_lost_one.set()


async def test_a_worker_that_never_gets_going_is_given_up_while_the_other_goes_on():
    team = Team(bad=-11, good=None)
    running = asyncio.create_task(team.supervisor.run())
    await team.has_lost_one.wait()

    is_over = running.done()
    team.workers[1].code.set_result(0)

    assert not is_over
    assert await running is ExitCode.FAILURE
    assert team.places["bad"].restarts == RESTARTS_LIMIT
    assert (team.places["good"].code, team.places["good"].restarts) == (ExitCode.OK, 0)
    assert team.slept == sorted(team.slept)


async def test_a_worker_that_cannot_be_started_is_tried_again_like_one_that_died():
    team = Team(bad=OSError("no more processes"))

    assert await team.supervisor.run() is ExitCode.FAILURE
    assert len(team.slept) == RESTARTS_LIMIT


async def test_a_worker_that_does_not_leave_is_killed():
    team = Team(stuck=None)
    running = asyncio.create_task(team.supervisor.run())
    await team.has_begun.wait()

    team.stop.abort("asked")

    assert await running is ExitCode.FAILURE
    assert team.workers[0].code.result() == -9
