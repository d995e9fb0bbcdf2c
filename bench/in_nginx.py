# SPDX-License-Identifier: Apache-2.0
"""The costs and gains of libwm inside a real nginx, beside the way without it.

Each measurement returns a plain dictionary of numbers, which targets.py and
report.py read.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import conf
import proc
from nginx import Nginx, running

BENCH_DEB = os.path.join(conf.BUILD, "bench-deb")
PATIENCE = proc.DEADLINE    # seconds; only a failure waits them out

LUA_PATH = os.path.join(conf.ROOT, "bench/lua/?.lua") + ";" + conf.LUA_PATH
LUA_CPATH = (f"{conf.LUA_CPATH};{BENCH_DEB}/usr/lib/{os.uname().machine}"
             "-linux-gnu/lua/5.1/?.so")
HTTP = """
    keepalive_requests 1000000;
    lua_shared_dict bench 4m;"""
SERVER = f"""
        location /plain {{ return 204; }}
        location /hook {{
            log_by_lua_block {{ }}
            return 204;
        }}
        location /beat {{
            log_by_lua_block {{ {conf.MODULE}.beat() }}
            return 204;
        }}
        location /cost {{
            content_by_lua_block {{
                local inside = require("inside")
                ngx.print(inside[ngx.var.arg_of](tonumber(ngx.var.arg_workers)))
            }}
        }}"""


def wait(condition, what, pause=0.0005):
    """Looks often, if it measures times of some milliseconds."""
    try:
        return proc.wait(condition, what, PATIENCE, pause)
    except AssertionError as error:
        raise SystemExit(f"bench: {error}") from None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# What a worker does at its start and its exit, by the way in which it is known
# to others. Every server has the same directives.
JOIN = {"old": 'require("old").join(ngx.shared.bench)', "without": "",
        "with": f"{conf.MODULE}.on_init_worker_by_lua()"}
LEAVE = {"old": 'require("old").leave(ngx.shared.bench)', "without": "",
         "with": f"{conf.MODULE}.on_exit_worker_by_lua()"}


class Server(Nginx):
    """An nginx with the module (options: its table, in Lua), or without it;
    old: with JSON in a shared dictionary instead. loaded: without it, but with
    its files in the VM. timer: seconds of a timer in each worker that does
    nothing. Each worker that has started says so in a file, and when that
    was."""

    def __init__(self, workers, options=None, old=False, loaded=False,
                 pause=0.0005, timer=None):
        super().__init__(tempfile.mkdtemp(
            prefix="bench.", dir=os.path.join(conf.BUILD, "tmp")))
        self.count = workers
        self.port = free_port()
        self.pause = pause      # seconds between two looks
        instance = os.path.basename(self.prefix)
        self.instances = {instance}
        way = "old" if old else "without" if options is None else "with"
        init = f"""{conf.MODULE}.on_init_by_lua(
            {{ shm = "bench", name = "{instance}", {options} }})"""
        self.write(conf.render(
            workers=workers, connections=256, level="error", dict=False,
            main="worker_rlimit_nofile 4096;", http=HTTP, server=SERVER,
            listen=f"127.0.0.1:{self.port}", lua_path=LUA_PATH,
            lua_cpath=LUA_CPATH, leave=LEAVE[way], init=f"""require("inside")
        {init if way == "with" else conf.MODULE if loaded else ""}""",
            join=f"""{JOIN[way]}
        {f"ngx.timer.every({timer}, function() end)" if timer else ""}
        local f = io.open("{self.path("up")}", "a")
        f:write(ngx.worker.pid(), " ", ("%d"):format(require("inside").now()),
                "\\n")
        f:close()"""))
        self.seen = 0
        self.pids = []
        self.began = self.ready = None  # ns

    def start(self):
        self.began = time.monotonic_ns()
        super().start()
        self.pids = self.next_workers()
        return self

    def up(self):
        """The pids of all workers that have started so far, each with the time
        of its start in ns."""
        try:
            with open(self.path("up"), encoding="ascii") as f:
                return [tuple(map(int, x.split()))
                        for x in f.read().split("\n")[:-1]]
        except FileNotFoundError:
            return []

    def next_workers(self):
        """Waits for a generation of workers; returns their pids. It may take
        any time, as long as workers keep coming."""
        pids = []
        while len(pids) < self.count:
            wait(lambda: self.find_master() and len(self.up()) > self.seen,
                 f"{self.count} workers, but {len(pids)}", self.pause)
            new = self.up()[self.seen:]
            self.seen += len(new)
            pids += [pid for pid, _ in new]
            self.ready = max(at for _, at in new)
        return pids

    def ask(self, what):
        with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{what}") as answer:
            return answer.read().decode()

    def cost(self, of, workers=0):
        """Nanoseconds of one call inside a worker."""
        return float(self.ask(f"/cost?of={of}&workers={workers}"))


def server(*args, **more):
    """A server that runs as long as its context, and leaves nothing behind."""
    return running(Server(*args, **more))


# --- inside a worker ---------------------------------------------------------

def heartbeats(sizes):
    """One heartbeat in ns, of each way, by number of workers."""
    found = {"beat": {}, "old": {}, "incr": {}}
    for n in sizes:
        with server(n, options="") as s:
            for of, costs in found.items():
                costs[n] = s.cost(of, n)
    return found


# --- requests -----------------------------------------------------------------

def wrk(s, location, seconds):
    text = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s",
         f"http://127.0.0.1:{s.port}/{location}"],
        check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit("bench: wrk: " + text)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])


def requests(pairs):
    """Requests a second of one worker that has no rest: with beat() for each,
    with an empty hook, and with none; the ratios of the first two in each
    pair, which alternate. Runs are short, as the machine's pace changes."""
    rates = {"beat": [], "hook": [], "plain": []}
    with server(1, options="") as s:
        wrk(s, "plain", 1)
        for i in range(pairs):
            for name in list(rates) if i % 2 else list(rates)[::-1]:
                rates[name].append(wrk(s, name, 1))
    return {**rates,
            "ratios": [b / h for b, h in zip(rates["beat"], rates["hook"])]}


