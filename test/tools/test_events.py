# SPDX-License-Identifier: Apache-2.0
"""events: the log, read to its end and beyond. wait: for scripts, which rely on
its exit status. Both go on in a node's next life."""

import fcntl
import os
from datetime import datetime

import pytest

import proc
import segment
from processes import WM_CLOSED, WM_RECOVERED
from wmctl import DAMAGED, NO_NODE, NOT_READY, OK, ONCE

LIFE = ["generation-begun", "worker-joined", "generation-active",
        "worker-live", "worker-draining", "generation-exited", "worker-left",
        "generation-gone"]


def live_a_life(master):
    g = master.begin()
    worker = master.worker(g)
    assert worker.drain() == 0
    assert worker.close(g) == WM_CLOSED
    assert worker.leave() == 0
    worker.kill()
    return worker


def test_all_events_are_told_in_their_order(place, master):
    worker = live_a_life(master)
    events = place.lines("events")
    assert sorted(x["event"] for x in events) == sorted(LIFE)
    assert [x["number"] for x in events] == list(range(1, len(LIFE) + 1))
    assert all(x["generation"] == 1 for x in events)
    (joined,) = [x for x in events if x["event"] == "worker-joined"]
    assert (joined["pid"], joined["slot"]) == (worker.pid, 0)
    assert (events[0]["pid"], events[0]["slot"]) == (master.pid, None)
    place.env["TZ"] = "XYZ-5:30"
    for utc, end in ([], "+0530"), (["--utc"], "Z"):
        _, *rows = place.text("events", *utc).splitlines()
        assert {x.split()[0][23:] for x in rows} == {end}
    for row, x in zip(rows, events, strict=True):
        moment = datetime.fromisoformat(row.split()[0])
        assert round(moment.timestamp() * 1000) == x["time_ms"]
        assert row.split()[1] == x["event"]
        assert row.split()[5].endswith(f"={x['value']}")


def test_an_events_value_is_what_its_kind_says(place, master):
    g = [master.begin() for _ in range(2)][1]
    killed, heir = [master.worker(g) for _ in range(2)]
    assert killed.lead() == 1
    assert killed.lock(purpose=0) == 0
    killed.kill()
    assert heir.lock(purpose=0) == WM_RECOVERED
    seen = {(x["event"], x["pid"]): (x["generation"], x["slot"], x["value"])
            for x in place.lines("events")}
    assert seen["worker-joined", heir.pid] == (g, 1, 2)
    assert seen["leader", killed.pid] == (g, 0, 1)
    assert seen["lock-recovered", heir.pid][2] == killed.pid
    values = dict(x.split()[1::4] for x in place.text("events").splitlines())
    assert {x.split("=")[0] for x in values.values()} == {
        "VALUE", "spell", "join", "term", "holder"}
    assert values["lock-recovered"] == f"holder={killed.pid}"


def test_only_the_events_that_are_asked_for_are_told(place, master):
    first, _ = [live_a_life(master) for _ in range(2)]
    every = place.lines("events")

    def those(name, *values):
        return [x for x in every if x[name] in values]
    at = place.text("events", "--since", "1h30m").splitlines()[6].split()[0]
    late = range(every[5]["time_ms"], every[-1]["time_ms"] + 1)
    for args, wanted in {
            "-n 0": [], "-n 3": every[-3:], "--since 0.0s": [],
            f"--since {at}": those("time_ms", *late),
            f"--since {at[:10].replace('-', '/')}": every,
            "--generation 2": those("generation", 2),
            f"--worker {first.pid}": those("pid", first.pid),
            "--event worker-left": those("event", "worker-left"),
            "--event worker": those("event", *(
                x for x in LIFE if x.startswith("worker-"))),
            "--event leader -n 1": []}.items():
        assert place.lines("events", *args.split()) == wanted, args
    follow = place.begin("--json", "events", "-f", "-n", "1")
    assert follow.documents(1) == every[-1:]
    live_a_life(master)
    follow.documents(1 + len(LIFE))


