# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A daemon, other users, helper processes: nothing changes in the counts."""

import os
import pwd

import proc
from rows import exits, reloads, starts

LIFE = (starts(1, 2)
        + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
        + exits(2, 2, n_prev=0))


def uid(pid):
    return os.stat(f"/proc/{pid}").st_uid


def test_daemon_on(make, both):
    """What ran init_by_lua* first has left when the workers come up."""
    n = make(daemon=True, **both).start()
    assert n.popen.wait(timeout=proc.DEADLINE) == 0
    assert n.events("master_start")[0]["by"] != n.master
    assert n.segments() == ["/dev/shm/" + s for s in n.mapped()]
    n.reload()
    assert n.events("master_start")[1]["by"] == n.master
    n.quit()
    assert n.rows() == LIFE


def test_a_reload_before_any_worker_has_joined(make):
    """The process that began the first generation is gone by then."""
    n = make(daemon=True, before_join="""
        if not wmt.opened("join") then wmt.gate("join") end""")
    n.modelled = False      # whose worker comes first then, is open
    n.start(ready=False)
    n.wait_note("gate", 2)
    n.note_segments()
    n.hup()
    n.wait_events("master_start", count=2)
    assert n.rows() == [("master_start", 1, None, 0, None, "start"),
                        ("master_start", 2, 0, 0, None, "reload")]
    n.open_gate("join")
    n.wait_up()
    n.quit()


def test_daemon_on_fast_stop(make, dict_):
    n = make(daemon=True, dict=dict_).start()
    n.term()
    assert n.rows() == starts(1, 2) + exits(1, 2)


def test_daemon_on_failed_reload(make, both):
    n = make(daemon=True, **both).start()
    n.reload_fails("bind.. to unix:none/s failed",
                   server="listen unix:none/s;")
    n.quit()
    assert n.rows() == (
        starts(1, 2) + [("master_start", 2, 2, 0, None, "reload")]
        + exits(1, 2))


def test_daemon_on_killed_worker(make, dict_):
    n = make(daemon=True, dict=dict_).start()
    n.kill(n.worker(1))
    n.wait_events("worker_start", 1, 3)
    n.quit()
    assert n.rows()[3:] == [
        ("worker_start", 1, None, 3, None, "respawn")] + exits(1, 2)


def test_user_www_data(make, root, both):
    """Workers may not open the segment; they inherit it."""
    n = make(user="www-data", daemon=True, **both).start()
    (path,) = n.segments()
    seen = os.stat(path)
    assert (seen.st_uid, seen.st_mode & 0o777) == (0, 0o600)
    www_data = pwd.getpwnam("www-data").pw_uid
    assert {uid(p) for p in n.workers()} == {www_data}
    assert uid(n.master) == 0
    n.reload()
    n.kill(n.worker(2))
    n.wait_events("worker_start", 2, 3)
    n.quit()
    assert n.rows() == (
        LIFE[:-3] + [("worker_start", 2, 0, 3, None, "respawn")]
        + LIFE[-3:])


def test_a_change_of_user_at_a_reload(make, root):
    n = make(user="www-data").start()
    n.reload(user="root")
    assert {uid(p) for p in n.workers()} == {0}
    n.quit()
    assert n.rows() == LIFE


CACHE = "proxy_cache_path cache keys_zone=cache:1m;"


def test_cache_manager_and_loader_are_not_counted(make, both):
    """They close their copy of the VM as they start: no harm."""
    n = make(http=CACHE, **both).start()
    assert len(n.helpers()) == 2
    n.reload()
    n.kill(n.worker(2))
    n.wait_events("worker_start", 2, 3)
    n.quit()
    assert n.rows() == (
        LIFE[:-3] + [("worker_start", 2, 0, 3, None, "respawn")]
        + LIFE[-3:])


def test_killed_helpers_change_nothing(make):
    n = make(http=CACHE).start()
    pids = n.helpers()
    n.expect("exited on signal 9", 2)
    for pid in pids:
        os.kill(pid, 9)
    n.wait_gone(pids)
    n.term()
    assert n.rows() == starts(1, 2) + exits(1, 2)
    assert not n.log_lines("crashed")
