# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Writes one nginx.conf from parameters."""

import os

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.environ.get("WM_BUILD", os.path.join(ROOT, "build"))
DEB = os.path.join(BUILD, "deb")
NGINX = os.path.join(DEB, "usr/sbin/nginx")
MODULES = os.path.join(DEB, "usr/lib/nginx/modules")
LUA_PATH = ";".join((
    os.environ.get("WM_LUA_PATH", os.path.join(ROOT, "lua/?.lua")),
    os.path.join(ROOT, "test/nginx/lua/?.lua"),
    os.path.join(DEB, "usr/share/lua/5.1/?.lua")))
LUA_CPATH = os.path.join(BUILD, "libwm/?.so")
MODULE = 'require("resty.worker.manager")'

EVENTS = ("master_start", "master_exit", "worker_start", "worker_exit")
NO_CALLBACK = "no callback"

DEFAULTS = {
    "workers": 2,
    "daemon": False,
    # Of the workers: who can read the project, wherever it lies.
    "user": None if os.geteuid() else "root",
    "dict": True,           # a lua_shared_dict of the same name
    "exit_worker": True,    # an exit_worker_by_lua_block
    "master_process": True,
    "code_cache": True,
    "main": "",             # more lines for main, http, server, after http
    "http": "",
    "server": "",
    "tail": "",
    "listen": "unix:s",
    "name": "nginx",        # of its own files in the prefix
    "lua_path": LUA_PATH,
    "lua_cpath": LUA_CPATH,
    "opts": {},
    "callbacks": {},        # event: Lua body, or NO_CALLBACK
    "before_init": "",      # Lua around the calls of the module
    "after_init": "",
    "before_join": "",
    "after_join": "",
    "init": None,           # Lua in place of the call
    "join": None,
    "leave": None,
}

# The heartbeat is overdue only after 6 s: no load makes a worker "failed".
OPTIONS = {"shm": "my_shm", "interval": 0.5, "failed": 5.5}

CONF = """\
load_module "{modules}/ndk_http_module.so";
load_module "{modules}/ngx_http_lua_module.so";
daemon {daemon};
master_process {master_process};
worker_processes {workers};
pid {name}.pid;
error_log error.log notice;
{user}
{main}
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path tmp/body;
    proxy_temp_path tmp/proxy;
    fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi;
    scgi_temp_path tmp/scgi;
    lua_code_cache {code_cache};
    lua_package_path "{lua_path}";
    lua_package_cpath "{lua_cpath}";
    {dict}
    {http}
    init_by_lua_block {{
local wmt = require "wmt"
wmt.open("{prefix}", "{name}.jsonl")
{before_init}
{init}
{after_init}
    }}
    init_worker_by_lua_block {{
local wmt = require "wmt"
{before_join}
{join}
{after_join}
wmt.note("up", {{ ppid = wmt.ppid(), id = ngx.worker.id() }})
    }}
    {leave}
    server {{
        listen {listen};
        location / {{ return 204; }}
        location /hold {{
            lua_check_client_abort on;
            lua_http10_buffering off;
            content_by_lua_block {{
                ngx.print(ngx.worker.pid(), "\\n")
                ngx.flush(true)
                while true do ngx.sleep(0.01) end
            }}
        }}
        {server}
    }}
}}
{tail}
"""


class Lua(str):
    """Lua source, to stand in a table as it is."""


def lua(value):
    """A Python value as a Lua expression."""
    if isinstance(value, Lua):
        return str(value)
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{lua(k)}] = {lua(v)}"
                               for k, v in value.items()) + "}"
    return repr(value)


def own(name):
    """An instance name that no other run of the tests has."""
    return f"{name}-{os.getpid()}"


def options(opts):
    """The options table: the suite's defaults, changed by `opts`."""
    merged = {**OPTIONS, **opts}
    return lua({k: v for k, v in merged.items() if v is not None})


def callback(event, body):
    """One callback as a Lua expression."""
    if body == NO_CALLBACK:
        return "nil"
    args = "id, n_prev, n_mine, n_next, info"
    f = f", function({args}) {body} end" if body else ""
    return f'wmt.callback("{event}"{f})'


def switch(on):
    return "on" if on else "off"


def render(prefix, **params):
    """The text of a configuration."""
    unknown = set(params) - set(DEFAULTS)
    if unknown:
        raise TypeError(f"unknown parameters: {sorted(unknown)}")
    p = {**DEFAULTS, **params}
    cbs = {e: callback(e, p["callbacks"].get(e, "")) for e in EVENTS}
    init = p["init"]
    if init is None:
        init = (f'wmt.call("on_init", {MODULE}.on_init_by_lua,\n'
                f'    {options(p["opts"])},\n'
                f'    {cbs["master_start"]}, {cbs["master_exit"]})')
    join = p["join"]
    if join is None:
        join = (f'wmt.call("on_init_worker", {MODULE}.on_init_worker_by_lua,'
                f'\n    {cbs["worker_start"]}, {cbs["worker_exit"]})')
    leave = ""
    if p["exit_worker"]:
        body = p["leave"]
        if body is None:
            body = (f'require("wmt").call("on_exit_worker", '
                    f'{MODULE}.on_exit_worker_by_lua)')
        leave = f"exit_worker_by_lua_block {{\n{body}\n    }}"
    return CONF.format(**{
        **p, "prefix": prefix, "modules": MODULES,
        "daemon": switch(p["daemon"]),
        "master_process": switch(p["master_process"]),
        "code_cache": switch(p["code_cache"]),
        "user": f'user {p["user"]};' if p["user"] else "",
        "dict": "lua_shared_dict my_shm 1m;" if p["dict"] else "",
        "init": init, "join": join, "leave": leave})