# --- deaths -------------------------------------------------------------------

FAILED = """on_worker_failed = function(id, prev, mine, next, info)
    local f = io.open(ngx.config.prefix() .. "told", "a")
    f:write(info.pid, " ", ("%d"):format(require("inside").now()), "\\n")
    f:close()
end"""


def deaths(kills):
    """Milliseconds from SIGKILL to the survivor's callback, each."""
    took = []
    with server(4, options=FAILED) as s:
        told = s.path("told")
        workers = list(s.pids)
        for _ in range(kills):
            killed = workers.pop(0)
            began = time.monotonic_ns()
            os.kill(killed, signal.SIGKILL)

            def callback(killed=killed):
                if not os.path.exists(told):
                    return None
                with open(told, encoding="ascii") as f:
                    return re.search(rf"^{killed} (\d+)$", f.read(), re.M)
            took.append((int(wait(callback, "callback")[1]) - began) / 1e6)
            s.count = 1
            workers += s.next_workers()
    return took


# --- at rest ------------------------------------------------------------------

def cpu_ns(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total


def rest(seconds, interval=0.1):
    """CPU of a node of 64 workers that serve nothing, beyond that of an nginx
    without the module: ns for each worker and interval. Beside it that of as
    many empty timers, which the event loop wakes for in the same way."""
    with contextlib.ExitStack() as servers:
        pids = {name: servers.enter_context(server(64, **how)).pids
                for name, how in (
                    ("with", {"options": f"interval = {interval},"
                                         " failed = 15"}),
                    ("timer", {"timer": interval}), ("plain", {}))}
        before = {name: cpu_ns(of) for name, of in pids.items()}
        began = time.monotonic()
        time.sleep(seconds)
        intervals = (time.monotonic() - began) / interval
        spent = {name: cpu_ns(of) - before[name] for name, of in pids.items()}
    return {name: (spent[name] - spent["plain"]) / intervals / 64
            for name in ("with", "timer")}


def measure(quick, stable_only=False):
    sizes = (2, 16, 64, 256, 1024)
    if quick:
        sizes = (2, 64) if stable_only else (2, 64, 1024)
    found = {"heartbeats": heartbeats(sizes)}
    if not stable_only:
        found |= {
            "requests": requests(4 if quick else 40),
            "deaths_ms": deaths(10 if quick else 50),
            "rest_ns": rest(3 if quick else 20),
        }
    return found
