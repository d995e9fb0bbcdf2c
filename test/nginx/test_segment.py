# SPDX-License-Identifier: Apache-2.0
"""Segments: names, modes, sizes, strays. One that is written over costs the
workers the service, and nothing else; countless events hold up nobody."""

import os
import random
import re

import pytest

import conf
import leftovers
import proc
import segment
from conf import MODULE, NO_CALLBACK, Lua
from proc import wait
from rows import life, master_exit, master_start
from traced import TICKING

STRAY = f"/dev/shm/wm.{conf.own('test-stray')}.0123456789abcdef"


STARTED = {"spawned": """
        local p = io.popen("setsid sleep 999 >/dev/null 2>&1 & echo $!")
        wmt.note("sleeps", { pid = tonumber(p:read("*l")) })""", "forked": """
        local beside = require "beside"
        beside.fork(function()      -- so that it is nobody's child
            wmt.note("sleeps", { pid = beside.spawn("999") })
        end)"""}


@pytest.mark.parametrize("how", STARTED)
@pytest.mark.parametrize("where", ["before_init", "after_init", "before_join",
                                   "after_join"])
def test_a_program_that_the_server_starts_keeps_no_node(make, where, how):
    """An agent, or a helper for certificates, which outlives the server."""
    n = make(workers=1, **{where: STARTED[how]}).start()
    n.stop(life(1))
    assert n.segments() == []
    (sleeper,) = n.notes("sleeps")
    assert not proc.gone(sleeper["pid"])
    proc.kill(sleeper["pid"])


@pytest.mark.parametrize("shm", ["a/b", "sp ace", "é", "x" * 200, ".."])
def test_any_shm_name_makes_a_default_name(make, shm):
    n = make(dict=False, opts={"shm": shm}).start()
    assert len(n.segments()) == 1
    n.stop(life(2))


@pytest.mark.parametrize("length, mode, expected", [
    (0, None, 0o600), (63, 0o640, 0o640), (0, "0640", 0o640), (0, "660", 0o660),
    (0, 0o604, 0o604)])
def test_the_file_has_the_directory_name_and_mode_of_the_options(
        make, tmp_path, length, mode, expected):
    """A reload finds it there; it goes with the node."""
    tmp_path.chmod(0o777)
    name = conf.own("test-blue.1").ljust(length, "n")
    n = make(opts={"name": name, "directory": str(tmp_path), "mode": mode})
    old = os.umask(0o077)
    try:
        n.start()
    finally:
        os.umask(old)
    n.reload()
    (path,) = tmp_path.iterdir()
    assert path.name.rpartition(".")[0] == "wm." + name
    assert path.stat().st_mode & 0o7777 == expected
    n.stop(life(2, 2))
    assert not list(tmp_path.iterdir())


def test_the_loss_of_the_file_is_said_once(make):
    """By the worker that leads; the node works on. As they end, another one may
    lead for a moment, and say so as well."""
    n = make(workers=3, opts={"name": conf.own("test-removed"), "failed": 3600,
                              "interval": 0.1}, after_join=TICKING).start()
    (path,) = n.segments()
    said = f"segment's file {path} was removed"
    n.expect(said)
    os.unlink(path)
    n.wait_log(said)
    n.wait_note("tick", len(n.notes("tick")) + 9)
    assert len(n.log_lines(said)) == 1
    n.stop(life(3))


def test_a_full_table_is_loud_and_the_callback_still_runs(make, both):
    """Capacity 1, two workers: the second runs untracked."""
    n = make(workers=2, opts={"capacity": 1}, after_join=f"""
        wmt.try("beat", {MODULE}.beat)""", **both).start()
    n.modelled = n.complete = n.succeeds = False
    n.expect(r"\[error\].*manager: worker 1-\d+ is not tracked.*capacity", 1)
    assert len(n.events("worker_start")) == 2
    joined, beat = ({x["by"]: x for x in n.trace() if x.get("name") == name}
                    for name in ("on_init_worker", "beat"))
    refused, tracked = sorted(joined, key=lambda pid: "first" in joined[pid])
    assert joined[tracked]["first"] is beat[tracked]["first"] is True
    assert joined[refused]["second"]
    assert beat[refused]["second"].startswith("this worker is not tracked")
    n.stop()
    assert n.rows()[:1] == master_start(1)
    assert n.rows().count(master_exit(1)[0]) == 1
    for event in "worker_start", "worker_exit":
        assert {"slot" in x["info"]: x["n_mine"] for x in n.events(event)} == {
            True: 1, False: 2}, "one untracked is neither first nor last"


