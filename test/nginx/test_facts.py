# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""What nginx does, where the project depends on it. No libwm here."""

import os
import re
import subprocess

import pytest

import conf
import proc

SINGLE, MASTER, SIGNALLER, WORKER, HELPER = range(5)    # ngx_process

# Notes: "init" and "up" (conf.py), "vm closed", "premature", "leaving".
PLAIN = {
    "init": "wmt.watch_vm()",
    "join": """
        local timer = ngx.timer.every(3600, function(premature)
            wmt.note("premature", { premature = premature,
                                    exiting = ngx.worker.exiting() })
        end)""",
    "leave": """
        require("wmt").note("leaving", { exiting = ngx.worker.exiting() })""",
}
REQUEST = "location /lua { content_by_lua_block { ngx.say(1) } }"
NO_CACHE = "lua_code_cache is off; this will hurt performance"


@pytest.fixture
def plain(make):
    return lambda **params: make(**{**PLAIN, **params})


def closed(n):
    """Which processes closed which VM: [(pid, ngx_process, vm)]."""
    return [(x["by"], x["process"], x["vm"]) for x in n.notes("vm closed")]


def order(n, pid):
    """The notes of one process."""
    return [x["note"] for x in n.trace()
            if x["what"] == "note" and x["by"] == pid]


# --- processes and phases -----------------------------------------------------

@pytest.mark.parametrize("daemon", [False, True])
def test_each_init_runs_in_a_vm_of_its_own_which_the_master_closes(
        plain, dict_, daemon):
    """On the next reload, at the end, or at once if the reload fails. The first
    runs before nginx calls itself a master, with `daemon on` in another
    process. None is run by -t and -s; nor, with a dict, if there is an error
    after the http block."""
    n = plain(daemon=daemon, dict=dict_).start()
    master = n.master
    assert n.run("-t").returncode == n.run("-s", "reopen").returncode == 0
    if dict_:
        n.reload_fails("unknown directive", tail="nonsense;")
    assert len(n.notes("init")) == 1
    n.bind_fails()
    n.wait_note("vm closed")
    first, failed = n.notes("init")
    assert first["process"] == SINGLE and (first["by"] == master) is not daemon
    assert (failed["by"], failed["process"]) == (master, MASTER)
    assert closed(n) == [(master, MASTER, failed["vm"])]
    assert {x["vm"] for x in n.notes("up")} == {first["vm"]}
    n.reload()
    n.stop()
    last = n.notes("init")[2]
    assert len({x["vm"] for x in (first, failed, last)}) == 3
    assert {(x["ppid"], x["process"]) for x in n.notes("up")} == {
        (master, WORKER)}
    assert [x for x in closed(n) if x[0] == master] == [
        (master, MASTER, x["vm"]) for x in (failed, first, last)]


def test_without_a_dict_init_is_run_before_an_error_after_http(plain):
    n = plain(dict=False).start()
    n.reload_fails("unknown directive", tail="nonsense;")
    assert len(n.notes("init")) == 2


LIBRARY = """
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static int fd, forks;
static void say(const char *what)
{
    dprintf(fd, "%s %d %d\\n", what, getpid(), forks);
}
static void prepare(void) { forks++; }
void start(const char *path)
{
    if (fd) { say("again"); return; }
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    say("first");
    pthread_atfork(prepare, 0, 0);
}
__attribute__((destructor)) static void end(void) { if (fd) say("end"); }
"""


def with_library(plain, **params):
    """A daemon that loads a traced library in init_by_lua*."""
    n = plain(daemon=True, user="root", **params)
    library = n.path("traced.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,-z,nodelete", "-xc", "-o",
                    library, "-"], input=LIBRARY, text=True, check=True)
    n.params["init"] = f"""
        wmt.watch_vm()
        local ffi = require "ffi"
        ffi.cdef "void start(const char *);"
        local lib = ffi.load("{library}")
        debug.getregistry().traced = lib
        lib.start("{n.prefix}/library")"""
    return n


def said(n, pid):
    """What the library said in a process: [(what, forks)]."""
    with open(n.path("library"), encoding="ascii") as f:
        return [(w, int(k)) for w, p, k in map(str.split, f) if int(p) == pid]


