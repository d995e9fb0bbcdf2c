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


@pytest.fixture
def plain(make):
    return lambda **params: make(**{**PLAIN, **params})


def closed(n):
    """Which processes closed which VM: [(pid, ngx_process, vm)]."""
    return [(x["by"], x["process"], x["vm"]) for x in n.notes("vm closed")]


def vms(n):
    return [x["vm"] for x in n.notes("init")]


def order(n, pid):
    """The notes of one process."""
    return [x["note"] for x in n.trace()
            if x["what"] == "note" and x["by"] == pid]


# --- processes and phases -----------------------------------------------------

@pytest.mark.parametrize("daemon", [False, True])
def test_each_init_runs_in_a_vm_of_its_own_which_the_master_closes(
        plain, dict_, daemon):
    """On the next reload or at the end. The first runs before nginx calls
    itself a master, and with `daemon on` in another process."""
    n = plain(daemon=daemon, dict=dict_).start()
    master = n.master
    n.reload()
    n.stop()
    first, second = n.notes("init")
    assert first["process"] == SINGLE and (first["by"] == master) is not daemon
    assert (second["by"], second["process"]) == (master, MASTER)
    assert {(x["ppid"], x["process"]) for x in n.notes("up")} == {
        (master, WORKER)}
    assert first["vm"] != second["vm"]
    assert [x for x in closed(n) if x[0] == master] == [
        (master, MASTER, vm) for vm in vms(n)]


LIBRARY = """
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static char path[4096];
static int forks;
static void say(const char *what)
{
    char line[64];
    int n = snprintf(line, sizeof line, "%s %d %d\\n", what, getpid(), forks);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, line, n) != n) _exit(99);
    close(fd);
}
static void prepare(void) { forks++; }
void start(const char *p)
{
    if (path[0]) { say("again"); return; }
    strcpy(path, p);
    say("first");
    pthread_atfork(prepare, 0, 0);
}
__attribute__((destructor)) static void end(void) { if (path[0]) say("end"); }
"""


def with_library(plain, **params):
    """Loads a traced library in init_by_lua*."""
    n = plain(**params)
    with open(n.path("traced.c"), "w", encoding="ascii") as f:
        f.write(LIBRARY)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-Wl,-z,nodelete", "-o",
         n.path("traced.so"), n.path("traced.c")], check=True)
    n.params["init"] = f"""
        wmt.watch_vm()
        local ffi = require "ffi"
        ffi.cdef "void start(const char *);"
        local lib = ffi.load("{n.prefix}/traced.so")
        debug.getregistry().traced = lib
        lib.start("{n.prefix}/library")"""
    return n


def said(n):
    """What the library said: [(what, pid, forks)]."""
    with open(n.path("library"), encoding="ascii") as f:
        return [(w, int(p), int(k)) for w, p, k in map(str.split, f)]


def test_a_daemonizing_parent_runs_destructors_but_keeps_its_vm(plain, root):
    """And it has forked since init_by_lua*, which pthread_atfork tells."""
    n = with_library(plain, daemon=True, user="root").start()
    (init,) = n.notes("init")
    assert ("first", init["by"], 0) in said(n)
    assert ("end", init["by"], 1) in said(n)
    assert init["by"] not in [x["by"] for x in n.notes("vm closed")]


def test_a_failed_start_has_not_forked_since_init(plain, root):
    n = with_library(plain, daemon=True, user="root",
                     server="listen unix:none/s;")
    n.start_fails()
    (init,) = n.notes("init")
    assert closed(n) == [(init["by"], SINGLE, init["vm"])]
    assert said(n) == [("first", init["by"], 0), ("end", init["by"], 0)]


def test_a_library_that_cannot_be_unloaded_keeps_its_state_over_reloads(
        plain, root):
    """The old VM, which had loaded it, is closed."""
    n = with_library(plain, user="root").start()
    n.reload()
    proc.wait(lambda: closed(n), "the old VM to be closed")
    n.reload()
    assert [s for s in said(n) if s[1] == n.master] == [
        ("first", n.master, 0), ("again", n.master, 2),
        ("again", n.master, 4)]


def test_a_failed_reload_closes_the_new_vm_in_the_master(plain, dict_):
    n = plain(dict=dict_).start()
    n.bind_fails()
    n.wait_note("vm closed")
    first, second = vms(n)
    assert closed(n) == [(n.master, MASTER, second)]
    assert {x["vm"] for x in n.notes("up")} == {first}


def test_with_a_dict_an_error_after_http_comes_before_init(plain, dict_):
    """Without any, init_by_lua* has run by then."""
    n = plain(dict=dict_).start()
    n.reload_fails("unknown directive", tail="nonsense;")
    assert len(n.notes("init")) == (1 if dict_ else 2)


