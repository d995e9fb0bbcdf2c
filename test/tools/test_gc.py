# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""gc: what nobody takes part in goes, and nothing else; what had to stay is
told."""

import os
import stat

import pytest

from wmctl import DENIED, FAILED, NO_NODE, Command


def told(place, *args):
    """The fate of each file: (action, reason)."""
    answer = place.json("gc", *args)
    assert answer["dry_run"] == bool(args)
    return {x["file"]: (x["action"], x["reason"]) for x in answer["segments"]}


def test_the_dead_go_and_the_living_stay(place, library):
    dead = [place.dead(x, library=library) for x in "ab"]
    live = place.node("live", library)
    for worker in [live.worker(live.begin())]:
        worker.kill()           # its master is alive
    assert place.text("gc") == "".join(f"{x}: unlinked\n" for x in dead)
    assert place.files() == [live.file]
    assert place.text("gc") == ""


def test_a_dry_run_says_what_would_go_and_leaves_it(place):
    dead = place.dead("a")
    live = place.node("live")
    before = place.files()
    assert place.text("gc", "--dry-run") == f"{dead}: would be unlinked\n"
    for args, action in (["--dry-run"], "would be unlinked"), ([], "unlinked"):
        assert place.files() == before
        assert told(place, *args) == {dead: (action, None),
                                      live.file: ("kept", "in use")}
    assert place.files() == [live.file]


def test_only_the_node_that_is_named_goes(place):
    a, b = place.dead("a"), place.dead("b")
    place.text("gc", "a")
    assert place.files() == [b]
    place.text("gc", b)
    assert place.files() == []
    assert "a" in place.refuses(NO_NODE, "gc", a)


# --- what has to stay ---------------------------------------------------------

def kept(command, name, reason, *args):
    """gc, and as if, refuses to unlink it."""
    for gc in (["gc", *args, "--dry-run"], ["gc", *args]):
        done = command.run(*gc)
        (line,) = done.stdout.splitlines()
        assert line.startswith(f"{name}: kept, ") and reason in line
        assert (done.returncode, done.stderr) == (
            DENIED, "wmctl: had to keep 1 of 1 segments\n")
        (segment,) = command.json(*gc, status=DENIED)["segments"]
        assert (segment["action"], segment["reason"]) == (
            "kept", line.partition("kept, ")[2])


@pytest.mark.parametrize("directory, owner, mode, reason", [
    (0o777, 0, 0o600, "root's, mode 0600; run wmctl as that user"),
    (0o777, 0, 0o644, "root's, mode 0644; run wmctl as that user"),
    (0o755, 65534, 0o600, "directory cannot be written; run wmctl as its"),
    (0o777, 65534, 0, "it is nobody's, mode 0000)")])
def test_what_may_not_be_unlinked_is_kept(public, directory, owner, mode,
                                          reason):
    """Another's; one's own in another's directory, or that one may not read."""
    name = public.dead()
    os.chmod(public.directory, directory)
    os.chown(public.path(name), owner, owner)
    os.chmod(public.path(name), mode)
    kept(public.nobody, name, reason)
    assert public.files() == [name]


def test_what_is_no_file_of_a_segment_is_not_unlinked(place):
    names = [f"wm.{x}.0123456789abcdef" for x in "abc"]
    os.mkdir(place.path(names[0]))
    os.symlink("/etc/passwd", place.path(names[1]))
    os.mknod(place.path(names[2]), stat.S_IFSOCK | 0o600)
    for name in names:
        kept(place, name, "no regular file", name)
    long = place.stray(b"", "long".ljust(127, "n"))
    kept(place, long, "name is too long", long)
    assert place.files() == [*names, long]


def test_each_that_had_to_stay_is_told_and_the_rest_goes(public):
    os.chmod(public.directory, 0o777)
    mine, others = ([public.stray(b"", x) for x in names]
                    for names in ("ad", "bc"))
    for name in mine:
        os.chown(public.path(name), 65534, 65534)
    public.node("live", mode=0o644)
    done = public.nobody.run("gc")
    assert [x.split(",")[0] for x in done.stdout.splitlines()] == [
        f"{mine[0]}: unlinked", f"{others[0]}: kept", f"{others[1]}: kept",
        f"{mine[1]}: unlinked"]
    assert (done.returncode, done.stderr) == (
        DENIED, "wmctl: had to keep 2 of 5 segments\n")


def test_without_descriptors_nobody_is_called_dead(place):
    """The directory takes all that are left."""
    name = place.node("blue").file
    few = Command("-c", 'ulimit -n 5; exec "$@"', "-", place.program,
                  *place.options, program="sh")
    for command in (["show", "blue"], ["show"], ["wait", "--ready", "1"],
                    ["events", "-f", name], ["watch"]):
        line = few.refuses(FAILED, *command)
        assert name in line and "too many open files" in line
    assert few.text("list").splitlines()[1].split()[:2] == [
        "blue", "unreadable"]
    (node,) = few.json("list")["nodes"]
    assert (node["status"], node["live"]) == (FAILED, False)
    assert node["error"] == line[len("wmctl: "):]
    kept(few, name, "too many open files")
    assert place.files() == [name]
