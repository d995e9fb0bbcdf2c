# SPDX-License-Identifier: Apache-2.0
"""A start, reloads and a stop, in each kind of configuration and process."""

import os
import pwd
import signal

import pytest

import conf
import proc
from rows import born, life, master_start, of, respawn, starts, stopped


@pytest.mark.parametrize("sizes", [(1,), (5,), (2, 2, 2), (2, 4, 1), (64, 64)])
def test_every_worker_counts_up_then_down(make, both, sizes):
    """In a segment that lives as long as the node; the next life has one of its
    own."""
    n = make(workers=sizes[0], **both).start()
    assert n.rows() == starts(1, sizes[0])
    (name,) = n.mapped()
    for workers in sizes[1:]:
        n.reload(workers=workers)
    assert n.segments() == ["/dev/shm/" + name]
    n.stop(life(*sizes))
    assert n.segments() == []
    n.start_again()
    assert len(n.segments()) == 1 and list(n.mapped()) != [name]
    n.stop(life(*sizes) + life(sizes[-1]))


@pytest.mark.parametrize("how", ["-s quit", "TERM", "INT", "-s stop"])
def test_each_way_to_stop_gives_the_exits(make, dict_, how):
    """One worker: of a fast stop that takes a second, nginx makes an end."""
    make(dict=dict_, workers=1).start().stop(life(1), how)


def test_exits_are_given_when_the_shutdown_begins(make, both):
    """And not again on a fast stop that comes upon it."""
    n = make(**both).start()
    held = n.hold_all()
    n.signal("QUIT")
    n.wait_events("master_exit")
    assert set(n.workers()) == set(held), "they still serve"
    n.expect("open socket .* left in connection|: aborting$")
    n.stop(life(2), "TERM")


def test_a_dropped_exit_timer_is_made_up_for(make, dict_, exit_worker):
    """One timer that runs drops it, for lua_max_running_timers;
    exit_worker_by_lua* gives the exit, and without that, it is logged."""
    n = make(dict=dict_, exit_worker=exit_worker,
             http="lua_max_running_timers 1;", after_join="""
        ngx.timer.at(0, function()
            wmt.note("occupied")
            while not ngx.worker.exiting() do ngx.sleep(0.005) end
            ngx.sleep(0.1)
        end)""").start()
    n.expect("lua_max_running_timers are not enough")
    n.modelled = n.complete = exit_worker
    n.wait_note("occupied", 2)
    n.reload()
    n.wait_note("occupied", 4)
    n.stop()
    assert n.log_lines("lua_max_running_timers are not enough")
    assert not n.log_lines("crashed")
    if exit_worker:
        n.check_rows(life(2, 2))
    else:
        assert not n.events("worker_exit")
        assert len(n.log_lines("not given: worker_exit")) == 4


def test_a_fast_stop_without_exit_worker_logs_what_is_not_given(make, dict_):
    """So it is no unclean end: the next start has nothing to be told."""
    n = make(dict=dict_, exit_worker=False).start()
    n.complete = False
    n.reload()
    gone = [f"worker_exit of 2-{p}" for p in n.current()]
    n.stop_fast(born(2, 2))
    for what in [*gone, "master_exit of 2"]:
        assert len(n.log_lines(f"manager: not given.*{what}")) == 1
    n.start_again()
    n.stop(born(2, 2) + life(2))


EVERY_WAIT_IS_SLOW = """
    local function upvalue(fn, name)
        for i = 1, 60 do
            local found, value = debug.getupvalue(fn, i)
            if found == name then return value, i end
        end
    end
    local warn = upvalue(require("resty.worker.manager.lock").acquire_asleep,
                         "warn_of_wait")
    debug.setupvalue(warn, select(2, upvalue(warn, "SLOW_MS")), -1)"""


def test_a_worker_that_closes_its_vm_calls_nothing_of_nginx(make):
    """A line of the log would use a request that is gone."""
    n = make(exit_worker=False, before_join=EVERY_WAIT_IS_SLOW)
    n.env = {**os.environ, "MALLOC_PERTURB_": "165"}
    n.start().reload()
    assert n.log_lines(r"waited \S+ s for the callbacks of others")
    n.stop(life(2, 2))


def test_the_last_worker_closes_its_generation_also_without_the_lock(make):
    """A start of the next generation has it until the old worker is gone."""
    n = make(workers=1, exit_worker=False, callbacks={"worker_start": """
        if info.generation == 2 then
            wmt.gate("start")
            wmt.note("old", require("resty.worker.manager").generations()[1])
        end"""}).start()
    n.modelled = n.complete = False
    (old,) = n.current()
    n.hup()
    n.wait_note("gate")
    os.kill(old, signal.SIGTERM)
    proc.wait(lambda: proc.gone(old), "its end")
    n.open_gate("start")
    n.wait_note("old")
    assert n.notes("old")[0]["state"] == "gone"
    n.expect("not given")
    n.stop()
    assert [r[5] for r in n.rows() if r[:2] == ("master_exit", 1)] == ["reload"]


