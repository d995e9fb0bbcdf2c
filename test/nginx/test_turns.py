# SPDX-License-Identifier: Apache-2.0
"""Callbacks run one at a time: what the others do meanwhile, how long they
wait, and what becomes of their own on a fast stop."""

import pytest

import leftovers
import proc
import segment
from proc import wait
from rows import life
from told import opts, told

# Overdue after 5 s, in a callback for 6; nobody waits longer than 11 s for one
# of them, but the third waits for two.
SLOW = {"interval": 1, "failed": 4, "lock_timeout": 11}
KINDS = {"blocking": "wmt.usleep(6000000)", "yielding": "ngx.sleep(6)"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_reload_of_slow_starts_and_exits(make, exit_worker, kind):
    """The new workers wait for their turn among the old, asleep; nobody is
    judged."""
    slow = {event: f"if info.generation == {gen} then {how} end"
            for event, gen, how in (("worker_exit", 1, KINDS[kind]),
                                    ("worker_start", 2, KINDS["blocking"]))}
    n = make(opts=opts(**SLOW), callbacks=slow, exit_worker=exit_worker).start()
    old, used = n.current(), {}
    n.hup()

    def over():
        used.update({p: max(proc.cpu(p), used.get(p, 0))
                     for p in proc.children(n.master)})
        return (all(map(proc.gone, old))
                and len(n.events("worker_start", 2, True)) == 2)
    wait(over, "the end", 3 * proc.DEADLINE)
    assert used and max(used.values()) < 1.5, f"somebody spun: {used}"
    n.wait_up()
    n.stop()
    assert not n.log_lines("stalled|crashed|not given")
    for what in "start", "exit":
        assert n.log_lines(r"waited \d+\.\d s for the callbacks of others"
                           rf" \(worker {what}\), at last for pid \d+")
    assert told(n, "failed") == told(n, "recovered") == []


@pytest.mark.parametrize("how", ['wmt.gate("exit")', 'wmt.gate("exit", true)'])
def test_other_event_loops_go_on(make, how):
    """While one is in its exit callback: those that wait for their own, and
    those of the next generation."""
    n = make(callbacks={"worker_exit": f"""
        if info.generation == 1 and n_mine == 2 then {how} end"""}).start()
    lines, ask = n.hold_all(), "return ngx.worker.pid()"
    n.reload(old_gone=False)
    (holder,) = n.wait_note("gate")
    (waiter,) = set(lines) - {holder}
    for _ in range(20):
        assert n.say(lines[waiter], ask) == str(waiter)
        assert n.get() == 204
        if "true" in how:
            assert n.say(lines[holder], ask) == str(holder)
    assert len(n.events("worker_exit", 1)) == 1, "still in its callback"
    n.open_gate("exit")
    n.let_go(lines)
    n.stop(life(2, 2))


def test_one_that_has_given_its_exit_does_not_wait_for_the_last(make):
    """It only looks whether it is that: a TERM that follows on the QUIT could
    not reach it there."""
    n = make(opts={"lock_timeout": 3600}, callbacks={
        "worker_exit": 'wmt.gate("exit" .. n_mine)'}).start()
    pids = n.current()
    n.signal("QUIT")
    (first,) = n.wait_note("gate")
    (last,) = set(pids) - {first}
    wait(lambda: n.look(segment.next_in_turn) == last, "the other to queue")
    n.open_gate("exit2")
    n.wait_note("gate", 2)
    n.wait_gone([first])
    n.open_gate("exit1")
    n.wait_end()
    n.check_rows(life(2))


def test_each_start_and_each_exit_takes_the_lock_once(make):
    """If nothing has come up since its turn, a worker leaves without it."""
    n = make(workers=3).start()
    before = n.look(segment.holdings)
    n.reload()
    assert n.look(segment.holdings) - before == 1 + 3 + 3
    n.stop(life(3, 3))


def test_an_end_that_cannot_be_given_yet_is_logged(make):
    """The last one closes its generation as it leaves, since the other one was
    killed, and does not get the lock."""
    n = make(opts={"interval": 3600, "failed": 3600}).start()
    n.modelled = n.complete = False
    held = n.hold_all()
    last, killed = held
    n.pause([killed])
    n.hup()
    n.wait_events("worker_start", 2, 2)
    n.wait_events("worker_exit", 1)
    n.hup(callbacks={"worker_start": 'wmt.gate("start")'})
    n.wait_note("gate")
    n.kill(killed)
    n.expect("not given yet: master_exit of 1")
    held.pop(last).close()
    n.wait_gone([last])
    assert n.log_lines("not given yet: master_exit of 1")
    n.open_gate("start")
    n.wait_up()
    n.wait_events("master_exit", 1)
    n.stop()


def test_a_start_that_waited_longer_than_lock_timeout(make, both):
    """One holder too long: the queue goes on, and is told late."""
    n = make(workers=3, opts={"lock_timeout": 0.2},
             callbacks={"worker_start": 'wmt.gate("start")'}, **both)
    n.modelled = False
    n.start(ready=False)
    n.wait_log("serves before its start callback", 2)
    n.expect("serves before its start callback", 2)
    n.expect("still waits for its start callback")
    n.open_gate("start")
    n.wait_up()
    n.wait_events("worker_start", 1, 3)
    pids = n.current()
    n.pause(pids)
    n.signal("QUIT")
    for pid in pids:        # each exits while nobody else waits for its turn
        n.resume([pid])
        n.wait_gone([pid])
    n.wait_end()
    n.check_rows(life(3))


def test_a_yielding_callback_overtaken_by_term(make, dict_):
    """It neither deadlocks nor repeats itself: its coroutine never resumes,
    and what comes after is still given."""
    n = make(dict=dict_, callbacks={"worker_exit": """
        if n_mine ~= 1 then wmt.note("sleeps") ngx.sleep(600) end"""}).start()
    n.modelled = False
    n.signal("QUIT")
    sleepers = n.wait_note("sleeps")
    n.killed |= set(sleepers)       # they never end
    n.stop_fast(life(2), first=sleepers)


def test_those_that_wait_to_start_hear_of_a_fast_stop(make, dict_):
    """They cannot listen to nginx there, but look; nginx kills the other."""
    n = make(workers=12, dict=dict_,
             callbacks={"worker_start": 'wmt.gate("start")'})
    n.start(ready=False)
    n.modelled = n.complete = n.succeeds = False
    (holder,) = n.wait_note("gate")
    waiters = wait(
        lambda: (found := [p for p in proc.children(n.master)
                           if p != holder and proc.stat(p)[0] == "S"])
        and len(found) == 11 and found, "the others")
    n.killed.add(holder)
    n.expect(f"{holder} exited on signal 9|worker 1-{holder} crashed")
    for waiter in waiters:
        n.expect(f"worker 1-{waiter} serves before its start callback")
        n.expect(f"not given: worker_(start|exit) of 1-{waiter}: pid {holder}"
                 " has held")
    n.stop(how="TERM")
    for waiter in waiters:
        assert n.log_lines(f"not given: worker_start of 1-{waiter}")
    leftovers.remove(n.segments())      # the next start would be told


def waited(make, how, jit="on"):
    """What a function of lua/waiting.lua returns in a worker."""
    n = make(workers=1, before_init=f'jit.{jit}() require("waiting")',
             after_join=f"""
        ngx.timer.at(0, function()
            wmt.note("waited", {{ result = require("waiting").{how}() }})
        end)""").start()
    n.wait_note("waited")
    return n.notes("waited")[0]["result"]


@pytest.mark.parametrize("how, numbers", [("asleep", 3), ("polling", 2)])
def test_a_slice_of_a_wait_allocates_nothing(make, how, numbers):
    """In 10,000 slices; the least that there is has 16 bytes. The interpreter
    boxes numbers of 64 bits that C returns or a struct has, 24 bytes each, and
    allocates nothing else."""
    assert waited(make, how) < 10000 * 16 / 4
    assert waited(make, how, "off") == 10000 * 24 * numbers


def test_those_that_wait_look_one_after_the_other(make):
    """Not all at once, although all begin at the same time."""
    assert waited(make, "places") < 3


def test_two_waits_that_take_turns_have_a_patience_each(make):
    """Each ends when it has seen one holder for longer than lock_timeout."""
    assert waited(make, "interleaved") == (
        "first after 1100ULL, second after 1600ULL")