def test_a_daemonizing_parent_runs_destructors_but_keeps_its_vm(plain, root):
    """And has forked since init_by_lua*, which pthread_atfork tells. A library
    that cannot be unloaded keeps its state in the master over reloads, though
    the VM that has loaded it is closed."""
    n = with_library(plain).start()
    (init,) = n.notes("init")
    assert said(n, init["by"]) == [("first", 0), ("end", 1)]
    n.reload()
    proc.wait(lambda: closed(n), "the old VM to be closed")
    n.reload()
    assert said(n, n.master) == [("again", 3), ("again", 5)]
    assert init["by"] not in [x["by"] for x in n.notes("vm closed")]


def test_a_failed_start_has_not_forked_since_init(plain, root):
    n = with_library(plain, server="listen unix:none/s;")
    n.start_fails()
    (init,) = n.notes("init")
    assert closed(n) == [(init["by"], SINGLE, init["vm"])]
    assert said(n, init["by"]) == [("first", 0), ("end", 0)]


def test_helpers_close_their_vm_as_they_start(plain):
    n = plain(http="proxy_cache_path cache keys_zone=cache:1m;").start()
    helpers = n.helpers()
    n.wait_note("vm closed", 2)
    (init,) = n.notes("init")
    assert sorted(closed(n)) == [(p, HELPER, init["vm"]) for p in helpers]


@pytest.mark.parametrize("process", [WORKER, SINGLE])
def test_code_cache_off_runs_init_for_each_request_in_the_worker(
        plain, root, process):
    """With master_process off, ngx_process does not tell it from the first."""
    n = plain(code_cache=False, user="root", workers=1,
              master_process=process == WORKER, server=REQUEST)
    n.expect(NO_CACHE)
    n.start()
    (worker,) = {x["by"] for x in n.notes("up")}
    for k in (1, 2):
        assert n.get("/lua") == 200
        init = n.notes("init")[k]
        assert (init["by"], init["process"]) == (worker, process)
        n.wait_note("vm closed", k)
        assert (worker, process, init["vm"]) in closed(n)


def test_master_process_off_is_one_process_with_both_phases(plain, dict_):
    """(A reload runs the first of them alone: test_lives.py.)"""
    n = plain(dict=dict_, master_process=False, workers=1).start()
    master = n.master
    n.stop()
    assert [(x["by"], x["process"]) for x in n.notes("init") + n.notes("up")
            ] == [(master, SINGLE)] * 2
    assert not n.notes("premature"), "Debian's: no premature timers"
    assert len(n.notes("leaving")) == 1


def test_what_master_and_worker_find(plain, root):
    """The binary exports what the module reads. A worker has another user, no
    environment, and a standard error that leads into the error log: there the
    end of a VM is told, as ngx.log cannot be called."""
    env = 'wmt.note("env", { x = os.getenv("WM_TEST_X") })'
    n = plain(user="www-data", before_init=env, after_init="""
        local ffi = require "ffi"
        ffi.cdef "uintptr_t ngx_test_config, ngx_inherited; int ngx_terminate;"
        wmt.note("exported", { test = tonumber(ffi.C.ngx_test_config),
                               inherited = tonumber(ffi.C.ngx_inherited),
                               terminate = ffi.C.ngx_terminate })""",
              before_join=env, after_join="""
        wmt.note("user", { euid = wmt.euid() })
        io.stderr:write("join was here\\n")""")
    n.env = {**os.environ, "WM_TEST_X": "set"}
    n.start()
    values = [(x["process"], x.get("x")) for x in n.notes("env")]
    assert values == [(SINGLE, "set")] + [(WORKER, None)] * 2
    users = {x["euid"] for x in n.notes("user")}
    assert users == {os.stat(f"/proc/{p}").st_uid for p in n.workers()}
    assert 0 not in users
    assert len(n.log_lines("^join was here")) == 2
    (seen,) = n.notes("exported")
    assert (seen["test"], seen["inherited"], seen["terminate"]) == (0, 0, 0)


def test_debians_nginx_is_the_one_that_was_looked_at():
    """Other versions may differ: the facts want a new look then."""
    out = subprocess.run([conf.NGINX, "-v"], capture_output=True, text=True,
                         check=True).stderr
    assert re.search(r"nginx/1\.22\.", out)


# --- how a worker ends --------------------------------------------------------

