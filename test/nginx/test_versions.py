# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A binary upgrade from one minor version of libwm to another, whose records
are longer or shorter: one node, which the new library takes over, and counts
that are right over the generations of both."""

import json
import os
import shutil
import subprocess

import pytest

import conf
import later
import segment
from proc import wait
from rows import exits, worker_start
from test_upgrade import GONE_ON, RELOADED, UPGRADE
from told import opts, told


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """{version: path of its libwm.so}"""
    return {"this": conf.LIBRARY,
            "later": later.build(str(tmp_path_factory.mktemp("later")))}


class Versions:
    """A daemon whose lua_package_cpath leads to a libwm.so that changes."""

    def __init__(self, n, libraries, old):
        self.n, self.libraries = n, libraries
        self.library = n.path("lib/libwm.so")
        os.makedirs(n.path("lib"))
        # The first on the path that exists is loaded.
        n.params["lua_cpath"] = (
            f"/nowhere/?.so;{n.prefix}/lib/?.so;{conf.LIBRARY}")
        n.modelled = False      # its generations are those of two binaries
        self.install(old)
        n.start()
        self.segments = n.segments()
        self.made = n.look(segment.strides)
        grown = later.LINE if old == "later" else 0
        assert self.made == [x + grown for x in (768, 64, 128, 64, 64)]

    def install(self, version):
        shutil.copy(self.libraries[version], self.library + ".new")
        os.rename(self.library + ".new", self.library)

    def loaded(self):
        """Whether the master has loaded what is installed now."""
        with open(f"/proc/{self.n.master}/maps", encoding="utf-8") as f:
            (inode,) = {x.split()[4] for x in f if self.library in x}
        return int(inode) == os.stat(self.library).st_ino

    def upgrade(self, version):
        """(the old master, the new one), which has loaded that version."""
        self.install(version)
        pids = self.n.new_binary()
        assert self.loaded()
        return pids

    def check(self):
        """It is the node that the first library made, as it made it, and both
        have written to its log."""
        n = self.n
        assert n.segments() == self.segments
        assert n.look(segment.strides) == self.made
        (instance,) = n.instances
        told = subprocess.run([conf.WMCTL, "--json", "events", instance],
                              check=True, stdout=subprocess.PIPE).stdout
        entries = [json.loads(x) for x in told.splitlines()]
        assert [x["generation"] for x in entries
                if x.get("event") == "generation-begun"][:2] == [1, 2]
        assert set(n.workers()) <= {x["pid"] for x in entries
                                    if x.get("event") == "worker-live"}


@pytest.fixture(params=[("this", "later"), ("later", "this")],
                ids="-then-".join)
def versions(make, libraries, request):
    """A daemon with one version, and the version that comes after it."""
    old, new = request.param

    def maker(**params):
        n = make(daemon=True, **params)
        return Versions(n, libraries, old), n, new
    return maker


def test_a_node_is_taken_over_by_a_library_with_other_records(versions, both):
    """Until the old master has quit, and beyond a reload of the new one."""
    v, n, new = versions(**both)
    old, _ = v.upgrade(new)
    v.check()
    n.end_master(old)
    v.check()
    n.reload()
    n.stop(UPGRADE + RELOADED)


def told_by_another(n, master, other):
    """Kills a worker of a master, which is stopped with the rest of its own,
    so that the other master's alone can tell of it: (the teller, the dead)."""
    pid, *rest = n.workers(master)
    failures, starts_ = len(n.notes("failed")), len(n.events("worker_start"))
    n.pause([master, *rest])
    n.kill(pid)
    teller = n.wait_note("failed", failures + 1)[-1]
    assert teller in n.workers(other)
    n.resume([master, *rest])
    n.wait_events("worker_start", count=starts_ + 1)
    wait(lambda: len(n.workers(master)) == 2, "the respawn")
    return teller, pid


def test_a_death_is_told_by_a_library_with_other_records(versions):
    """Of a worker with either, by one with the other, and by no second. Then
    the new master leaves; the old one has its node back."""
    v, n, new = versions(opts=opts(interval=0.1))
    old, replacing = v.upgrade(new)
    failures = [told_by_another(n, old, replacing),
                told_by_another(n, replacing, old)]
    v.check()
    n.end_master(replacing)
    n.master = old
    v.check()
    n.reload()
    n.stop(UPGRADE[:6] + worker_start(1, 3, None, 2, "respawn")
           + worker_start(2, 3, 2, None, "respawn") + exits(2, 2, 2, 2)
           + GONE_ON)
    assert told(n, "failed") == [
        (teller, f"{g}-{pid}", "crashed")
        for g, (teller, pid) in enumerate(failures, 1)]