def test_helpers_close_their_vm_as_they_start(plain):
    n = plain(http="proxy_cache_path cache keys_zone=cache:1m;").start()
    helpers = n.helpers()
    n.wait_note("vm closed", 2)
    (vm,) = vms(n)
    assert sorted(closed(n)) == [(p, HELPER, vm) for p in helpers]


def test_code_cache_off_runs_init_for_each_request_in_the_worker(
        plain, root):
    n = plain(code_cache=False, user="root", server="""
        location /lua { content_by_lua_block { ngx.say(1) } }""")
    n.expect("lua_code_cache is off; this will hurt performance")
    n.start()
    for k in (1, 2):
        assert n.get("/lua") == 200
        init = n.notes("init")[k]
        assert init["by"] in n.workers() and init["process"] == WORKER
        n.wait_note("vm closed", k)
        assert (init["by"], WORKER, init["vm"]) in closed(n)


@pytest.mark.parametrize("reloaded", [False, True])
def test_master_process_off_is_one_process_with_both_phases(
        plain, dict_, reloaded):
    """A reload runs the first of them alone."""
    n = plain(dict=dict_, master_process=False, workers=1).start()
    master = n.master
    if reloaded:
        n.hup()
        n.wait_note("init", 2)
        n.expect("worker_connections are not enough")
    n.stop()
    assert [(x["by"], x["process"]) for x in n.notes("init") + n.notes("up")
            ] == [(master, SINGLE)] * (3 if reloaded else 2)
    assert len(n.notes("up")) == 1
    assert not n.notes("premature"), "Debian's: no premature timers"
    assert reloaded or len(n.notes("leaving")) == 1


def test_master_process_off_and_code_cache_off(plain):
    """ngx_process alone does not tell a request's init from the first."""
    n = plain(master_process=False, workers=1, code_cache=False, server="""
        location /lua { content_by_lua_block { ngx.say(1) } }""")
    n.expect("lua_code_cache is off; this will hurt performance")
    n.start()
    assert n.get("/lua") == 200
    assert [x["process"] for x in n.notes("init")] == [SINGLE] * 2


def test_a_second_nginx_runs_init_then_fails_to_bind(plain, make):
    n = plain().start()
    second = make(beside=n)
    assert second.start_fails() == 1
    assert len(second.notes("init")) == 1
    for each in (n, second):
        each.expect(r"bind\(\) to unix:s failed|still could not bind")


def test_configuration_tests_and_signallers_run_no_init(plain, dict_):
    n = plain(dict=dict_).start()
    assert n.run("-t").returncode == 0
    assert n.run("-s", "reopen").returncode == 0
    assert len(n.notes("init")) == 1
    n.stop(how="-s quit")
    assert len(n.notes("init")) == 1


def test_the_binary_exports_what_the_module_reads(plain):
    n = plain(after_init="""
        local ffi = require "ffi"
        ffi.cdef "uintptr_t ngx_test_config, ngx_inherited; int ngx_terminate;"
        wmt.note("exported", { test = tonumber(ffi.C.ngx_test_config),
                               inherited = tonumber(ffi.C.ngx_inherited),
                               terminate = ffi.C.ngx_terminate })""").start()
    (seen,) = n.notes("exported")
    assert (seen["test"], seen["inherited"], seen["terminate"]) == (0, 0, 0)


def test_workers_run_as_another_user(plain, root):
    n = plain(user="www-data", after_join="""
        wmt.note("user", { euid = wmt.euid() })""").start()
    assert {os.stat(f"/proc/{p}").st_uid for p in n.workers()} == {
        x["euid"] for x in n.notes("user")}
    assert 0 not in {x["euid"] for x in n.notes("user")}


def test_workers_lose_the_environment(plain):
    n = plain(before_init='wmt.note("env", { x = os.getenv("WM_TEST_X") })',
              before_join='wmt.note("env", { x = os.getenv("WM_TEST_X") })')
    os.environ["WM_TEST_X"] = "set"
    try:
        n.start()
    finally:
        del os.environ["WM_TEST_X"]
    values = [(x["process"], x.get("x")) for x in n.notes("env")]
    assert values == [(SINGLE, "set")] + [(WORKER, None)] * 2


def test_standard_error_leads_into_the_error_log(plain):
    """Where the end of a VM is told, as ngx.log cannot be called."""
    n = plain(after_init='io.stderr:write("init was here\\n")',
              after_join='io.stderr:write("join was here\\n")').start()
    assert len(n.log_lines("^join was here")) == 2


def test_debians_nginx_is_the_one_that_was_looked_at():
    """Other versions may differ: the facts want a new look then."""
    out = subprocess.run([conf.NGINX, "-v"], capture_output=True, text=True,
                         check=True).stderr
    assert re.search(r"nginx/1\.22\.", out)