# A request, whose views answer, too.
REQUESTS = """
    location /lua { content_by_lua_block {
        local M = require("resty.worker.manager")
        assert(#M.workers() > 0 and #M.generations() > 0 and M.beat() == true
               and M.leader() ~= nil)
        ngx.say(ngx.worker.pid())
    } }"""
NO_CACHE = "lua_code_cache is off; this will hurt performance"
KINDS = {
    "plain": {},
    "daemon, other user": {"daemon": True, "user": "www-data"},
    "cache helpers": {
        "http": "proxy_cache_path cache keys_zone=cache:1m;"},
    "a command before": {"before_init": "os.execute('exit 0')"},
    "no code cache": {"user": "root", "code_cache": False,
                      "server": REQUESTS},
    "no /dev/shm": {"daemon": True, "user": "www-data"},
}


def kill_helpers(n):
    """Those of the start close their copy of the VM; nobody counts them, nor
    their deaths."""
    def helpers():
        return [p for p in proc.children(n.master)
                if proc.title(p).startswith("nginx: cache ")]
    proc.wait(lambda: len(helpers()) == 2, "the manager and the loader")
    n.expect("exited on signal 9", 3)       # and a worker's
    proc.kill(*helpers())


def change_user(n):
    """The workers inherit the segment, which they may not open."""
    (path,) = n.segments()
    seen = os.stat(path)
    assert (seen.st_uid, seen.st_mode & 0o777) == (0, 0o600)
    uid = pwd.getpwnam("www-data").pw_uid
    assert {os.stat(f"/proc/{p}").st_uid for p in n.workers()} == {uid}
    n.reload(user="root")
    assert {os.stat(f"/proc/{p}").st_uid for p in n.workers()} == {0}


def visit(n, inits, process=3):
    """Each request runs init_by_lua*, in a worker."""
    for _ in range(4):
        assert n.get("/lua") == 200
    assert [x["process"] for x in n.notes("init")[inits:]] == [process] * 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["graceful", "fast", "no exit_worker"])
def test_a_whole_life(make, root, request, dict_, kind, end):
    """Without a /dev/shm, anonymous memory serves, after one warning."""
    n = make(dict=dict_, exit_worker=end != "no exit_worker", **KINDS[kind])
    if kind == "no code cache":
        n.expect(NO_CACHE)
    if kind == "no /dev/shm":
        n.wrap = request.getfixturevalue("no_dev_shm")
        n.expect(r"\[warn\].*worker manager: .*anonymous memory", 1)
    n.start()
    assert bool(n.mapped()) is (kind != "no /dev/shm")
    if kind == "cache helpers":
        kill_helpers(n)
    n.bind_fails()
    if kind == "daemon, other user":
        change_user(n)
    else:
        n.reload()
    n.replace(n.started(3)[0])
    if kind == "no code cache":
        visit(n, 3)
    stop = n.stop_fast if end == "fast" else n.stop
    stop(born(2, None, 2) + respawn(3, 3, 0) + stopped(2, None, 2))
    assert len(n.log_lines("crashed")) == 1
    first, second, _ = n.events("master_start")
    assert (first["by"] != second["by"]) is n.daemon, "the first process left"


def test_a_reload_in_the_usual_course_of_time(make, both):
    """Nothing is held up here; the model knows every legal order. Each
    generation runs its own callbacks."""
    n = make(**both).start()
    for gen in (2, 3):
        n.hup(callbacks={
            "master_exit": f'wmt.note("exit of " .. id, {{ gen = {gen} }})'})
        n.wait_events("worker_start", gen, 2)
        n.wait_events("master_exit", gen - 1)
    n.stop()
    for gen in (1, 2, 3):
        assert of(n.rows(), gen) == of(life(2, 2, 2), gen)
        assert [x["gen"] for x in n.notes(f"exit of {gen}")] == (
            [gen] if gen > 1 else [])


FAILING = {     # parameters, and what they are logged by
    "syntax": ({"http": "nonsense;"}, "unknown directive"),
    "syntax at the end": ({"tail": "nonsense;"}, "unknown directive"),
    "bind": ({"server": "listen unix:none/s;", "callbacks": {
        "master_start": 'require("beside").fork(function() end)'}},
             "bind.. to unix:none/s failed"),
    "the user's own": ({"after_init": 'error("the user\'s own")'},
                       "init_by_lua error: .*the user's own"),
    "a callback": ({"callbacks": {
        "master_start": 'error("raised on purpose", 0)'}},
                   "(?m)init_by_lua error: raised on purpose$"),
}


