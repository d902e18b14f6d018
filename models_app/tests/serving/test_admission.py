"""Whose turn it is, and who is sent away."""

import asyncio

import pytest

from models_app.serving.admission import Admission, Limits
from models_app.serving.errors import ServingError


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def ask(admission, order, model, owner):
    ticket = await admission.enter(model, owner)
    order.append(owner)
    return ticket


def test_owners_take_turns_for_each_slot_that_comes_free():
    async def story():
        admission, order = Admission(Limits(model_slots=1)), []
        first = await admission.enter("m", "greedy")
        asked = [*["greedy"] * 5, "modest", "third"]
        waiting = [asyncio.create_task(ask(admission, order, "m", owner)) for owner in asked]
        await settle()
        admission.leave(first)
        while len(order) < len(asked):
            await settle()
            done = next(task for task in waiting if task.done())
            waiting.remove(done)
            admission.leave(done.result())
        return order

    assert asyncio.run(story())[:3] in (
        ["modest", "third", "greedy"],
        ["third", "modest", "greedy"],
    )


def test_the_last_slot_is_kept_free_of_an_owner_who_has_rivals():
    async def story():
        admission = Admission(Limits(model_slots=4))
        admission.leave(await admission.enter("m", "modest"))
        held = [asyncio.create_task(admission.enter("m", "greedy")) for _ in range(6)]
        await settle()
        taken = sum(task.done() for task in held)
        mine = asyncio.create_task(admission.enter("m", "modest"))
        await settle()
        for task in held:
            task.cancel()
        return taken, mine.done()

    assert asyncio.run(story()) == (3, True)


def test_an_owner_alone_takes_all_slots():
    async def story():
        admission = Admission(Limits(model_slots=4))
        held = [asyncio.create_task(admission.enter("m", "alone")) for _ in range(6)]
        await settle()
        taken = sum(task.done() for task in held)
        for task in held:
            task.cancel()
        return taken

    assert asyncio.run(story()) == 4


def test_one_owner_cannot_hold_the_whole_server_by_many_models():
    async def story():
        admission = Admission(Limits(model_slots=2, total_slots=3))
        admission.leave(await admission.enter("other", "modest"))
        held = [asyncio.create_task(admission.enter(f"m{n}", "greedy")) for n in range(5)]
        await settle()
        taken = sum(task.done() for task in held)
        for task in held:
            task.cancel()
        return taken

    assert asyncio.run(story()) == 2


@pytest.mark.parametrize(
    ("limits", "owners", "code"),
    [
        (Limits(model_slots=1, model_queue=2), "abcd", "server_busy"),
        (Limits(model_slots=1, total_queue=2), "abcd", "server_busy"),
        (Limits(model_slots=1, owner_queue=2), "aaaa", "rate_limit_exceeded"),
    ],
)
def test_a_full_queue_refuses_and_says_when_to_come_again(limits, owners, code):
    async def story():
        admission = Admission(limits)
        tasks = [asyncio.create_task(admission.enter("m", owner)) for owner in owners]
        await settle()
        last = tasks.pop()
        with pytest.raises(ServingError) as refused:
            await last
        waiting = admission.facts()["waiting"]
        for task in tasks:
            task.cancel()
        return refused.value, waiting

    error, waiting = asyncio.run(story())
    assert (error.code, waiting) == (code, 2)
    assert 1 <= error.retry_after <= 60


def test_one_who_stops_waiting_leaves_no_trace():
    async def story():
        admission = Admission(Limits(model_slots=1))
        first = await admission.enter("m", "a")
        gone = asyncio.create_task(admission.enter("m", "b"))
        await settle()
        gone.cancel()
        await settle()
        admission.leave(first)
        admission.leave(first)
        facts = admission.facts()
        return facts["active"], facts["waiting"]

    assert asyncio.run(story()) == (0, 0)


def test_a_slot_granted_in_the_moment_of_leaving_is_given_back():
    async def story():
        admission = Admission(Limits(model_slots=1))
        first = await admission.enter("m", "a")
        second = asyncio.create_task(admission.enter("m", "b"))
        await settle()
        admission.leave(first)  # granted, but its task has not run yet
        second.cancel()
        await settle()
        return admission.facts()["active"]

    assert asyncio.run(story()) == 0


def test_models_do_not_wait_for_each_other():
    async def story():
        admission = Admission(Limits(model_slots=1))
        await admission.enter("busy", "a")
        blocked = asyncio.create_task(admission.enter("busy", "a"))
        await admission.enter("free", "a")
        blocked.cancel()

    asyncio.run(asyncio.wait_for(story(), 5))
