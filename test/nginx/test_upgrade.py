# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A binary upgrade, its roll-back, and its failures: one node throughout.

nginx ignores USR2 as long as the parent that started it lives, so that most
of this is done with daemon on.
"""

import os
import shutil
import signal
import struct

import pytest

import conf
import proc
from proc import wait
from rows import (exits, master_start, reloads, starts, worker_start,
                  worker_starts)
from told import opts, told
from upgrades import (end_master, kill_hard, new_binary, newer, roll_back,
                      winch, workers_of)


def upgraded(gen, workers, n_prev):
    return starts(gen, workers, n_prev, "upgrade")


def spell(gen, workers, n_prev=None, n_next=None):
    return worker_starts(gen, workers, n_prev, n_next, "rollback")


UPGRADE = starts(1, 2) + upgraded(2, 2, 2) + exits(1, 2, n_next=2)


@pytest.fixture
def node(make):
    """A daemon whose generations are those of two binaries."""
    def maker(**params):
        n = make(**{"daemon": True, **params})
        n.modelled = False
        return n
    return maker


# --- it succeeds --------------------------------------------------------------


def test_the_old_one_is_told_to_leave(node, both):
    n = node(**both).start()
    (segment,) = n.segments()
    old, _ = new_binary(n)
    end_master(n, old)
    assert n.segments() == [segment]
    n.quit()
    assert n.rows() == UPGRADE + exits(2, 2, n_prev=0)


def test_it_leaves_fast(node, dict_):
    n = node(dict=dict_).start()
    old, _ = new_binary(n)
    end_master(n, old, "TERM")
    n.term()
    assert n.rows() == UPGRADE + exits(2, 2, n_prev=0)


def test_without_daemon(node, both):
    """In the background of a shell that has ended."""
    n = node(daemon=False, **both)
    n.wrap = ["sh", "-c", '"$@" & while [ ! -s nginx.pid ]; do sleep 0.01;'
              ' done', "-"]
    n.find_master = lambda: newer(n, 0)
    n.start()
    n.popen.wait()
    old, _ = new_binary(n)
    end_master(n, old)
    n.reload()
    n.quit()
    assert n.rows() == (UPGRADE + reloads(3, 2, 2)
                        + exits(2, 2, 0, 2) + exits(3, 2, 0))


def test_a_reload_after_it(node, both):
    n = node(**both).start()
    old, _ = new_binary(n)
    end_master(n, old)
    n.reload()
    n.quit()
    assert n.rows() == (UPGRADE + reloads(3, 2, 2)
                        + exits(2, 2, 0, 2) + exits(3, 2, 0))


def test_another_one_after_it(node):
    n = node().start()
    for _ in range(2):
        old, _ = new_binary(n)
        end_master(n, old)
    n.quit()
    assert n.rows() == (UPGRADE + upgraded(3, 2, 2)
                        + exits(2, 2, 0, 2) + exits(3, 2, 0))


def test_workers_of_another_user(node, root):
    n = node(user="www-data").start()
    old, _ = new_binary(n)
    end_master(n, old)
    n.quit()
    assert n.rows() == UPGRADE + exits(2, 2, n_prev=0)


def test_a_respawn_of_the_old_one_meanwhile(node):
    n = node(opts=opts(interval=0.1)).start()
    old, _ = new_binary(n)
    pid = n.worker(1)
    n.kill(pid)
    n.wait_events("worker_start", 1, 3)
    n.wait_note("failed")
    wait(lambda: len(workers_of(old)) == 2, "the respawn")
    end_master(n, old)
    n.quit()
    assert n.rows() == (
        starts(1, 2) + upgraded(2, 2, 2)
        + worker_start(1, 3, None, 2, "respawn")
        + exits(1, 2, n_next=2) + exits(2, 2, 0))
    assert [x[1:] for x in told(n, "failed")] == [(f"1-{pid}", "crashed")]


# --- the old one has quit before the new one has begun ------------------------


LATE = 'if wmt.opened("late") then wmt.gate("init") end'


def quit_early(n):
    n.open_gate("late")
    old = n.master
    n.signal("USR2")
    n.wait_note("gate")
    new = n.notes("gate")[-1]["by"]
    end_master(n, old)
    n.open_gate("init")
    n.master = new
    n.wait_up()


def test_the_old_one_quits_before_the_new_one_has_begun(node, both):
    n = node(before_init=LATE, **both).start()
    (segment,) = n.segments()
    quit_early(n)
    assert n.segments() == [segment]
    n.reload()
    n.quit()
    assert n.rows() == (starts(1, 2) + exits(1, 2) + upgraded(2, 2, 0)
                        + reloads(3, 2, 2) + exits(2, 2, 0, 2)
                        + exits(3, 2, 0))


@pytest.mark.parametrize("when", ["late", "early"])
def test_from_anonymous_memory(node, private_mounts, when):
    n = node(before_init=LATE)
    n.wrap = ["unshare", "-m", "sh", "-c",
              'mount -t tmpfs -o ro none /dev/shm && exec "$@"', "-"]
    n.start()
    n.expect("using anonymous memory", 1)
    if when == "early":
        quit_early(n)
        first = starts(1, 2) + exits(1, 2) + upgraded(2, 2, 0)
    else:
        old, _ = new_binary(n)
        end_master(n, old)
        first = UPGRADE
    n.reload()
    n.quit()
    assert n.rows() == (first + reloads(3, 2, 2) + exits(2, 2, 0, 2)
                        + exits(3, 2, 0))


# --- it is rolled back --------------------------------------------------------


@pytest.mark.parametrize("workers", [2, 8])
def test_a_roll_back(node, both, workers):
    """The old generation has a second spell; the segment stays."""
    n = node(workers=workers, **both).start()
    (segment,) = n.segments()
    old, new = new_binary(n)
    roll_back(n, old, new, workers)
    assert n.segments() == [segment]
    n.quit()
    assert n.rows() == (
        starts(1, workers) + upgraded(2, workers, workers)
        + exits(1, workers, n_next=workers)
        + spell(1, workers, None, workers)
        + exits(2, workers, workers, workers) + exits(1, workers))
    assert [x["info"]["spell"] for x in n.events("master_exit", 1)] == [1, 2]


def test_a_reload_after_a_roll_back(node):
    n = node().start()
    roll_back(n, *new_binary(n))
    n.reload()
    n.quit()
    assert n.rows() == (
        UPGRADE + spell(1, 2, None, 2) + exits(2, 2, 2, 2)
        + reloads(3, 2, 2) + exits(1, 2, None, 2) + exits(3, 2, 0))


def test_an_upgrade_after_a_roll_back(node):
    n = node().start()
    roll_back(n, *new_binary(n))
    old, _ = new_binary(n)
    end_master(n, old)
    n.quit()
    assert n.rows() == (
        UPGRADE + spell(1, 2, None, 2) + exits(2, 2, 2, 2)
        + upgraded(3, 2, 2) + exits(1, 2, None, 2) + exits(3, 2, 0))


@pytest.mark.parametrize("name", ["QUIT", "TERM"])
def test_the_new_one_ends_while_the_old_one_has_no_workers(node, name):
    """nginx then starts the old one's workers again by itself."""
    n = node().start()
    old, new = new_binary(n)
    winch(n, old)
    end_master(n, new, name)
    n.master = old
    n.wait_events("worker_start", 1, 4)
    wait(lambda: len(n.current()) == 2, "workers")
    n.reload()
    n.quit()
    assert n.rows() == (
        UPGRADE + exits(2, 2, 0, 0) + spell(1, 2) + reloads(3, 2, 2)
        + exits(1, 2, None, 2) + exits(3, 2, 0))