def test_a_long_log_is_written_whole_when_the_output_takes_it(place, master):
    """It is longer than what is read at once. A pipe that does not block says
    that it is full, instead of waiting."""
    for _ in range(100):
        live_a_life(master)
    events = place.begin("--json", "events", blocking=False)
    events.full()
    assert events.end() == (OK, "")
    assert len(events.documents(1)) == 100 * len(LIFE)


def test_overwritten_entries_are_counted(place):
    master = place.node(log_entries=4)
    live_a_life(master)
    first, *rest = place.lines("events")
    assert first == {"missed": len(LIFE) - 4} and len(rest) == 4
    assert "# 4 entries are overwritten, or" in place.text("events")
    assert place.lines("events", "-n", "2") == rest[-2:]


def test_an_entry_that_is_not_finished_hides_none_behind_it(place, master):
    """It is waited for, but not for ever."""
    live_a_life(master)
    with open(place.path(master.file), "rb") as f:
        checksum = segment.place(f.fileno(), table=3, number=2)
    place.write(master.file, checksum, 0, 8)
    events = place.lines("events")
    assert events[1] == {"missed": 1}
    assert [x.get("number") for x in events] == [1, None, *range(3, 9)]


def test_following_tells_what_comes_until_the_life_ends(place, library):
    """Also just before the end. To ask for that takes long with many files."""
    for i in range(1000):
        place.stray(b"", f"a{i}")
    for _ in range(3):
        master = place.node(library=library)
        follow = place.begin("--json", "events", "-f", master.file)
        live_a_life(master)
        follow.documents(len(LIFE))
        for _ in range(2):
            live_a_life(master)
        master.release()
        assert follow.end() == (OK, "")
        *events, end = follow.documents(1)
        assert [x["number"] for x in events] == list(
            range(1, 3 * len(LIFE) + 1))
        assert end == {"file": master.file, "instance": "demo", "live": False}


@pytest.mark.parametrize("named", [["demo"], []])
def test_following_goes_on_in_the_next_life(place, master, named):
    follow = place.begin("events", "-f", *named)
    live_a_life(master)
    follow.until(lambda out: "generation-gone" in out, "the first life")
    master.release()
    follow.until(lambda out: f"# node demo has ended: {master.file}\n" in out,
                 "end")
    heir = place.node()
    follow.until(lambda out: f"# node demo begins: {heir.file}\n" in out,
                 "a life")
    live_a_life(heir)
    follow.until(lambda out: out.count("generation-gone") == 2, "its events")
    first, ended, rest = follow.output.partition("# node demo has ended")
    assert ended and first.count("\n") == 1 + len(LIFE)
    assert rest.count("\n") == 2 + len(LIFE)


def test_following_a_dead_file_ends_with_its_log(place):
    name = place.dead()
    follow = place.begin("--json", "events", "--follow", name)
    assert follow.end() == (OK, "")
    *events, end = follow.documents(1)
    assert events == place.lines("events", name) and not end["live"]
    assert events[0]["event"] == LIFE[0]


def ready(place, count, *args, status=OK):
    return place.json("wait", "--ready", str(count), *(args or ONCE),
                      status=status)


def begin(place, *args):
    """A wait that has begun to sleep, or is about to."""
    return place.begin("--json", "wait", "--ready", "1", "--timeout", "60",
                       *args)


def answer_of(running):
    """The output of one that ended well."""
    assert running.end() == (OK, "")
    return running.documents(1)[0]


def test_enough_live_workers_are_ready_at_once(place, master):
    g = master.begin()
    for _ in range(2):
        master.worker(g)
    for count in (1, 2):
        assert ready(place, count) == {
            "ready": True, "wanted": count, "live": 2, "generation": 1,
            "orphaned": False, "file": master.file, "settled": True,
            "others": []}
    for timeout in ("0", "0.2"):
        answer = ready(place, 3, "--timeout", timeout, status=NOT_READY)
        assert (answer["ready"], answer["live"]) == (False, 2)
    assert place.text("wait", "--ready", "2", *ONCE) == (
        "2 of 2 workers are live in generation 1\n")


