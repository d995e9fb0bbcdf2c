# SPDX-License-Identifier: Apache-2.0
"""Options and calls that are wrong raise, where they were made, and harm
nothing; what is unknown is warned of. A libwm.so that does not fit is refused.
"""

import ctypes.util
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import conf
from conf import MODULE, Lua, lua, options
from rows import life


def tried(name, call):
    """Lua that tries a call, whose results may not be in tail position."""
    return f"""
        wmt.try({lua(name)}, function()
            local ok, err = {MODULE}.{call}
            return ok, err
        end)"""


def raised(line, place, *words):
    """It raised, at the place of the caller, and names what is wrong."""
    assert line["ok"] is False, line
    assert place in line["first"] and "worker manager: " in line["first"], line
    for word in words:
        assert word in line["first"], line


CALLBACK = ["f", 1, True, {}]
WRONG = {
    "shm": [1, True, {}, "", Lua("print")],
    "interval": [0, -1, "x", "", True, {}, Lua("0/0"), Lua("1/0"), "0"],
    "failed": [-1, "x", True, {}, Lua("0/0"), Lua("1/0")],
    "lock_timeout": [0, -1, "x", True, {}, Lua("0/0")],
    "capacity": [0, -1, 65536, 1.5, "x", True, {}, Lua("0/0"), False],
    "name": ["", "a/b", "../x", "a b", ".hidden", "x" * 64, 1, True, {},
             Lua(r'"a\nb"')],
    "directory": ["", "run", "./run", 1, True, {}, Lua(r'"/run\0"')],
    "start_timeout": [-1, "x", True, {}, Lua("0/0")],
    "mode": ["rw", "0800", "", 8, -1, 0o10000, 384.5, True, {}],
    **dict.fromkeys(("on_worker_failed", "on_worker_recovered", "on_leader",
                     "on_leader_lost"), CALLBACK),
}
SHM = '{ shm = "my_shm" }'
# Arguments of on_init_by_lua, and words of the error.
ATTEMPTS = (
    [(options({option: value}), (f"'{option}'",))
     for option, values in WRONG.items() for value in values]
    + [("{}", ("'shm'",)), ("{ interval = 1 }", ("'shm'",)),
       ("", ("table", "nil")), ("nil", ("table", "nil")),
       ('"my_shm"', ("table", "string")), ("1", ("table", "number")),
       ("print", ("table", "function"))]
    + [(SHM + place % lua(value), (f"master {event}", "function"))
       for event, place in (("start", ", %s"), ("exit", ", nil, %s"))
       for value in CALLBACK])


def test_wrong_arguments_raise_and_harm_nothing(make):
    n = make(before_init="".join(
        tried(arguments, f"on_init_by_lua({arguments})")
        for arguments, _ in ATTEMPTS), before_join="".join(
        tried(f"worker {event} {value}",
              "on_init_worker_by_lua" + place % lua(value))
        for event, place in (("start", "(%s)"), ("exit", "(nil, %s)"))
        for value in CALLBACK)).start()
    n.stop(life(2))
    tries = n.tries()
    assert len(tries) == len(ATTEMPTS) + 2 * len(CALLBACK)
    for arguments, words in ATTEMPTS:
        raised(tries.pop(arguments), "init_by_lua(nginx.conf:", *words)
    for name, line in tries.items():
        raised(line, "init_worker_by_lua(nginx.conf:", name.rpartition(" ")[0])


def test_unknown_keys_are_only_warned_of_and_numbers_may_be_strings(make):
    """By one line for each reading, and the table is left as it was."""
    n = make(init=f"""
        local opts = {{ shm = "my_shm", interval = "1", failed = "600.5",
                        lock_timeout = "60", capacity = "1024", "stray",
                        [print] = 1, [true] = 2, intervall = 5 }}
        wmt.call("on_init", {MODULE}.on_init_by_lua, opts,
                 wmt.callback("master_start"), wmt.callback("master_exit"))
        local keys = 0
        for _ in pairs(opts) do keys = keys + 1 end
        assert(keys == 9 and opts.interval == "1")""").start()
    assert len(n.log_lines(r"\[warn\].*worker manager: .*'intervall'")) == 1
    n.expect("worker manager: unknown option", 2)
    n.reload()
    n.stop(life(2, 2))


CALLS = {"init": f"on_init_by_lua({SHM})",
         "worker": "on_init_worker_by_lua()", "exit": "on_exit_worker_by_lua()"}


def all_in(phase):
    return "".join(tried(f"{name} in {phase}", call)
                   for name, call in CALLS.items())