def test_a_roll_back_while_aold_worker_is_in_its_exit(node):
    """The spell goes on; its new workers say rollback all the same."""
    n = node(callbacks={"worker_exit": """
        if info.generation == 1 and n_mine == 2
            and not wmt.opened("exit") then wmt.gate("exit") end"""}).start()
    old, new = new_binary(n)
    n.signal("WINCH", old)
    n.wait_note("gate")
    n.signal("HUP", old)
    wait(lambda: len(proc.children(old)) == 5, "workers, and the new master")
    n.open_gate("exit")
    n.wait_events("worker_start", 1, 4)
    n.wait_events("worker_exit", 1, 2)
    wait(lambda: len(workers_of(old)) == 2, "workers")
    end_master(n, new)
    n.master = old
    n.quit()
    assert [r[5] for r in n.rows() if r[:2] == ("worker_start", 1)] == [
        "start", "start", "rollback", "rollback"]
    assert [x["info"]["spell"] for x in n.events("master_exit", 1)][-1] in (
        1, 2)


def test_more_workers_of_the_old_one_without_winch(node):
    n = node().start()
    old, new = new_binary(n)
    n.signal("HUP", old)
    n.wait_events("worker_start", 1, 4)
    end_master(n, new)
    n.master = old
    wait(lambda: len(n.current()) == 4, "workers")
    n.quit()
    assert n.rows() == (
        starts(1, 2) + upgraded(2, 2, 2)
        + [worker_start(1, k, None, 2, "rollback")[0] for k in (3, 4)]
        + exits(2, 2, 4, 4) + exits(1, 4))


