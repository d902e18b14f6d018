"""Whose turn it is at one model."""

import asyncio

import pytest

from models_app.serving.engine import ServingError
from models_app.serving.fairness import FairQueue


def served_in_order(slots, owners, **limits):
    """Who is served, in order, when all ask at once and each answer takes one tick."""

    async def ask(queue, owner, order):
        leave = await queue.enter(owner)
        order.append(owner)
        await asyncio.sleep(0.001)
        leave()

    async def run():
        queue, order = FairQueue(slots, **limits), []
        await asyncio.gather(*(ask(queue, owner, order) for owner in owners))
        assert (queue.running, queue.waiting) == (0, 0)
        return order

    return asyncio.run(run())


def test_one_who_asks_once_does_not_wait_for_all_of_one_who_asks_often():
    order = served_in_order(2, ["a"] * 10 + ["b"])

    assert order.index("b") == 2  # the first to get a slot after the two that were free


def test_those_who_wait_take_turns():
    assert served_in_order(1, [*"aaa", *"bbb", "c"]) == ["a", "b", "c", "a", "b", "a", "b"]


def test_who_holds_fewer_slots_goes_first():
    async def run():
        queue = FairQueue(2)
        first, second = await queue.enter("a"), await queue.enter("a")
        waiting = [asyncio.create_task(queue.enter(owner)) for owner in ("a", "b")]
        await asyncio.sleep(0)
        first()
        await asyncio.sleep(0)
        done = [task.done() for task in waiting]
        second()
        [(await task)() for task in waiting]
        return done

    assert asyncio.run(run()) == [False, True]


def test_a_full_queue_refuses_and_one_owner_fills_but_half_of_it():
    async def run():
        queue = FairQueue(1, max_waiting=4)
        leave = await queue.enter("a")

        async def pass_through(owner):
            (await queue.enter(owner))()

        tasks = [asyncio.create_task(pass_through("a")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ServingError) as refused:
            await queue.enter("a")
        tasks += [asyncio.create_task(pass_through(owner)) for owner in "bc"]
        await asyncio.sleep(0)
        with pytest.raises(ServingError):
            await queue.enter("d")
        leave()
        await asyncio.gather(*tasks)
        assert (queue.running, queue.waiting) == (0, 0)
        return refused.value.code

    assert asyncio.run(run()) == "rate_limit_exceeded"


def test_one_who_leaves_the_queue_takes_no_slot():
    async def run():
        queue = FairQueue(1)
        leave = await queue.enter("a")
        impatient = asyncio.create_task(queue.enter("b"))
        patient = asyncio.create_task(queue.enter("c"))
        await asyncio.sleep(0)
        impatient.cancel()
        leave()
        (await patient)()
        return queue.running, queue.waiting

    assert asyncio.run(run()) == (0, 0)


def test_a_slot_given_to_one_who_leaves_at_that_moment_goes_on_to_the_next():
    async def run():
        queue = FairQueue(1)
        leave = await queue.enter("a")
        impatient = asyncio.create_task(queue.enter("b"))
        patient = asyncio.create_task(queue.enter("c"))
        await asyncio.sleep(0)
        leave()  # b's turn, but b does not know yet
        impatient.cancel()
        (await asyncio.wait_for(patient, 5))()
        return queue.running, queue.waiting

    assert asyncio.run(run()) == (0, 0)


def test_a_slot_is_given_back_once():
    async def run():
        queue = FairQueue(1)
        leave = await queue.enter("a")
        leave()
        leave()
        await queue.enter("a")
        return queue.running

    assert asyncio.run(run()) == 1
