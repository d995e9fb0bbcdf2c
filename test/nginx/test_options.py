# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The options table: what is wrong raises, what is unknown warns."""

import itertools

import pytest

from conf import EVENTS, Lua, lua, options
from rows import born, life, respawn, stopped

GOOD = 'wmt.call("on_init", M.on_init_by_lua, %s, %s)' % (
    options({}), ", ".join(f'wmt.callback("{e}")' for e in EVENTS[:2]))


def try_all(make, attempts):
    """Tries each (name, arguments), then the good call: what each saw."""
    init = 'local M = require("resty.worker.manager")\n' + "".join(
        f"wmt.try({lua(name)}, function() "
        f"local ok, err = M.on_init_by_lua({arguments}) "
        "return ok, err end)\n"
        for name, arguments in attempts) + GOOD
    n = make(init=init).start()
    n.stop(life(2))     # nothing was harmed
    return n.tries()


def raised(line, *words):
    """It raised, at the place of the caller, and names what is wrong."""
    assert line["ok"] is False, line
    assert line["first"].startswith("init_by_lua(nginx.conf:"), line
    assert "worker manager: " in line["first"], line
    for word in words:
        assert word in line["first"], line


WRONG = {
    "shm": [1, True, {}, "", Lua("print")],
    "interval": [0, -1, "x", "", True, {}, Lua("0/0"), Lua("1/0"), "0"],
    "failed": [-1, "x", True, {}, Lua("0/0"), Lua("1/0")],
    "lock_timeout": [0, -1, "x", True, {}, Lua("0/0")],
    "capacity": [0, -1, 65536, 1.5, "x", True, {}, Lua("0/0"), False],
    "name": ["", "a/b", "../x", "a b", ".hidden", "x" * 64, 1, True, {},
             Lua(r'"a\nb"')],
    **dict.fromkeys(("on_worker_failed", "on_worker_recovered", "on_leader",
                     "on_leader_lost"), ["f", 1, True, {}]),
    "mode": ["rw", "0800", "", 8, -1, 0o10000, 384.5, True, {}],
}


@pytest.mark.parametrize("option", WRONG)
def test_wrong_values_raise_and_harm_nothing(make, option):
    wrong = WRONG[option]
    tries = try_all(make, [(str(i), options({option: v}))
                           for i, v in enumerate(wrong)])
    for i in range(len(wrong)):
        raised(tries[str(i)], f"'{option}'")


def test_a_missing_shm_raises(make):
    """Whether there is a dict of any name does not matter."""
    tries = try_all(make, [("empty table", "{}"),
                           ("others given", "{ interval = 1 }")])
    raised(tries["empty table"], "'shm'")
    raised(tries["others given"], "'shm'")


def test_options_that_are_no_table_raise(make):
    tries = try_all(make, [("nothing", ""), ("nil", "nil"),
                           ("a string", '"my_shm"'), ("a number", "1"),
                           ("a function", "print")])
    for name, line in tries.items():
        raised(line, "table", name.split()[-1]
               if name.startswith("a ") else "nil")


def test_callbacks_that_are_no_functions_raise(make):
    shm = '{ shm = "my_shm" }'
    tries = try_all(make, [
        (f"{place} {i}", f"{shm}, {value if place == 'start' else 'nil'}, "
                         f"{value if place == 'exit' else 'nil'}")
        for place, (i, value) in itertools.product(
            ("start", "exit"), enumerate(('"f"', "1", "true", "{}")))])
    assert len(tries) == 8
    for name, line in tries.items():
        raised(line, f"master {name.split()[0]}", "function")


def test_worker_callbacks_that_are_no_functions_raise(make):
    n = make(before_join="""
        local M = require("resty.worker.manager")
        for i, wrong in ipairs { "f", 1, true, {} } do
            wmt.try("start " .. i, function()
                local ok = M.on_init_worker_by_lua(wrong) return ok end)
            wmt.try("exit " .. i, function()
                local ok = M.on_init_worker_by_lua(nil, wrong) return ok
            end)
        end""").start()
    n.stop()
    assert len(n.tries()) == 8
    for name, line in n.tries().items():
        assert line["ok"] is False, line
        assert f"worker {name.split()[0]}" in line["first"], line
        assert "init_worker_by_lua(nginx.conf:" in line["first"], line
    assert n.rows() == life(2)


def test_an_unknown_option_is_one_warning(make, both):
    n = make(opts={"intervall": 5}, **both).start()
    assert len(n.log_lines(r"\[warn\].*worker manager: .*'intervall'")) == 1
    n.expect(r"\[warn\].*worker manager: .*'intervall'", 2)
    n.reload()      # its configuration is read anew
    n.stop(life(2, 2))


def test_unknown_keys_of_any_type_are_only_warned_of(make):
    n = make(init='wmt.call("on_init", '
             'require("resty.worker.manager").on_init_by_lua, '
             '{ shm = "my_shm", "stray", [print] = 1, [true] = 2 },'
             'wmt.callback("master_start"), wmt.callback("master_exit"))')
    n.start()
    n.expect("worker manager: unknown option", 1)
    n.stop(life(2))


def test_numeric_strings_pass_as_numbers(make):
    n = make(opts={"interval": "0.2", "failed": "0.6", "lock_timeout": "5",
                   "capacity": "16", "mode": "0640"}).start()
    n.replace(n.started(1)[0])
    n.stop(born(2) + respawn(3) + stopped(2))


def test_the_seeds_options_alone_will_do(make, dict_):
    """The defaults of all others; fractions are welcome."""
    n = make(dict=dict_, opts={"interval": None, "failed": None}).start()
    n.reload(opts={"interval": 7.25, "failed": 0.5})
    n.stop(life(2, 2))


def test_the_options_table_is_left_as_it_was(make):
    n = make(init="""
        local opts = { shm = "my_shm", interval = "1" }
        wmt.call("on_init", require("resty.worker.manager").on_init_by_lua,
                 opts, wmt.callback("master_start"),
                 wmt.callback("master_exit"))
        local keys = 0
        for _ in pairs(opts) do keys = keys + 1 end
        assert(keys == 2 and opts.interval == "1")""").start()
    n.stop(life(2))
