# SPDX-License-Identifier: Apache-2.0
"""Fixtures: wmctl, and a directory of segments of the test's own."""

import os
import shutil
import tempfile
import time

import pytest

import conf
import later
import leftovers
import proc
from processes import Process, processes
from wmctl import Command

pytest_plugins = ["nginx_fixtures"]


class Place(Command):
    """A directory of segments, and wmctl for it."""

    def __init__(self, directory):
        super().__init__("--directory", directory)
        self.directory = directory

    def node(self, instance="demo", library=conf.LIBRARY, **options):
        """A process that has attached: the node's master, with the name of its
        file."""
        before = self.files()
        master = Process(library)
        assert master.attach(instance, self.directory, **options) == 0
        (master.file,) = set(self.files()) - set(before)
        return master

    def younger_node(self, *args):
        """The same, by a master that began in a later tick of the kernel's
        clock than all others."""
        end = time.monotonic() + 2 / os.sysconf("SC_CLK_TCK")
        proc.wait(lambda: time.monotonic() > end, "another tick")
        return self.node(*args)

    def files(self):
        return sorted(os.listdir(self.directory))

    def path(self, name):
        return os.path.join(self.directory, name)

    def stray(self, data, instance="stray"):
        """A file that is called as a segment is."""
        name = f"wm.{instance}.0123456789abcdef"
        with open(self.path(name), "wb") as f:
            f.write(data)
        return name

    def dead(self, instance="demo", workers=1, library=conf.LIBRARY):
        """The rest of a node whose processes were all killed: its file."""
        master = self.node(instance, library)
        generation = master.begin()
        for worker in [master.worker(generation) for _ in range(workers)]:
            worker.kill()
        master.kill()
        return master.file

    def write(self, name, offset, value, size=4):
        """Changes a word of a segment."""
        with open(self.path(name), "r+b") as f:
            f.seek(offset)
            f.write(value.to_bytes(size, "little"))
        return name


@pytest.fixture
def place(tmp_path):
    yield Place(str(tmp_path))
    leftovers.kill_all()
    processes.clear()
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="session", params=["this", "later"])
def library(tmp_path_factory, request):
    """Of this version, and of a later one, whose header and records are
    longer."""
    return conf.LIBRARY if request.param == "this" else later.build(
        str(tmp_path_factory.mktemp("later")))


@pytest.fixture
def master(place, library):
    return place.node(library=library)


@pytest.fixture
def public(root):
    """A place that others may enter, with a wmctl that nobody can run."""
    path = tempfile.mkdtemp(prefix="wmctl.", dir="/tmp")
    try:
        os.chmod(path, 0o755)
        os.mkdir(os.path.join(path, "segments"))
        shutil.copy(conf.WMCTL, path)
        shutil.copy(conf.LIBRARY, os.path.join(path, "libwm.so.1"))
        p = Place(os.path.join(path, "segments"))
        p.nobody = Command(*p.options, program=os.path.join(path, "wmctl"),
                           user="nobody", LD_LIBRARY_PATH=path)
        yield p
    finally:
        leftovers.kill_all()
        processes.clear()
        shutil.rmtree(path)