def test_quit_fires_premature_timers_when_the_shutdown_begins(plain):
    """The process may live on for hours; at its end come exit and VM."""
    n = plain(workers=1).start()
    (pid,) = n.current()
    _, held = n.hold()
    n.signal("QUIT")
    n.wait_note("premature")
    (timer,) = n.notes("premature")
    assert timer["premature"] is True and timer["exiting"] is True
    assert n.workers() == [pid] and not n.notes("leaving")
    held.close()
    n.wait_end()
    assert order(n, pid)[1:] == ["premature", "leaving", "vm closed"]
    assert n.notes("leaving")[0]["exiting"] is True


def test_a_killed_worker_runs_nothing_and_a_fast_stop_fires_no_timer(plain):
    """As exit_worker_by_lua* runs, nothing can sleep or connect, and what is
    asleep never resumes."""
    n = plain(workers=1, after_join="""
        ngx.timer.at(0, function()
            wmt.note("asleep")
            ngx.sleep(0.05)
            while not ngx.worker.exiting() do ngx.sleep(0.05) end
            wmt.note("awake")
        end)""", leave="""
        local wmt = require "wmt"
        wmt.note("leaving", { exiting = ngx.worker.exiting() })
        wmt.try("sleep", function() ngx.sleep(0.01) end)
        wmt.try("connect", function()
            ngx.socket.tcp():connect("unix:s") end)
        wmt.usleep(200000)""").start()
    (killed,) = n.wait_note("asleep")
    n.kill(killed)
    n.wait_up()
    assert order(n, killed) == ["up", "asleep"]
    (pid,) = n.current()
    n.wait_note("asleep", 2)
    n.stop_fast()
    assert order(n, pid)[2:] == ["leaving", "vm closed"]
    assert n.notes("leaving")[0]["exiting"] is False
    assert [x["ok"] for x in n.tries().values()] == [False, False]


def test_old_workers_hear_of_a_reload_after_100_ms(plain):
    """The new ones are forked, and given a moment, before that."""
    n = plain().start()
    old = n.current()
    n.signal("HUP")
    n.wait_gone(old)
    forked = n.notes("init")[-1]["t"]
    for x in n.notes("premature"):
        assert x["by"] in old and x["t"] - forked > 95000


def test_a_worker_that_dies_during_init_stays_a_zombie(plain):
    """The master blocks SIGCHLD there: kill(pid, 0) says alive."""
    n = plain(workers=1).start()
    (pid,) = n.current()
    n.hup(after_init='wmt.gate("init")')
    n.wait_note("gate")
    n.kill(pid)
    os.kill(pid, 0)
    assert proc.stat(pid)[0] == "Z"
    n.open_gate("init")
    n.wait_up()
    proc.wait(lambda: proc.stat(pid) is None, "the zombie to be reaped")


def test_a_slow_fast_stop_ends_with_sigkill(plain):
    n = plain(leave='require("wmt").gate("never")').start()
    n.expect("exited on signal 9", 2)
    n.stop(how="TERM")
    assert not [x for x in n.notes("vm closed") if x["process"] == WORKER]


def test_timers_may_be_dropped(plain):
    """lua_max_running_timers: a chain of ngx.timer.at ends for good, an
    ngx.timer.every does not; of premature ones some are lost, but
    exit_worker_by_lua* still runs."""
    n = plain(workers=1, http="lua_max_running_timers 1;", join="""
        for i = 1, 8 do
            ngx.timer.at(3600, function()
                wmt.note("premature")
                ngx.sleep(0.01)
            end)
        end
        local function chain(premature)
            if premature then return end
            wmt.note("chain")
            ngx.timer.at(0.02, chain)
        end
        ngx.timer.at(0.02, chain)
        ngx.timer.every(0.02, function(premature)
            if not premature then wmt.note("every") end
        end)
        ngx.timer.at(0, function()
            ngx.sleep(0.2)
            wmt.note("room again")
        end)""").start()
    n.wait_note("room again")
    n.wait_note("every", len(n.notes("every")) + 5)
    assert not n.notes("chain")
    n.stop()
    n.expect("lua_max_running_timers are not enough")
    assert 1 <= len(n.notes("premature")) < 8
    assert len(n.notes("leaving")) == 1
