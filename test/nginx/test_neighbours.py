# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Other nginx processes nearby: another node, -t, one started twice."""

import pytest

import conf
import proc
from rows import exits, master_start, reloads, starts


def test_two_nodes_with_the_same_shm_name(make, both):
    a = make(workers=2, **both).start()
    b = make(workers=3, **both).start()
    assert not a.instances & b.instances
    a.reload()
    b.kill(b.worker(1))
    b.wait_events("worker_start", 1, 4)
    a.quit()
    assert a.segments() == [] and len(b.segments()) == 1
    b.reload()
    b.quit()
    assert a.rows() == (
        starts(1, 2) + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
        + exits(2, 2, n_prev=0))
    respawned = [("worker_start", 1, None, 4, None, "respawn")]
    assert b.rows() == (
        starts(1, 3) + respawned
        + reloads(2, 3, n_prev=3) + exits(1, 3, n_next=3)
        + exits(2, 3, n_prev=0))


def test_two_nodes_in_one_prefix_with_different_shm_names(make):
    """Each is a node of its own; only the prefix is the same."""
    a = make().start()
    b = make(beside=a, listen="unix:t", opts={"shm": "other"}).start()
    assert not a.instances & b.instances
    b.quit()
    a.quit()
    assert a.rows() == b.rows() == starts(1, 2) + exits(1, 2)


@pytest.mark.parametrize("flag", ["-t", "-T"])
def test_a_configuration_test_leaves_the_node_alone(make, both, flag):
    n = make(**both).start()
    segments = n.segments()
    assert n.run(flag).returncode == 0
    assert n.segments() == segments
    assert n.rows() == starts(1, 2)
    n.reload()
    assert n.run(flag).returncode == 0
    n.quit()
    assert n.run(flag).returncode == 0
    assert n.rows() == (
        starts(1, 2) + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
        + exits(2, 2, n_prev=0))


def test_a_configuration_test_before_any_start(make, both):
    n = make(opts={"name": conf.own("test-never-started")}, **both)
    n.configure()
    assert n.run("-t").returncode == 0
    assert n.rows() == [] and n.segments() == []


@pytest.mark.parametrize("daemon", [False, True])
def test_a_second_nginx_by_mistake_changes_nothing(make, daemon):
    """It runs init_by_lua*, cannot bind for 2.5 s, and leaves."""
    n = make(daemon=daemon).start()
    (segment,) = n.segments()
    second = make(beside=n)
    assert second.start_fails() == 1
    assert second.rows() == master_start(1)
    assert n.segments() == [segment]
    n.reload()
    n.quit()
    assert n.rows() == (
        starts(1, 2) + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
        + exits(2, 2, n_prev=0))
    for each in (n, second):
        each.expect(r"bind\(\) to unix:s failed|still could not bind")
    second.complete = False


def test_life_goes_on_while_a_second_nginx_tries_to_start(make, both):
    """A kill, a reload and a stop meet a second segment of the instance."""
    n = make(**both).start()
    (segment,) = n.segments()
    second = make(beside=n, after_init='wmt.gate("init") error("enough")')
    second.launch()
    proc.wait(lambda: second.notes("gate"), "the second nginx in its init")
    assert len(n.segments()) == 2
    n.kill(n.worker(1))
    n.wait_events("worker_start", 1, 3)
    n.reload()
    assert segment in n.segments()
    n.quit()
    assert segment not in n.segments()
    second.open_gate("init")
    assert second.popen.wait(proc.DEADLINE) == 1
    assert second.segments() == n.segments() == []
    assert second.rows() == master_start(1)
    respawned = [("worker_start", 1, None, 3, None, "respawn")]
    assert n.rows() == (
        starts(1, 2) + respawned
        + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
        + exits(2, 2, n_prev=0))
    for each in (n, second):
        each.expected = n.expected + [("enough|stack traceback", None)]
    second.complete = False


def test_a_second_nginx_that_is_killed_owes_nothing(make):
    """The next start clears its segment away, and has nothing to tell."""
    n = make().start()
    second = make(beside=n, after_init='wmt.gate("never")')
    second.launch()
    proc.wait(lambda: second.notes("gate"), "the second nginx in its init")
    second.popen.kill()
    second.popen.wait()
    n.quit()
    assert len(n.segments()) == 1
    n.new_life()
    n.start()
    assert len(n.segments()) == 1
    n.quit()
    assert not n.log_lines("not given")
    second.complete = False
