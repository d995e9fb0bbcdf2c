# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The configurations that the documents show, led through a life."""

import glob
import os
import re

import pytest

import conf
from nginx import Nginx
from nginx_fixtures import prefix
from proc import wait

ROOT = conf.ROOT
SYSTEM = {      # where Debian and `meson install` put the files
    "LUA_PATH": f"{ROOT}/lua/?.lua;{conf.DEB}/usr/share/lua/5.1/?.lua;;",
    "LUA_CPATH": f"{conf.BUILD}/libwm/?.so;;",
}
OWN_PATHS = re.compile(r'lua_package_\w+ +".*";')


def document(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def block(text, begin):
    """The indented block whose first line begins so, dedented."""
    lines = text[text.index("\n    " + begin) + 1:].split("\n")
    end = next(i for i, x in enumerate(lines) if x and not x.startswith(" "))
    return "\n".join(x[4:] for x in lines[:end])


@pytest.fixture
def lead(request):
    """Leads a configuration through a start, a reload and a stop: what its
    callbacks say in the error log."""
    n = Nginx(prefix(request.node))
    os.symlink(conf.MODULES, n.path("modules"))

    def leader(text, env):
        text = re.sub(r"listen 127\.0\.0\.1:\d+", "listen unix:s", text)
        text = text.replace(
            "http {", "http {\naccess_log off;\n" + conf.TEMPORARY, 1)
        n.write(text.replace("/var/log/nginx/error.log", "error.log"))
        n.options = ["-g", "daemon off; pid nginx.pid;" + (
            "" if "error_log" in text else " error_log error.log notice;")]
        n.env = {**os.environ, **env}
        n.start()
        wait(lambda: len(n.current()) == 2, "two workers")
        old = n.current()
        n.signal("HUP")
        n.wait_gone(old)
        wait(lambda: len(n.current()) == 2, "two workers")
        n.end("QUIT")
        assert not n.log_lines(r"\[(warn|error|crit|alert|emerg)\]"), n.log()
        return re.findall(r"(generation \d+ (?:begins|ends): \w+)", n.log())
    yield leader
    n.kill_all()


LIFE = ["generation 1 begins: start", "generation 2 begins: reload",
        "generation 1 ends: reload", "generation 2 ends: stop"]


def test_the_readmes_configuration(lead):
    text = block(document("README.md"), "load_module")
    assert lead(text, SYSTEM) == LIFE


def test_the_readmes_configuration_with_paths_of_ones_own(lead):
    """Both lines that it names, for files that the loader does not find."""
    readme = document("README.md")
    lines = OWN_PATHS.findall(readme)
    assert len(lines) == 2
    paths = "\n".join(lines).replace("/opt/libwm/build", conf.BUILD)
    paths = paths.replace("/opt/libwm", ROOT)
    text = block(readme, "load_module")
    text = text.replace("http {", "http {\n" + paths, 1)
    core = {"LUA_PATH": f"{conf.DEB}/usr/share/lua/5.1/?.lua;;"}
    assert lead(text, core) == LIFE


def test_the_readmes_drop_in(lead):
    """Its lines, with functions for the names that they mention."""
    text = block(document("README.md"), "init_by_lua_block")
    names = ["on_master_start", "on_master_exit", "on_start", "on_exit"]
    log = {"on_master_start": "begins", "on_master_exit": "ends"}
    for name in names:
        verb = log.get(name)
        body = (f'ngx.log(ngx.NOTICE, "generation ", id, " {verb}: ",'
                " info.reason)") if verb else ""
        assert name in text
        text = re.sub(rf"\b{name}\b",
                      f"function(id, p, m, n, info) {body} end", text)
    whole = ("load_module modules/ndk_http_module.so;\n"
             "load_module modules/ngx_http_lua_module.so;\n"
             "worker_processes 2;\nevents {}\nhttp {\n" + text
             + "\nserver { listen unix:s; }\n}\n")
    assert lead(whole, SYSTEM) == LIFE


def examples():
    """The reference's Lua blocks, by the heading or recipe above them."""
    blocks, title = [], None
    text = document("lua/README.md")
    for part in re.split(r"(```lua\n.*?```)", text, flags=re.S):
        if part.startswith("```lua"):
            blocks.append((title, part[7:-3]))
        else:
            for x in re.findall(r"^## (.*)$|^\*\*(.*?)\.\*\*", part, re.M):
                title = x[0] or x[1]
    return blocks


MANAGER = 'require("resty.worker.manager")'
INIT = MANAGER + '.on_init_by_lua({ shm = "my_shm" })'
JOIN = MANAGER + ".on_init_worker_by_lua()"
LEAVE = MANAGER + ".on_exit_worker_by_lua()"


@pytest.mark.parametrize("title, code", examples(),
                         ids=[x for x, _ in examples()])
def test_an_example_of_the_reference(make, title, code):
    """It runs where it belongs, and nothing complains."""
    phases = {"init": INIT, "join": JOIN, "leave": LEAVE}
    content = "ngx.say(1)"
    if "on_init_by_lua" in code:
        phases["init"] = code
    elif "on_init_worker_by_lua" in code:
        phases["join"] = code
    elif "on_exit_worker_by_lua" in code:
        phases["leave"] = code
    elif "ngx.timer.every" in code:
        phases["join"] = JOIN + "\n" + code
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


def evidence():
    """The tests that the security page names, in its tables' last column."""
    rows = re.findall(r"^\| .*\| (.*) \|$", document("libwm/security.md"), re.M)
    return sorted({x for row in rows for x in re.findall(r"`([^`]+)`", row)})


def test_each_test_that_the_security_page_names_is_run():
    names = evidence()
    assert len(names) > 60
    tests = ""
    for path in (*glob.glob(f"{ROOT}/test/*/*.c"),
                 *glob.glob(f"{ROOT}/test/*/test_*.py")):
        with open(path, encoding="utf-8") as f:
            tests += f.read()
    for name in names:
        if "/" in name:
            assert os.path.exists(os.path.join(ROOT, name)), name
        elif name.startswith("test_"):
            assert f"def {name}(" in tests, name
        else:       # which registers itself
            assert re.search(rf"TEST\w*\([^()]*\b{name}\)", tests), name


def test_every_function_has_a_section_and_an_example():
    text = document("lua/README.md")
    with open(os.path.join(ROOT, "lua/resty/worker/manager.lua"),
              encoding="utf-8") as f:
        source = f.read()
    names = set(re.findall(r"function _M\.(\w+)", source))
    names |= set(re.findall(r"= view\.(\w+)", source))
    assert len(names) == 9
    with_example = {t for t, _ in examples()}
    for name in names:
        assert f"\n## {name}\n\n**syntax:**" in text
        assert name in with_example
    options = open(os.path.join(
        ROOT, "lua/resty/worker/manager/options.lua"), encoding="utf-8")
    with options as f:
        defaults = re.search(r"local defaults = {(.*?)\n}", f.read(), re.S)
    for name in re.findall(r"^ +(\w+) =", defaults[1], re.M):
        assert f"`{name}`" in text
