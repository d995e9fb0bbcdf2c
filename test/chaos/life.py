# SPDX-License-Identifier: Apache-2.0
"""One life of the node, from its start to the end of its last process, what it
leaves on record, and the clients that are there all the time."""

import fcntl
import http.client
import json
import math
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import conf
import proc
import record
import segment
from conf import EVENTS, Lua
from nginx import TITLE
from traced import Traced

WORKERS = 3
PATIENCE = 60           # seconds for an answer: no stop is as long
OPTIONS = {"on_worker_failed": "worker_failed",
           "on_worker_recovered": "worker_recovered",
           "on_leader": "leader", "on_leader_lost": "leader_lost"}
TRAPS = (*EVENTS, *OPTIONS.values())

# An answer tells the worker's pid, and whether it leads.
SERVER = "".join(f"""
        location = /{path} {{
            content_by_lua_block {{
                ngx.header.x_pid = ngx.worker.pid()
                ngx.print(tostring(require("resty.worker.manager").leader()))
                ngx.flush(true)
                ngx.sleep({seconds})
                ngx.say()
            }}
        }}""" for path, seconds in (("who", 0), ("slow", 0.1)))


def surroundings(rng):
    """What a life's processes do beside their work: {phase: Lua}. A new binary
    that forgets before it looks for the node has none to take over."""
    acts = ["", "beside.spawn()", "beside.forget()"]
    return {phase: 'local beside = require "beside" ' + rng.choice(
                acts[:2] if phase == "before_init" else acts)
            for phase in ("before_init", "after_init", "before_join",
                          "after_join")}


def strangers(instance, count):
    """Another user's files of the instance's name, locked as if live, as long
    as they are open. Only root can make some."""
    files = []
    while os.geteuid() == 0 and len(files) < count:
        path = f"/dev/shm/wm.{instance}.{len(files):016x}"
        files.append(open(path, "xb", buffering=0))
        fcntl.flock(files[-1], fcntl.LOCK_EX)
        os.chown(path, 65534, 65534)
    return files


def parameters(instance, port):
    traced = {o: Lua(f'wmt.callback("{e}", function() wmt.trap("{e}") end)')
              for o, e in OPTIONS.items()}
    return {
        "daemon": True,         # or nginx would take no USR2
        "workers": WORKERS,
        "listen": f"127.0.0.1:{port}",
        "server": SERVER,
        "callbacks": {e: f'wmt.trap("{e}")' for e in EVENTS},
        # Nothing of the log is to be overwritten before it is read.
        "opts": {**traced, "interval": 0.1, "failed": 0.4,
                 "name": instance, "log_entries": 65536,
                 # A stopped machine is no holder that keeps others waiting.
                 "lock_timeout": 600, "start_timeout": 0},
    }


def everybody():
    """The pids of all nginx processes; each is a descendant of ours."""
    return [p for p in proc.family(os.getpid())
            if proc.title(p, "comm") == "nginx"]


class Life:
    """An nginx with its prefix, its event log and its dead."""

    def __init__(self, prefix, **params):
        self.n = Traced(prefix, **params)
        self.record = record.Life()
        self.n.killed = self.record.killed
        self.n.start()
        (path,) = [p for p in self.n.segments()
                   if os.path.basename(p) in self.n.mapped()]
        self.segment = open(path, "rb", buffering=0)
        self.output = open(self.n.path("events.jsonl"), "w+b")
        self.follower = subprocess.Popen(
            [conf.WMCTL, "--json", "events", "-f", os.path.basename(path)],
            stdout=self.output)

    def end(self, name, *pids):
        """Signals processes by which they end: at once, but for QUIT."""
        if name != "QUIT":
            self.record.felled.append(record.Felled(
                time.monotonic(), pids=list(pids)))
        if name != "KILL":
            self.signal(name, *pids)
            return
        self.n.kill(*pids)      # returns when the kernel has let go of them
        self.note_gone()

    def end_master(self, name, pid, own):
        """The end of a master by TERM is one of its workers as well."""
        self.end(name, pid)
        if name == "TERM":
            self.record.felled[-1].pids += own

    @staticmethod
    def signal(name, *pids):
        for pid in pids:
            proc.send(pid, getattr(signal, "SIG" + name))

    def note_gone(self):
        """Felled processes have ended by now; a dead one that has the lock may
        have taken what it was to tell."""
        for felled in self.record.felled:
            if felled.until == math.inf and all(map(proc.gone, felled.pids)):
                felled.until = time.monotonic()
        holder = segment.lock_holder(self.segment.fileno())
        if holder and proc.gone(holder):
            self.record.holders.add(holder)

    def close(self):
        """Waits for the end of all, and takes in what they left in writing."""
        proc.wait(lambda: not everybody(), "the end of all processes")
        self.note_gone()
        self.n.master = None
        self.follower.wait(timeout=proc.DEADLINE)
        self.output.seek(0)
        *self.record.events, self.record.ending = map(json.loads, self.output)
        self.record.newest = segment.word(
            self.segment.fileno(), segment.NEWEST)
        self.record.trace = self.n.trace()
        self.record.log = self.n.log().splitlines()
        self.record.left = [
            os.path.basename(p) for p in self.n.segments()
            if os.stat(p).st_uid == os.geteuid()]
        self.output.close()
        self.segment.close()
        return self.record


class Client:
    """Asks over and over, on a new connection each time or while one lasts."""

    def __init__(self, port, path, keep):
        self.path = path
        self.headers = {} if keep else {"Connection": "close"}
        self.connection = http.client.HTTPConnection("127.0.0.1", port,
                                                     timeout=PATIENCE)
        self.pid = None
        self.served = 0
        self.failures = []

    def ask(self):
        reused, got = self.connection.sock is not None, False
        since = time.monotonic()
        if not reused:
            self.pid = None
        try:
            self.connection.request("GET", self.path, headers=self.headers)
            answer = self.connection.getresponse()
            got = True
            if answer.status != 200:
                raise ValueError(answer.status)
            self.pid = int(answer.headers["x-pid"])
            answer.read()
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.failures.append(record.Failure(
                since, time.monotonic(), self.pid, reused and not got,
                self.pid and proc.title(self.pid) != TITLE, repr(error)))
            self.connection.close()
        else:
            self.served += 1


class Crowd:
    """All of them, and wmctl, which reads; each in a thread of its own."""

    def __init__(self, port, instance):
        self.clients = [Client(port, path, keep) for keep in (True, False)
                        for path in ("/who", "/who", "/slow")]
        self.instance = instance
        self.readings = []
        self.ending = threading.Event()
        work = [self.read, *(client.ask for client in self.clients)]
        pool = ThreadPoolExecutor(len(work))
        self.threads = [pool.submit(self.go_on, f) for f in work]

    def read(self):
        for command in ("list", f"show -a {self.instance}",
                        f"events {self.instance}",
                        f"wait --ready 1 --timeout 0 {self.instance}"):
            since = time.monotonic()
            done = subprocess.run(
                [conf.WMCTL, "--json", *command.split()],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                check=False)
            self.readings.append(record.Reading(
                since, time.monotonic(), command, done.returncode))

    def go_on(self, work):
        while not self.ending.is_set():
            work()
            time.sleep(0.003)

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.result(PATIENCE + proc.DEADLINE)
        for client in self.clients:
            client.connection.close()