# --- the new one fails --------------------------------------------------------


@pytest.mark.parametrize("name", ["QUIT", "TERM"])
def test_the_new_one_is_stopped_at_once(node, dict_, name):
    n = node(dict=dict_).start()
    old, new = new_binary(n)
    end_master(n, new, name)
    n.master = old
    n.reload()
    n.quit()
    assert n.rows() == (
        starts(1, 2) + upgraded(2, 2, 2) + exits(2, 2, 2, 2)
        + reloads(3, 2, 2) + exits(1, 2, None, 2) + exits(3, 2, 0))


def kill_at_gate(n):
    """Kills the new master where it waits; returns its pid."""
    n.open_gate("late")
    n.signal("USR2")
    n.wait_note("gate")
    pid = n.notes("gate")[-1]["by"]
    kill_hard(pid)
    n.expect("exited on signal 9")
    n.open_gate("init")
    return pid


def kill_new(n):
    """Kills the new master when it serves; returns its workers."""
    old, new = new_binary(n)
    orphans = workers_of(new)
    kill_hard(new)
    n.expect("exited on signal 9")
    n.master = old
    return orphans


def test_the_new_one_is_killed_before_it_begins(node):
    n = node(before_init=LATE).start()
    kill_at_gate(n)
    n.reload()
    n.quit()
    assert n.rows() == (starts(1, 2) + reloads(2, 2, 2)
                        + exits(1, 2, None, 2) + exits(2, 2, 0))


def test_the_new_one_is_killed_in_its_start_callback(node):
    n = node(callbacks={"master_start": LATE}).start()
    n.killed.add(kill_at_gate(n))
    n.reload()
    n.quit()
    assert n.rows() == (
        starts(1, 2) + master_start(2, 2, "upgrade") + reloads(3, 2, 2)
        + exits(1, 2, None, 2) + exits(3, 2, 0))


def test_the_new_one_is_killed_and_its_workers_end_first(node):
    n = node().start()
    orphans = kill_new(n)
    n.quit_workers(orphans)
    n.reload()
    n.quit()
    assert n.rows() == (
        starts(1, 2) + upgraded(2, 2, 2) + exits(2, 2, 2, 2)
        + reloads(3, 2, 2) + exits(1, 2, None, 2) + exits(3, 2, 0))


def test_the_new_one_is_killed_and_its_workers_outlive_the_old_one(node):
    n = node().start()
    orphans = kill_new(n)
    n.quit()
    n.quit_workers(orphans)
    assert n.rows() == (
        starts(1, 2) + upgraded(2, 2, 2) + exits(1, 2) + exits(2, 2, 0))


def test_its_start_callback_raises(node):
    n = node(callbacks={"master_start": """
        if wmt.opened("late") then error("no") end"""}).start()
    n.succeeds = False
    n.open_gate("late")
    n.signal("USR2")
    n.expect("callback of 2 raised|init_by_lua error|stack traceback")
    n.wait_log("new binary process .* exited|exited with code 1")
    n.close_gate("late")
    n.reload()
    n.quit()
    assert n.rows() == (
        starts(1, 2) + master_start(2, 2, "upgrade") + reloads(3, 2, 2)
        + exits(1, 2, None, 2) + exits(3, 2, 0))


