# SPDX-License-Identifier: Apache-2.0
"""The places of nginx and its files, and the text of an nginx.conf."""

import json
import os

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.environ.get("WM_BUILD", os.path.join(ROOT, "build"))
DEB = os.path.join(BUILD, "deb")
NGINX = os.path.join(DEB, "usr/sbin/nginx")
MODULES = os.path.join(DEB, "usr/lib/nginx/modules")
LIBRARY = os.path.join(BUILD, "libwm/libwm.so")
WMCTL = os.path.join(BUILD, "cpp/wmctl")
LUA_PATH = (f"{ROOT}/lua/?.lua;{ROOT}/test/nginx/lua/?.lua;"
            f"{DEB}/usr/share/lua/5.1/?.lua")
LUA_CPATH = os.path.join(BUILD, "libwm/?.so")
MODULE = 'require("resty.worker.manager")'
TEMPORARY = "\n".join(f"    {kind}_temp_path tmp/{kind};" for kind in (
    "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))

EVENTS = ("master_start", "master_exit", "worker_start", "worker_exit")
NO_CALLBACK = "no callback"

DEFAULTS = {
    "workers": 2,
    "daemon": False,
    # Of the workers: one who can read the project, wherever it lies.
    "user": None if os.geteuid() else "root",
    "dict": True,           # a lua_shared_dict of the same name
    "master_process": True,
    "code_cache": True,
    # more lines for main, http, server, after http
    **dict.fromkeys(("main", "http", "server", "tail"), ""),
    "listen": "unix:s",
    "connections": 64,
    "level": "notice",      # of the error log
    "name": "nginx",        # of its own files in the prefix
    "lua_path": LUA_PATH,
    "lua_cpath": LUA_CPATH,
    "init": "",             # Lua of init_by_lua, init_worker_by_lua, ...
    "join": "",
    "leave": None,          # ... exit_worker_by_lua; None: without it
}

# No load makes a worker's heartbeat overdue, or its start late.
OPTIONS = {"shm": "my_shm", "interval": 0.5, "failed": 599.5,
           "start_timeout": 0}

CONF = """\
load_module "{modules}/ndk_http_module.so";
load_module "{modules}/ngx_http_lua_module.so";
daemon {daemon};
master_process {master_process};
worker_processes {workers};
pid {name}.pid;
error_log error.log {level};
{user}
{main}
events {{ worker_connections {connections}; }}
http {{
    access_log off;
{temporary}
    lua_code_cache {code_cache};
    lua_package_path "{lua_path}";
    lua_package_cpath "{lua_cpath}";
    {dict}
    {http}
    init_by_lua_block {{
{init}
    }}
    init_worker_by_lua_block {{
{join}
    }}
    {leave}
    server {{
        listen {listen};
        location / {{ return 204; }}
        {server}
    }}
}}
{tail}
"""

# A connection gets the worker's pid, and answers to Lua; an exiting one's, too.
HOLD = """
        location /hold {
            lua_check_client_abort on;
            content_by_lua_block {
                local sock = assert(ngx.req.socket(true))
                sock:settimeout(600000)
                sock:send(ngx.worker.pid() .. "\\n")
                for line in function() return sock:receive("*l") end do
                    sock:send(tostring(loadstring(line)()) .. "\\n")
                end
            }
        }"""


def source(*names):
    """The text of a file of the project."""
    with open(os.path.join(ROOT, *names), encoding="utf-8") as f:
        return f.read()


def write(path, text):
    """Writes a file anew, which a process may be reading."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".new", path)


def own(name):
    """An instance name that no other run of the tests has."""
    return f"{name}-{os.getpid()}"


def render(**params):
    """The text of a configuration."""
    assert params.keys() <= DEFAULTS.keys(), params.keys() - DEFAULTS.keys()
    p = {**DEFAULTS, **params}
    leave = p["leave"]
    return CONF.format(**{
        **p, "modules": MODULES, "temporary": TEMPORARY,
        **{x: "on" if p[x] else "off"
           for x in ("daemon", "master_process", "code_cache")},
        "user": f'user {p["user"]};' if p["user"] else "",
        "dict": "lua_shared_dict my_shm 1m;" if p["dict"] else "",
        "leave": "" if leave is None else
                 f"exit_worker_by_lua_block {{\n{leave}\n    }}"})


class Lua(str):
    """Lua source, to stand in a table as it is."""


def lua(value):
    """A Python value as a Lua expression."""
    if isinstance(value, Lua):
        return str(value)
    if value is None:
        return "nil"
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{lua(k)}] = {lua(v)}"
                               for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def options(opts):
    """The options table: the suite's defaults, changed by `opts`."""
    return lua({**OPTIONS, **opts})


def render_traced(prefix, name, *, opts=None, callbacks=None, server="",
                  before_init="", init=None, after_init="", before_join="",
                  join=None, after_join="", leave=None, exit_worker=True,
                  **params):
    """The text of a configuration whose phases trace what they do. callbacks:
    {event: Lua body, or NO_CALLBACK}; init, join, leave: Lua in place of the
    usual calls of the module, which more Lua may stand around."""
    bodies = {**dict.fromkeys(EVENTS, ""), **(callbacks or {})}
    of = {e: "nil" if body == NO_CALLBACK else
          f'wmt.callback("{e}", function(id, n_prev, n_mine, n_next, info) '
          f'{body} end)' for e, body in bodies.items()}
    if init is None:
        init = (f'wmt.call("on_init", {MODULE}.on_init_by_lua, '
                f'{options(opts or {})},\n'
                f'    {of["master_start"]}, {of["master_exit"]})')
    if join is None:
        join = (f'wmt.call("on_init_worker", {MODULE}.on_init_worker_by_lua,\n'
                f'    {of["worker_start"]}, {of["worker_exit"]})')
    if leave is None:
        leave = (f'require("wmt").call("on_exit_worker", '
                 f'{MODULE}.on_exit_worker_by_lua)')
    return render(
        **params, name=name, server=HOLD + server,
        leave=leave if exit_worker else None,
        init='local wmt = require "wmt"\n'
             f'wmt.open("{prefix}", "{name}.jsonl")\n'
             f'{before_init}\n{init}\n{after_init}',
        join='local wmt = require "wmt"\n'
             f'{before_join}\n{join}\n{after_join}\n'
             'wmt.note("up", { id = ngx.worker.id() })')