def test_the_wrong_phase_raises_and_harms_nothing(make, dict_):
    """So does a second call in the right one: the first stands. Of exits on a
    fast stop, the second repeats nothing."""
    wmt = 'local wmt = require "wmt"'
    leave = "exit_worker"
    n = make(dict=dict_, user="root", after_init=all_in("init")
             + tried("init of other", 'on_init_by_lua({ shm = "other" })'),
             after_join=f"""
        ngx.timer.at(0, function()
            {all_in("timer")}
            wmt.note("timer")
        end)
        {all_in("init_worker")}""",
             server="location /lua { content_by_lua_block { "
                    + wmt + all_in("content") + "} }",
             leave=wmt + all_in(leave) + f"""
        wmt.call("on_exit_worker", {MODULE}.on_exit_worker_by_lua)""").start()
    assert n.get("/lua") == 200
    n.wait_note("timer", 2)
    n.stop_fast(life(2))
    tries = n.tries()
    assert tries.pop(f"exit in {leave}")["first"] is True
    assert len(tries) == 5 * len(CALLS)
    for name in ("init in init", "init of other", "worker in init_worker"):
        raised(tries[name], "by_lua(nginx.conf:", "twice")
    for name, line in tries.items():
        raised(line, "nginx.conf:", CALLS[name.split()[0]].partition("(")[0])


def test_a_worker_without_on_init_raises(make, dict_):
    """If the module was never set up, on_exit_worker_by_lua does nothing."""
    n = make(dict=dict_, init="", join=tried(
        "worker", "on_init_worker_by_lua(print, print)")).start()
    n.stop([])
    line = n.tries()["worker"]
    assert line["ok"] is False and "on_init_by_lua" in line["first"]
    calls = [x for x in n.trace() if x["what"] == "call"]
    assert [x["name"] for x in calls] == ["on_exit_worker"] * 2


def test_on_init_without_any_worker_call(make, both):
    """Only the master's part is used: no exits, and a clean end. A module that
    is unloaded does not end the node."""
    n = make(join="", after_init="""
        package.loaded["resty.worker.manager"] = nil
        collectgarbage() collectgarbage()""", **both).start()
    assert len(n.segments()) == 1
    n.reload()
    n.complete = False
    n.stop()
    assert [r[:2] for r in n.rows()] == [
        ("master_start", 1), ("master_start", 2)]


# libwm.so in the prefix, as C or not; what the log has, beside its path.
REFUSED = {
    "none": (None, "worker manager: libwm"),
    "no library": ("not a library", ""),
    "no version": ("int other;", "worker manager: .*version"),
    "version 2": ("unsigned wm_version(void) { return 2u << 16; }",
                  "major version"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_library_that_will_not_do_is_named(make, dict_, what):
    """And, where there is none, every path that was tried."""
    assert not ctypes.util.find_library("wm"), "libwm is installed here"
    source, said = REFUSED[what]
    n = make(dict=dict_, opts={"name": conf.own("test-library")})
    library = n.path("libwm.so")
    n.params["lua_cpath"] = f"/nowhere/lib?.so.1;{n.prefix}/?.so"
    if what == "no library":
        conf.write(library, source)
    elif source:
        subprocess.run(["gcc", "-shared", "-fPIC", "-xc", "-o", library, "-"],
                       input=source, text=True, check=True)
    n.start_fails()
    n.expect("worker manager|init_by_lua error")
    (line,) = n.log_lines("init_by_lua error")
    assert library in n.log() and n.log_lines(said)
    if said == "major version":
        assert said in line and library in line
    if not source:
        assert "/nowhere/liblibwm.so.1" in n.log()
    assert n.rows() == [] and n.segments() == []


def test_a_reload_finds_the_one_that_is_loaded(make, both):
    """It is never unloaded, and the node is known to it alone: wherever the
    path leads by now, to another copy or nowhere."""
    n = make(**both)
    first, data = n.path("first.so"), pathlib.Path(conf.LIBRARY).read_bytes()
    at = data.index(b"\0libwm.so.1\0") + 1      # musl finds none by its soname
    pathlib.Path(first).write_bytes(data[:at] + b"other" + data[at + 5:])
    n.params["lua_cpath"] = first
    n.start()
    copy = shutil.copy(conf.LIBRARY, n.path("libwm.so"))
    n.reload(lua_cpath=n.prefix + "/?.so")
    assert copy not in n.maps()
    n.reload(lua_cpath="/nowhere/?.so")
    n.stop(life(2, 2, 2))


NEWER = {"MAJOR": "major version 1, .*restart nginx",
         "MINOR": r"needs libwm 1\.1, and .* 1\.0, .*: restart nginx"}


@pytest.mark.parametrize("part", NEWER)
def test_a_newer_module_on_reload_leaves_the_node_alone(make, both, part):
    """One that needs more than the library that the master has loaded."""
    n = make(**both).start()
    shutil.copytree(os.path.join(conf.ROOT, "lua/resty"), n.path("lua/resty"))
    library = "lua/resty/worker/manager/libwm.lua"
    newer, count = re.subn(rf"(?m)^local {part} = (\d)",
                           lambda m: f"local {part} = {int(m[1]) + 1}",
                           conf.source(library))
    assert count == 1
    conf.write(n.path(library), newer)
    n.reload_fails(NEWER[part],
                   lua_path=n.prefix + "/lua/?.lua;" + conf.LUA_PATH)
    n.wait_log("init_by_lua error")
    n.expect("worker manager: .*(major version|needs libwm)|stack traceback")
    n.reload()
    n.stop(life(2, 2))
