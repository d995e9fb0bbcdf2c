# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""One life of the node, from its start to the end of its last process, and
what it leaves to the books."""

import json
import os
import subprocess
import time

import books
import conf
import proc
import ring
from conf import Lua
from nginx import Nginx
from proc import wait
from told import QUICK

HERE = os.path.dirname(os.path.realpath(__file__))
WMCTL = os.path.join(conf.BUILD, "cpp/wmctl")
WORKERS = 3
CALLBACKS = ("master_start", "master_exit", "worker_start", "worker_exit")
OPTIONS = {"on_worker_failed": "worker_failed",
           "on_worker_recovered": "worker_recovered",
           "on_leader": "leader", "on_leader_lost": "leader_lost"}
TRAPS = (*CALLBACKS, *OPTIONS.values())

# Answers of one length, by the worker's pid and the term that it leads with.
ANSWER = """
        location = /{0} {{
            content_by_lua_block {{
                local mine, term = require("resty.worker.manager").leader()
                ngx.header.x_pid = ngx.worker.pid()
                ngx.header.content_length = {1}
                ngx.print(("%10d"):format(mine and term or 0))
                ngx.flush(true)
                {2}
            }}
        }}"""
SERVER = (
    ANSWER.format("who", 11, 'ngx.print("\\n")')
    + ANSWER.format("slow", 18, 'ngx.sleep(0.1) ngx.print(" slowly\\n")')
    + ANSWER.format("stall", 11,
                    'require("wmt").usleep(700000) ngx.print("\\n")'))


def parameters(instance, port):
    traced = {o: Lua(f'wmt.callback("{e}", function() '
                     f'require("trap")("{e}") end)')
              for o, e in OPTIONS.items()}
    return {
        "daemon": True,         # or nginx would take no USR2
        "workers": WORKERS,
        "listen": f"127.0.0.1:{port}",
        "server": SERVER,
        "lua_path": conf.LUA_PATH + ";" + os.path.join(HERE, "lua/?.lua"),
        "callbacks": {e: f'require("trap")("{e}")' for e in CALLBACKS},
        # Nothing of the log is to be overwritten before it is read.
        "opts": {**QUICK, **traced, "name": instance, "log_entries": 65536,
                 # A stopped machine is no holder that keeps others waiting.
                 "lock_timeout": 600},
    }


def everybody():
    """The pids of all nginx processes; each is a descendant of ours."""
    return [p for p in proc.descendants(os.getpid())
            if proc.name(p) == "nginx"]


class Life:
    """An nginx with its prefix, its event log and its dead."""

    def __init__(self, prefix, **params):
        self.n = Nginx(prefix, **params)
        self.book = books.Life()
        self.n.killed = self.book.killed
        self.n.start()
        (path,) = [p for p in self.n.segments()
                   if os.path.basename(p) in self.n.mapped()]
        self.file = os.path.basename(path)
        self.segment = open(path, "rb", buffering=0)
        self.output = open(self.n.path("events.jsonl"), "w+b")
        self.follower = subprocess.Popen(
            [WMCTL, "--json", "events", "-f", self.file], stdout=self.output)

    def lock_holder(self):
        return int.from_bytes(os.pread(self.segment.fileno(), 8, 256),
                              "little") >> 42

    # --- violence -----------------------------------------------------------

    def kill(self, *pids):
        """Kills processes; returns when the kernel has let go of them."""
        for pid in pids:
            self.n.write_trace(what="killed", pid=pid)
        self.fell("KILL", *pids)
        self.book.killed.update(pids)
        self.n.wait_gone(pids)
        self.note_gone()

    def fell(self, name, *pids):
        """Sends a signal by which the processes end at once."""
        self.book.felled.append(books.Felled(
            time.monotonic(), pids=list(pids),
            newest=ring.newest(self.segment.fileno())))
        for pid in pids:
            self.signal(name, pid)

    def signal(self, name, pid):
        try:
            self.n.signal(name, pid)
        except ProcessLookupError:
            pass                # it has ended by itself

    def note_gone(self):
        """Who was felled has ended by now; a dead one that has the lock may
        have taken what it was to tell."""
        for felled in self.book.felled:
            if felled.lasts() and all(map(proc.gone, felled.pids)):
                felled.until = time.monotonic()
        holder = self.lock_holder()
        if holder and proc.gone(holder):
            self.book.holders.add(holder)

    # --- the end ------------------------------------------------------------

    def wait_end(self):
        wait(lambda: not everybody(), "the end of all processes")
        self.note_gone()
        self.n.master = None

    def close(self):
        """Takes in all that it left in writing."""
        self.follower.wait(timeout=proc.DEADLINE)
        self.output.seek(0)
        self.book.followed = [json.loads(x) for x in self.output]
        self.book.events = ring.read(self.segment.fileno())
        self.book.trace = self.n.trace()
        self.book.log = self.n.log().splitlines()
        self.book.left = [os.path.basename(p) for p in self.n.segments()]
        self.book.file = self.file
        self.book.clock = time.time() - time.monotonic()
        (self.book.instance,) = self.n.instances
        self.output.close()
        self.segment.close()
        return self.book
