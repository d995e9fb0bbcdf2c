# SPDX-License-Identifier: Apache-2.0
"""The configurations that the documents show, led through a life; what else
the documents say of the files and of the tests."""

import glob
import os
import re
import subprocess

import pytest

import conf
from conf import MODULE, source
from nginx import Nginx, running
from nginx_fixtures import prefix
from proc import wait
from traced import ANSWERING

ROOT = conf.ROOT
LUA_FOLDER = f"{ROOT}/lua/resty/worker"
SYSTEM = {      # where Debian and `meson install` put the files
    "LUA_PATH": f"{ROOT}/lua/?.lua;{conf.DEB}/usr/share/lua/5.1/?.lua;;",
    "LUA_CPATH": f"{conf.BUILD}/libwm/?.so;;",
}


def block(text, begin):
    """The indented block whose first line begins so, dedented."""
    lines = text[text.index("\n    " + begin) + 1:].split("\n")
    end = next(i for i, x in enumerate(lines) if x and not x.startswith(" "))
    return "\n".join(x[4:] for x in lines[:end])


def lead(request, text, env):
    """Leads a configuration through a start, a reload and a stop, and looks at
    what its callbacks say in the error log."""
    n = Nginx(prefix(request.node))
    os.symlink(conf.MODULES, n.path("modules"))
    text = re.sub(r"listen 127\.0\.0\.1:\d+", "listen unix:s", text)
    text = text.replace(
        "http {", "http {\naccess_log off;\n" + conf.TEMPORARY, 1)
    n.write(text.replace("/var/log/nginx/error.log", "error.log"))
    n.options = ["-g", "daemon off; pid nginx.pid;" + (
        "" if "error_log" in text else " error_log error.log notice;")]
    n.env = {**os.environ, **env}
    with running(n):
        wait(lambda: len(n.current()) == 2, "two workers")
        old = n.current()
        n.signal("HUP")
        n.wait_gone(old)
        wait(lambda: len(n.current()) == 2, "two workers")
        n.end("QUIT")
        assert not n.log_lines(r"\[(warn|error|crit|alert|emerg)\]"), n.log()
        assert re.findall(r"generation \d+ (?:begins|ends): \w+", n.log()) == [
            "generation 1 begins: start", "generation 2 begins: reload",
            "generation 1 ends: reload", "generation 2 ends: stop"]


@pytest.mark.parametrize("own_paths", [False, True])
def test_the_readmes_configuration(request, own_paths):
    """As it is, and with both lines that it names for files that the loader
    does not find."""
    readme = source("README.md")
    text, env = block(readme, "load_module"), SYSTEM
    if own_paths:
        paths = "\n".join(re.findall(r'lua_package_\w+ +".*";', readme))
        assert paths.count("\n") == 1
        paths = paths.replace("/opt/libwm/share/lua/5.1", f"{ROOT}/lua")
        paths = paths.replace("/opt/libwm/lib", f"{conf.BUILD}/libwm")
        text = text.replace("http {", "http {\n" + paths, 1)
        env = {"LUA_PATH": f"{conf.DEB}/usr/share/lua/5.1/?.lua;;"}
    lead(request, text, env)


def test_the_readmes_drop_in(request):
    """Its lines, with functions for the names that they mention."""
    text = block(source("README.md"), "init_by_lua_block")
    verbs = {"on_master_start": "begins", "on_master_exit": "ends",
             "on_start": None, "on_exit": None}
    for name, verb in verbs.items():
        body = (f'ngx.log(ngx.NOTICE, "generation ", id, " {verb}: ",'
                " info.reason)") if verb else ""
        text, found = re.subn(
            rf"\b{name}\b", f"function(id, p, m, n, info) {body} end", text)
        assert found, name
    lead(request,
         "load_module modules/ndk_http_module.so;\n"
         "load_module modules/ngx_http_lua_module.so;\n"
         f"worker_processes 2;\nevents {{}}\nhttp {{\n{text}\n"
         "server { listen unix:s; }\n}\n", SYSTEM)


def examples():
    """Its Lua blocks, by the heading or recipe above them."""
    blocks, title = [], None
    text = source("lua/README.md")
    for part in re.split(r"(```lua\n.*?```)", text, flags=re.S):
        if part.startswith("```lua"):
            blocks.append((title, part[7:-3]))
        else:
            for x in re.findall(r"^## (.*)$|^\*\*(.*?)\.\*\*", part, re.M):
                title = x[0] or x[1]
    return blocks


@pytest.mark.parametrize("title, code", examples(),
                         ids=[x for x, _ in examples()])