def test_the_current_generation_is_meant_unless_one_is_named(place, master):
    """One that is not there is none."""
    absent = ["wait", "--ready", "1", "--generation", "1", *ONCE]
    assert place.json(*absent, status=NOT_READY)["generation"] is None
    done = place.run(*absent)
    assert (done.returncode, done.stdout) == (
        NOT_READY, "0 of 1 workers are live; there is no such generation\n")
    master.worker(master.begin())
    new = master.begin()
    for args in (), ("--generation", "current"):
        assert ready(place, 1, *args, *ONCE, status=NOT_READY)[
            "generation"] == new
    assert ready(place, 1, "--generation", "1", *ONCE)["live"] == 1
    assert master.abandon(new) == WM_CLOSED
    assert ready(place, 1)["generation"] == 1


def test_newer_than_waits_for_a_reload_that_has_not_begun(place, master):
    """A script that has only just asked for it needs this."""
    master.worker(master.begin())
    ready(place, 1, "--newer-than", "1", *ONCE, status=NOT_READY)
    waiting = begin(place, "--newer-than", "1")
    master.worker(master.begin())
    assert answer_of(waiting)["generation"] == 2


@pytest.mark.parametrize("lives", [0, 1])
def test_a_node_that_is_yet_to_come_is_waited_for(place, lives):
    """The first one, or the next one."""
    former = [place.node() for _ in range(lives)]
    for master in former:
        master.begin()
    waiting = begin(place, "demo")
    for master in former:
        master.release()
    master = place.node()
    master.worker(master.begin())
    answer_of(waiting)


def test_without_a_node_in_time_there_is_none(place):
    place.dead("demo")
    for args in (("other",), ("demo",), ()):
        place.refuses(NO_NODE, "wait", "--ready", "1", "--timeout", "0.1",
                      *args)


def test_a_node_that_is_just_being_made_is_waited_for(place):
    """Its maker has locked the file, and not filled it."""
    path = place.path(place.stray(b"", "demo"))
    with open(path, "rb") as f:
        fcntl.flock(f, fcntl.LOCK_SH)
        waiting = begin(place, "demo")
        place.refuses(DAMAGED, "wait", "--ready", "1", "--timeout", "0.1")
        os.unlink(path)
    master = place.node("demo")
    master.worker(master.begin())
    answer_of(waiting)


@pytest.mark.parametrize("orphans", [True, False])
def test_each_command_means_the_life_of_the_youngest_living_master(
        place, orphans):
    """Workers that outlived their master, or serve an old binary, make nothing
    ready; once the younger master has ended, its life is not meant. One that
    follows goes on in a younger life."""
    old = place.node()
    old.worker(old.begin())
    follow = [place.begin("--json", *command)
              for command in (["events", "--follow"], ["watch"])]
    for each in follow:
        each.documents(1)
    new = place.younger_node()
    if orphans:
        old.kill()
    new.begin()
    for each in follow:
        each.until(lambda said: new.file in said, "younger life")
    for named in ([], ["demo"]):
        waited = ready(place, 1, *ONCE, *named, status=NOT_READY)
        assert (waited["file"], waited["others"]) == (new.file, [old.file])
    shown = place.json("show", "demo")
    assert (shown["file"], shown["others"]) == (new.file, [old.file])
    assert f"\n# another life: {old.file}\n" in place.text("show")
    (begun,) = place.lines("events", "de")
    assert begun["pid"] == new.pid
    shown = place.json("show", old.file)
    assert (shown["file"], shown["others"]) == (old.file, [])
    waiting = [begin(place, *named) for named in ([], ["demo"])]
    new.worker(1)
    assert {answer_of(x)["file"] for x in waiting} == {new.file}
    if not orphans:
        new.kill()
        assert place.json("show")["file"] == old.file
        assert ready(place, 1, *ONCE)["ready"]


def test_a_node_that_is_denied_for_a_moment_is_waited_for(public):
    """Its maker sets the mode last. A maker slower than the second for which
    that is believed tries again."""
    master = public.node(mode=0o644)
    master.worker(master.begin())
    path = public.path(master.file)

    def came():
        os.chmod(path, 0o600)
        waiting = public.nobody.begin("--json", "wait", "--ready", "1")
        proc.wait(lambda: (proc.stat(waiting.popen.pid) or "Z")[0] in "SZ",
                  "its sleep or its end")
        os.chmod(path, 0o644)
        return waiting.end() == (OK, "")
    assert any(came() for _ in range(20))