@pytest.mark.parametrize("why", FAILING)
def test_reloads_that_fail_leave_the_node_as_it_is(make, both, why):
    """Twice in a row while old workers still serve, and before the stop. An
    error of a callback goes on to nginx unchanged."""
    params, said = FAILING[why]
    n = make(**both).start()
    held = n.drain()
    n.expect("the master_start callback of .* raised: .*raised on purpose",
             3 if why == "a callback" else 0)
    n.expect(said, 3)
    for _ in range(2):
        n.reload_fails(said, **params)
    assert n.get() == 204
    n.let_go(held)
    n.reload()
    n.reload_fails(said, **params)
    # Without a dict, init_by_lua* has run when the end is read.
    began = why != "syntax" and (why != "syntax at the end" or not both["dict"])
    failed = [None] * began
    n.stop(life(2, 2, *failed, *failed, 2, *failed))


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("why", ["bind", "a callback"])
def test_a_start_that_fails_leaves_nothing(make, both, daemon, why):
    """And the good one after it is told nothing."""
    n = make(daemon=daemon, opts={"name": conf.own("test-failed-start")},
             **FAILING[why][0], **both)
    n.start_fails()
    n.check_rows(master_start(1))
    assert n.segments() == []
    if why == "a callback":
        n.expect("the master_start callback of 1 raised: .*on purpose", 1)
        n.expect("raised on purpose|traceback")
        n.killed.add(n.events("master_start")[0]["by"])
    n.params.update(server="", callbacks={})
    n.start_again()
    n.stop(master_start(1) + life(2))


ONE = {"master_process": False, "workers": 1}


@pytest.mark.parametrize("how", ["QUIT", "TERM"])
def test_a_single_process(make, both, how):
    """Debian's nginx fires no premature timers here: without
    exit_worker_by_lua*, no exit is given."""
    n = make(**both, **ONE, after_join="""wmt.note("its", {
        master = require("resty.worker.manager").generations()[1].master })
        """).start()
    assert n.get() == 204
    n.bind_fails()      # begins no generation
    if both["exit_worker"]:
        n.stop(life(1), how)
        n.params.update(daemon=True, code_cache=False, server=REQUESTS)
        n.daemon = True
        n.expect(NO_CACHE)
        n.start_again()
        visit(n, len(n.notes("init")), process=0)
        n.stop(life(1) * 2, how)
        assert [x["master"] == x["by"] for x in n.notes("its")] == [True] * 2
    else:
        n.complete = False
        n.stop(starts(1, 1), how)
        assert n.log_lines("worker manager: not given: worker_exit of 1-")
        assert n.log_lines("worker manager: not given: master_exit of 1")


def test_a_reload_of_a_single_process_begins_no_generation(make, dict_):
    """init_by_lua* runs again, init_worker_by_lua* does not.

    After it, this nginx answers no request, runs no timer and no
    exit_worker_by_lua*, with or without the module; the next start is told.
    """
    n = make(dict=dict_, **ONE).start()
    for count in (2, 3):
        n.hup()
        n.wait_note("init", count)
    n.expect("worker_connections are not enough|could not create fake conn")
    n.stop(starts(1, 1))
    assert len(n.notes("up")) == 1
    told = n.start_again(unclean=True)
    assert (told["exits_owed"], told["workers"]) == (1, 1)
    n.stop(starts(1, 1) + life(1))


def test_prefix_file_and_shm_name_tell_nodes_apart(make, both):
    """Their default instance names have them and the subsystem, whatever the
    shell calls a prefix; nothing that one node does is seen in another."""
    a, c = make(**both), make(workers=3, **both)
    for n in a, c:      # each in its own directory
        n.called = "./"
        n.start()
    b = make(beside=a, listen="unix:t", **both).start()
    names = a.instances | b.instances | c.instances
    assert len(names) == 3 and all("http" in x for x in names), names
    a.reload()
    c.replace(c.started(1)[0])
    a.stop(life(2, 2))
    assert a.segments() == [] and len(c.segments()) == 1
    b.stop(life(2))
    b.params["opts"] = {"shm": "other"}
    b.start_again()
    assert len(b.instances) == 2 and len(names | b.instances) == 4
    b.stop(life(2) * 2)
    c.reload()
    rows = starts(1, 3) + respawn(4) + life(3, 3)[4:]
    c.stop(rows)
    c.called = f"../{os.path.basename(c.prefix)}/./"
    c.start_again()
    c.stop(rows + life(3))
    assert len(c.instances) == 1


@pytest.mark.parametrize("flag", ["-t", "-T"])
def test_a_configuration_test_leaves_the_node_alone(make, both, flag):
    n = make(opts={"name": conf.own("test-never-started")}, **both)

    def unmoved():
        before = n.rows(), n.segments()
        assert n.run(flag).returncode == 0
        assert (n.rows(), n.segments()) == before
    n.configure()
    unmoved()
    assert n.segments() == []
    n.start()
    unmoved()
    n.reload_fails("'capacity'", opts={"capacity": 0}, lua_cpath="/nowhere")
    unmoved()
    n.stop(life(2))
    unmoved()