def test_a_binary_that_cannot_be_run(node):
    n = node()
    binary = n.path("nginx-copy")
    shutil.copy(conf.NGINX, binary)
    n.command = lambda *a: [binary, "-p", n.prefix + "/", "-c",
                            n.file(".conf"), "-e", "error.log", *a]
    n.start()
    with open(binary + ".new", "w", encoding="ascii") as f:
        f.write("no program")
    os.chmod(binary + ".new", 0o755)
    os.rename(binary + ".new", binary)
    n.signal("USR2")
    n.expect(r"\[alert\].*(execve|exited)")
    n.wait_log(r"execve\(\) failed")
    wait(lambda: proc.children(n.master) == n.workers(), "it to be gone")
    n.reload()
    n.quit()
    assert n.rows() == (starts(1, 2) + reloads(2, 2, 2)
                        + exits(1, 2, n_next=2) + exits(2, 2, 0))


# --- onto another node --------------------------------------------------------


def test_onto_another_abi(node):
    """A fresh node, with one warning; the old one ends for itself."""
    # The old one is not to look while its segment is another's.
    n = node(opts={"interval": 600}).start()
    n.check_life = lambda lines: None       # two nodes in one trace
    (segment,) = n.segments()
    with open(segment, "r+b") as f:
        f.seek(8)
        (abi,) = struct.unpack("I", f.read(4))
        for number in (abi + 1, abi):
            f.seek(8)
            f.write(struct.pack("I", number))
            f.flush()
            if number != abi:
                old, _ = new_binary(n)
                n.note_segments()
    n.expect(r"\[warn\].*worker manager: .*ABI.*a node of its own")
    assert len(n.log_lines(r"^\d.*worker manager: .*ABI")) == 1
    end_master(n, old)
    n.reload()
    n.quit()
    assert not os.path.exists(segment)
    assert n.rows() == (
        starts(1, 2) + starts(1, 2) + exits(1, 2)
        + reloads(2, 2, 2) + exits(1, 2, n_next=2) + exits(2, 2, 0))


def test_onto_another_name(node):
    """Another node; the old one's segment goes with its last process."""
    n = node().start()
    n.check_life = lambda lines: None       # two nodes in one trace
    (first,) = n.segments()
    n.configure(opts={"name": conf.own("other")})
    old, _ = new_binary(n)
    n.note_segments()
    end_master(n, old)
    assert not os.path.exists(first)
    n.quit()
    assert n.rows() == starts(1, 2) + starts(1, 2) + exits(1, 2) + exits(1, 2)


def test_onto_a_new_libwm(node):
    """A reload keeps the library that the master has loaded."""
    n = node()
    library = n.path("lib/libwm.so")
    os.makedirs(n.path("lib"))

    def install():
        shutil.copy(os.path.join(conf.BUILD, "libwm/libwm.so"),
                    library + ".new")
        os.rename(library + ".new", library)

    def loaded():
        with open(f"/proc/{n.master}/maps", encoding="utf-8") as f:
            (inode,) = {x.split()[4] for x in f if library in x}
        return int(inode)

    install()
    n.params["lua_cpath"] = n.prefix + "/lib/?.so"
    n.start()
    first = os.stat(library).st_ino
    install()
    second = os.stat(library).st_ino
    n.reload()
    assert loaded() == first != second
    old, _ = new_binary(n)
    assert loaded() == second
    end_master(n, old)
    n.quit()
    assert n.rows() == (
        starts(1, 2) + reloads(2, 2, 2) + exits(1, 2, n_next=2)
        + upgraded(3, 2, 2) + exits(2, 2, 0, 2) + exits(3, 2, 0))


def test_all_killed_during_it_then_a_start(node):
    n = node().start()
    n.complete = False
    old, new = new_binary(n)
    pids = [old, new, *workers_of(old), *workers_of(new)]
    n.killed.update(pids)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    n.wait_gone(pids)
    for name in ("s", "nginx.pid", "nginx.pid.oldbin"):
        if os.path.exists(n.path(name)):
            os.unlink(n.path(name))
    n.expect("exited on signal 9|crashed")
    n.new_life()
    n.start()
    n.expect("worker manager: not given: the former life", 1)
    unclean = n.events("master_start")[-1]["info"]["unclean"]
    assert (unclean["workers"], unclean["exits_owed"],
            unclean["generation"]) == (4, 2, 2)
    n.quit()
    assert n.rows()[6:] == starts(1, 2) + exits(1, 2)