# A changed option, and what stays.
CHANGES = {
    "shm": ({"shm": "other"}, "the node's name stays my_shm-http-.* other-"),
    "name": ({"name": "other"}, "the node's name stays my_shm-.* not other:"),
    "directory": ({"directory": "/tmp"}, "directory stays /dev/shm, not /tmp:"),
    "capacity": ({"capacity": 65535}, "capacity stays 1024, not 65535:"),
    "mode": ({"mode": "0640"}, "mode stays 0600, not 0640:"),
    "log_entries": ({"log_entries": 64}, "log_entries stays 1024, not 64:"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_reload_goes_on_in_its_node_and_says_what_has_to_wait(make, what):
    opts, said = CHANGES[what]
    n = make(opts={"capacity": 1024}).start()
    n.reload(opts={"capacity": None})       # the default is no change
    n.expect(rf"\[warn\].*worker manager: {said}.* takes effect at the next "
             "start of nginx", 1)
    n.reload(opts=opts)
    assert n.log_lines(said)
    n.stop(life(2, 2, 2))


def write(data):
    with open(STRAY, "wb") as f:
        f.write(data)


# A stray file, the words about it, and whether it stays (None: it may).
STRAYS = {
    "damaged": (lambda: write(b"not a segment" * 100), "damaged", None),
    "a draft's": (lambda: write(segment.draft(conf.own("test-stray"))),
                  r"1 former segment\(s\)", False),
    "another user's": (lambda: (write(b"not a segment" * 100),
                                os.chown(STRAY, 65534, 65534)),
                       "of another user left alone", True),
}


@pytest.mark.parametrize("what", STRAYS)
def test_a_stray_file_of_its_name_does_no_harm(make, request, what):
    """It is not taken for a node, also if root made it; one of another user is
    left alone, also by root: its maker could tell us anything."""
    if what == "another user's":
        request.getfixturevalue("root")
    lay, said, stays = STRAYS[what]
    n = make(opts={"name": conf.own("test-stray")})
    lay()
    n.start()
    n.expect(rf"\[warn\].*worker manager: .*{said}.*wm\.test-stray", 1)
    assert list(n.mapped()) != [os.path.basename(STRAY)]
    assert stays in (None, os.path.lexists(STRAY))
    n.reload()
    n.stop(life(2, 2))
    assert "unclean" not in n.events("master_start")[0]["info"]
    assert stays in (None, os.path.lexists(STRAY))
    leftovers.remove([STRAY])


SEED = int(os.environ.get("WM_SEED") or random.randrange(1, 1 << 30))
LOST = r"\[error\].*worker manager: worker \d+-\d+ is not tracked any more"
UNTRACKED = r"\[error\].*worker manager: worker \d+-\d+ is not tracked: "
OURS = r"worker manager: "


def test_every_worker_says_once_that_the_segment_is_lost_and_serves_on(
        make, both):
    """A reload goes on without the service, until nginx restarts."""
    print(f"WM_SEED={SEED}")
    n = make(workers=3, opts={"name": conf.own("test-garbage"),
                              "interval": 0.1},
             after_join=TICKING, **both).start()
    n.modelled = n.complete = n.succeeds = False
    for said in (
            r"\[error\].*manager: not given: ", LOST, UNTRACKED,
            r"\[error\].*manager: cannot begin a generation: damaged",
            r"\[warn\].*manager: 1 damaged file",
            # One that was in the lock at that moment says so, too.
            r"manager: (events of other workers stay owed|what this"
            r" worker is to be told waits): damaged"):
        n.expect(said)
    (path,) = n.segments()
    n.mark = len(n.log())
    with open(path, "r+b") as f:
        f.write(random.Random(SEED).randbytes(os.path.getsize(path)))
    n.wait_log(LOST, 3)
    workers = n.current()
    said = n.log_lines(LOST)
    assert sorted(int(re.search(r"\d+-(\d+) is", x)[1]) for x in said) == (
        sorted(workers))
    loud = len(n.log_lines(OURS))
    before, ticks = sum(map(proc.cpu, workers)), len(n.notes("tick"))
    n.wait_note("tick", ticks + 30)     # ten heartbeats of each
    assert sum(map(proc.cpu, workers)) - before < 0.5, "somebody spins"
    assert len(n.log_lines(OURS)) == loud, "it is said again"
    assert n.current() == workers
    assert n.get() == 204
    n.reload()
    assert len(n.log_lines("cannot begin a generation: damaged")) == 1
    assert len(n.log_lines(UNTRACKED)) == 3
    assert n.get() == 204
    n.kill(n.current()[0])
    wait(lambda: len(n.current()) == 3, "the replacement")
    n.wait_log(UNTRACKED, 1)
    assert n.get() == 204
    n.stop()
    before = n.rows()
    n.start_again()
    n.stop(before + life(3))


MOST = 64       # of a kind that one timer, or one exit, tells
NOT_GIVEN = "worker manager: not given: "


def told_in_turn(event):
    """Lua of a callback that notes the how many-th of its timer it is."""
    return f"""
        local ctx = ngx.ctx
        ctx.{event} = (ctx.{event} or 0) + 1
        require("wmt").note("{event}", {{ turn = ctx.{event} }})"""


@pytest.mark.parametrize("owed, events", [
    ({"slot": 0}, ("failed", "recovered")), ({"generation": 1}, ("ended",))])
def test_events_without_number_keep_no_worker_in_its_timer(make, owed, events):
    """It tells some and goes on; the rest is told at the next interval. Of
    ends, the next start says how many are left."""
    n = make(opts={
        "interval": 0.1,
        "on_worker_failed": Lua(f'function() {told_in_turn("failed")} end'),
        "on_worker_recovered": Lua(
            f'function() {told_in_turn("recovered")} end')},
             callbacks={"master_exit": f"""
        if not ngx.worker.exiting() then {told_in_turn("ended")} end"""})
    n.start()
    n.modelled = n.complete = False
    n.expect(r"worker 1-\d+ (stalled|recovered)")
    segment.owe(n.segments()[0], **owed)
    for event in events:
        n.wait_note(event, 2 * MOST + 1)
        assert max(x["turn"] for x in n.notes(event)) == MOST
    assert n.get() == 204
    if "slot" in owed:      # they end with their worker
        n.replace(next(x["by"] for x in n.events("worker_start")
                       if x["info"]["slot"] == 0))
        n.stop()
    else:
        n.end("QUIT")
        assert n.start_again(unclean=True)["exits_owed"] > 1000


def test_recoveries_without_number_are_not_told_of_without_end(make):
    """By a worker that exits without the lock."""
    n = make(opts={"interval": 3600, "failed": 3600, "lock_timeout": 0.3},
             exit_worker=False, callbacks={"worker_exit": """
        if not wmt.opened("exit") then wmt.gate("exit") end"""}).start()
    n.modelled = n.complete = n.succeeds = False
    n.expect(NOT_GIVEN + "|its start callback")
    first, second = n.events("worker_start", 1)
    n.signal("QUIT", second["by"])
    n.wait_note("gate")
    segment.owe(n.segments()[0], slot=first["info"]["slot"])
    n.signal("QUIT", first["by"])
    n.wait_gone([first["by"]])
    assert len(n.log_lines(NOT_GIVEN + "worker_recovered")) == MOST
    n.open_gate("exit")


@pytest.mark.parametrize("how, params, logged", [
    ("TERM", {"exit_worker": False}, MOST),
    ("QUIT", {"callbacks": {"master_exit": NO_CALLBACK}}, 0)])
def test_ends_without_number_are_not_gone_through_without_end(
        make, how, params, logged):
    """They are logged as the VM is closed without a chance to tell them, and
    dropped where no function is told of ends."""
    n = make(workers=1, **params).start()
    n.modelled = n.complete = False
    n.expect(NOT_GIVEN)
    segment.owe(n.segments()[0], generation=1)
    n.end(how)
    assert len(n.log_lines(NOT_GIVEN + "master_exit of 1")) == logged
    assert n.start_again(unclean=True)["exits_owed"] > 1000