def test_an_example_of_the_reference(make, title, code):
    """It runs where it belongs, and nothing complains."""
    calls = {"init": 'on_init_by_lua({ shm = "my_shm" })',
             "join": "on_init_worker_by_lua()",
             "leave": "on_exit_worker_by_lua()"}
    phases = {phase: f"{MODULE}.{call}" for phase, call in calls.items()}
    own = [x for x in calls if calls[x].partition("(")[0] in code]
    content = "ngx.say(1)"
    if own:
        phases[own[0]] = code
    elif "ngx.timer.every" in code:
        phases["join"] += "\n" + code
    else:
        content = code
    n = make(server=f"location /run {{ content_by_lua_block {{\n{content}"
             "}}", **phases).start()
    assert n.get("/run") == 200
    if "on_worker_failed" in code:
        n.expect(r"\[alert\] .*worker 1-\d+ crashed")
        pid = n.current()[0]
        n.kill(pid)
        n.wait_log(rf"worker 1-{pid} crashed")
    else:
        n.reload()
    assert n.get("/run") == 200


def test_the_clean_up_waits_until_a_generation_is_gone(make):
    """What the second had goes once its worker has left, and not before."""
    code = dict(examples())["Clean up after a generation"]
    n = make(workers=1, after_join=ANSWERING + re.sub(
        r"every\(10,", "every(0.05,", code)).start()

    def keys(act="get"):
        return [n.ask(n.current()[0], f"""return ngx.shared.my_shm:{act}(
            "sessions of generation {g}", 1) or 0""") for g in (1, 2)]
    n.reload()
    held = n.drain()
    assert keys("set") == [True, True]
    wait(lambda: not keys()[0], "the first one's to go")
    assert keys() == [0, 1]
    n.let_go(held)
    wait(lambda: keys() == [0, 0], "the second one's to go")


def test_every_function_has_a_section_and_an_example():
    text = source("lua/README.md")
    module = source(LUA_FOLDER, "manager.lua")
    names = set(re.findall(r"function _M\.(\w+)", module))
    names |= set(re.findall(r"= view\.(\w+)", module))
    assert len(names) == 10
    with_example = {t for t, _ in examples()}
    for name in names:
        assert f"\n## {name}\n\n**syntax:**" in text
        assert name in with_example
    defaults = re.search(r"local defaults = {(.*?)\n}", source(
        LUA_FOLDER, "manager/options.lua"), re.S)
    for name in re.findall(r"^ +(\w+) =", defaults[1], re.M):
        assert f"`{name}`" in text


def required(name):
    """The files of the module that one requires."""
    place = LUA_FOLDER + ("" if name == "manager.lua" else "/manager")
    code = re.sub(r"--.*", "", source(place, name))
    return {f"{x or 'manager'}.lua" for x in re.findall(
        r"""["']resty\.worker\.manager(?:\.(\w+))?["']""", code)}


def test_no_file_of_the_module_requires_one_beside_or_above_it():
    """In the order that the reference tells, which names each file once."""
    section = source("lua/README.md").split("## Order of the files")[1]
    layers = [line.split(", ") for line in re.findall(
        r"^    (\w+\.lua(?:, \w+\.lua)*)", section, re.M)]
    named = [x for layer in layers for x in layer]
    assert sorted(named) == sorted(
        [*os.listdir(f"{LUA_FOLDER}/manager"), "manager.lua"])
    height = {x: -depth for depth, layer in enumerate(layers) for x in layer}
    assert [f"{x} requires {y}" for x in named for y in required(x)
            if height[y] >= height[x]] == []
    seen = set().union(*map(required, named))
    assert set(named) - seen == {"manager.lua"}, "a require is not seen"


def test_debians_nginx_is_the_one_that_was_looked_at():
    """Another version may break facts that the module rests on: look anew."""
    out = subprocess.run([conf.NGINX, "-v"], capture_output=True, text=True,
                         check=True).stderr
    assert re.search(r"nginx/1\.22\.", out)


def test_each_test_that_the_security_page_names_is_run():
    """In the last column of its tables."""
    rows = re.findall(r"^\| .*\| (.*) \|$", source("libwm/security.md"), re.M)
    names = {x for row in rows for x in re.findall(r"`([^`]+)`", row)}
    assert len(names) > 60
    tests = "".join(map(source, (*glob.glob(f"{ROOT}/test/*/*.c"),
                                 *glob.glob(f"{ROOT}/test/*/test_*.py"))))
    for name in names:
        if "/" in name:
            assert os.path.exists(os.path.join(ROOT, name)), name
        elif name.startswith("test_"):
            assert f"def {name}(" in tests, name
        else:       # which registers itself, or is a row of a table
            assert re.search(
                rf"TEST\w*\([^()]*\b{name}\)|{{\"{name}\",", tests), name
