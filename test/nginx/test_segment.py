# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Segments: names, modes, and a /dev/shm that cannot be used."""

import os
import re

import pytest

import conf
import segment
from rows import born, life, respawn, stopped

STRAY = f"/dev/shm/wm.{conf.own('test-stray')}.0123456789abcdef"


def mode(path):
    return os.stat(path).st_mode & 0o7777


def test_the_name_option_names_the_instance(make, both):
    n = make(opts={"name": conf.own("test-blue.1")}, **both).start()
    (path,) = n.segments()
    assert re.fullmatch(r"/dev/shm/wm\.test-blue\.1-\d+\.[0-9a-f]{16}", path)


def test_a_name_of_63_characters(make):
    n = make(opts={"name": conf.own("n").ljust(63, "n")}).start()
    (path,) = n.segments()
    assert len(path) == len("/dev/shm/wm..") + 63 + 16



@pytest.mark.parametrize("shm", ["a/b", "sp ace", "é", "x" * 200, ".."])
def test_any_shm_name_makes_a_default_name(make, shm):
    n = make(dict=False, opts={"shm": shm}).start()
    assert len(n.segments()) == 1
    n.stop(life(2))


@pytest.mark.parametrize("given, expected", [
    (None, 0o600), (0o640, 0o640), ("0640", 0o640), ("660", 0o660),
    (0o604, 0o604)])
def test_the_mode_option_is_the_files_mode(make, given, expected):
    old = os.umask(0o077)
    try:
        n = make(opts={"mode": given}).start()
    finally:
        os.umask(old)
    (path,) = n.segments()
    assert mode(path) == expected


def damaged_file():
    with open(STRAY, "wb") as f:
        f.write(b"not a segment" * 100)


def empty_file():
    with open(STRAY, "wb"):
        pass


def link():
    os.symlink("/etc/passwd", STRAY)


def directory():
    os.mkdir(STRAY)


@pytest.fixture
def stray():
    try:
        yield
    finally:
        if os.path.isdir(STRAY):
            os.rmdir(STRAY)
        elif os.path.lexists(STRAY):
            os.unlink(STRAY)


@pytest.mark.parametrize("what", [damaged_file, empty_file, link, directory])
def test_a_stray_file_of_its_name_does_no_harm(make, stray, what):
    """It is not taken for a node, also if root made it."""
    what()
    n = make(opts={"name": conf.own("test-stray")}).start()
    n.expect(r"\[warn\].*worker manager: .*damaged.*wm\.test-stray", 1)
    assert list(n.mapped()) != [os.path.basename(STRAY)]
    n.reload()
    n.stop(life(2, 2))
    assert "unclean" not in n.events("master_start")[0]["info"]
    assert os.path.exists("/etc/passwd")
    n.instances.clear()     # the stray one may stay


@pytest.mark.parametrize("generation, said", [
    (0, r"1 damaged file\(s\)"), (3, r"1 former segment\(s\)")])
def test_a_drafts_segment_is_removed_and_said_to_be(make, stray, generation,
                                                    said):
    """Its layout is not today's, whether its number gives it away or not."""
    with open(STRAY, "wb") as f:
        f.write(segment.draft(conf.own("test-stray"), generation))
    n = make(opts={"name": conf.own("test-stray")}).start()
    n.expect(rf"\[warn\].*worker manager: {said}.*wm\.test-stray", 1)
    assert not os.path.exists(STRAY)
    n.stop(life(2))
    assert "unclean" not in n.events("master_start")[0]["info"]


def test_a_file_of_another_user_is_left_alone(make, root, stray):
    """Also by root: its maker could tell us anything."""
    damaged_file()
    os.chown(STRAY, 65534, 65534)
    n = make(opts={"name": conf.own("test-stray")}).start()
    n.expect(r"\[warn\].*worker manager: .*of another user left alone", 1)
    n.stop()
    assert os.path.exists(STRAY)
    n.instances.clear()


# --- a /dev/shm that cannot be used -----------------------------------------

MOUNTS = {
    "full": "mount -t tmpfs -o size=4k none /dev/shm"
            " && { yes > /dev/shm/fill 2>/dev/null || true; }",
    "without inodes": "mount -t tmpfs -o nr_inodes=1 none /dev/shm",
    "read-only": "mount -t tmpfs -o ro none /dev/shm",
    "missing": "umount -l /dev/shm && mount -t tmpfs none /mnt"
               " && touch /mnt/null && mount --bind /dev/null /mnt/null"
               " && mount --move /mnt /dev",
}


def unshared(make, mount, **params):
    n = make(**params)
    n.wrap = ["unshare", "-m", "sh", "-c", mount + ' && exec "$@"', "sh"]
    return n


@pytest.mark.parametrize("what", MOUNTS)
def test_without_dev_shm_anonymous_memory_serves(make, private_mounts, both,
                                                 what):
    """One warning, and everything else works."""
    n = unshared(make, MOUNTS[what], opts={"interval": 0.1}, **both)
    warning = r"\[warn\].*worker manager: .*(/dev/shm|anonymous memory)"
    n.start()
    assert n.mapped() == {}
    n.expect(warning, 1)
    n.reload()
    n.bind_fails()
    n.replace(n.started(2)[0])
    n.reload()
    n.stop(born(2, 2, None) + respawn(3, 2, 0) + life(2, 2, None, 2)[10:])
    assert len(n.log_lines(warning)) == 1


def test_anonymous_memory_and_daemon_on(make, private_mounts, root):
    n = unshared(make, MOUNTS["read-only"], daemon=True, user="www-data")
    n.start()
    n.expect("worker manager: .*anonymous memory", 1)
    n.reload()
    n.stop_fast(life(2, 2))


def test_a_dev_shm_that_fills_up_later_does_no_harm(make, private_mounts):
    """Space was reserved up front: no SIGBUS."""
    n = unshared(make, "mount -t tmpfs -o size=1m none /dev/shm")
    n.start()
    n.note_segments()
    (name,) = n.mapped()
    shm = f"/proc/{n.master}/root/dev/shm"
    with pytest.raises(OSError):
        with open(f"{shm}/fill", "wb") as f:
            while True:
                f.write(bytes(65536))
                f.flush()
    assert os.listdir(shm).count(name) == 1
    n.reload()
    n.replace(n.started(2)[0])
    n.stop(born(2, 2) + respawn(3, 2, 0) + stopped(2, 2))
