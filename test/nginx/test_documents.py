# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The configurations that the documents show, led through a life."""

import os
import re
import signal
import subprocess

import pytest

import conf
import proc
from proc import wait

ROOT = conf.ROOT
SYSTEM = {      # where Debian and `meson install` put the files
    "LUA_PATH": f"{ROOT}/lua/?.lua;{conf.DEB}/usr/share/lua/5.1/?.lua;;",
    "LUA_CPATH": f"{conf.BUILD}/libwm/?.so;;",
}
TEMPORARY = "\n".join(f"{kind}_temp_path tmp/{kind};" for kind in (
    "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
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
def prefix(tmp_path_factory):
    path = os.path.join(conf.BUILD, "test-nginx", f"doc-{os.getpid()}")
    os.makedirs(path + "/tmp")
    os.symlink(conf.MODULES, path + "/modules")
    yield path
    proc.end_all()
    subprocess.run(["rm", "-r", "--", path], check=True)


def lead(prefix, text, env):
    """Start, reload, stop: what the error log says."""
    text = re.sub(r"listen 127\.0\.0\.1:\d+", "listen unix:s", text)
    text = text.replace("http {", "http {\naccess_log off;\n" + TEMPORARY, 1)
    with open(prefix + "/nginx.conf", "w", encoding="utf-8") as f:
        f.write(text)

    def log():
        with open(prefix + "/error.log", "a+", encoding="utf-8") as f:
            f.seek(0)
            return f.read()

    with open(prefix + "/output", "wb") as out:
        nginx = subprocess.Popen(
            [conf.NGINX, "-p", prefix + "/", "-c", "nginx.conf",
             "-e", "error.log", "-g",
             "daemon off; pid nginx.pid; error_log error.log notice;"],
            cwd=prefix,
            env={**os.environ, **env}, stdout=out, stderr=out)
    wait(lambda: nginx.poll() is not None or
         log().count("start worker process ") == 2, "two workers")
    nginx.send_signal(signal.SIGHUP)
    wait(lambda: nginx.poll() is not None or
         log().count("exited with code 0") == 2, "the reload")
    nginx.send_signal(signal.SIGQUIT)
    assert nginx.wait(timeout=proc.DEADLINE) == 0, log()
    bad = [x for x in log().split("\n")
           if re.search(r"\[(warn|error|crit|alert|emerg)\]", x)]
    assert not bad, bad
    return re.findall(r"(generation \d+ (?:begins|ends): \w+)", log())


LIFE = ["generation 1 begins: start", "generation 2 begins: reload",
        "generation 1 ends: reload", "generation 2 ends: stop"]


def test_the_readmes_configuration(prefix):
    text = block(document("README.md"), "load_module")
    assert lead(prefix, text, SYSTEM) == LIFE


def test_the_readmes_configuration_with_paths_of_ones_own(prefix):
    """Both lines that it names, for files that the loader does not find."""
    readme = document("README.md")
    lines = OWN_PATHS.findall(readme)
    assert len(lines) == 2
    paths = "\n".join(lines).replace("/opt/libwm/build", conf.BUILD)
    paths = paths.replace("/opt/libwm", ROOT)
    text = block(readme, "load_module")
    text = text.replace("http {", "http {\n" + paths, 1)
    core = {"LUA_PATH": f"{conf.DEB}/usr/share/lua/5.1/?.lua;;"}
    assert lead(prefix, text, core) == LIFE


def test_the_readmes_drop_in(prefix):
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
    assert lead(prefix, whole, SYSTEM) == LIFE
