# SPDX-License-Identifier: Apache-2.0
"""An nginx whose configuration traces what its callbacks see: what a test
waits for, asks and judges."""

import json
import os
import re
import signal

import conf
import model
import proc
from nginx import REFUSED, TITLE, Nginx
from proc import wait

# Of nginx, Lua or a sanitizer; and of the module.
TROUBLE = re.compile(r"attempt to |thread aborted|traceback|Sanitizer"
                     r"|exited on signal|\[(crit|alert|emerg)\]", re.I)
LOUD = re.compile(r"\[(warn|error|crit|alert|emerg)\] .*worker manager: ")
# Says how long a wait was, on a busy machine perhaps any.
WAITED = re.compile("worker manager: waited .* for the callbacks of others")
WORKER = 3                  # ngx_process of a worker
UNHEARD = 'if wmt.opened("late") then wmt.gate("{}") end'
ANSWERING = "wmt.answer()"
TICKING = 'ngx.timer.every(0.1, function() wmt.note("tick") end)'
LATE_JOIN, LATE_INIT = UNHEARD.format("join"), UNHEARD.format("init")


class Traced(Nginx):
    def __init__(self, prefix, name="nginx", **params):
        super().__init__(prefix, name, params.get("daemon", False))
        self.params = {"name": name, **params}
        instance = params.get("opts", {}).get("name")
        self.instances = {instance} if instance else set()
        self.alone = not self.param("master_process")
        self.killed = set()
        self.expected = set()
        self.complete = True        # a clean end owes nothing
        self.modelled = True        # counts follow from the order
        self.succeeds = True        # every call of the module returns true

    def param(self, name):
        return self.params.get(name, conf.DEFAULTS[name])

    def configure(self, **changes):
        """Writes nginx.conf anew, with these parameters changed."""
        self.params.update(changes)
        self.write(conf.render_traced(self.prefix, **self.params))

    # --- lives ------------------------------------------------------------

    def launch(self):
        self.configure()
        super().launch()

    def start(self, ready=True):
        """Starts nginx; ready: with all its workers up."""
        super().start()
        if ready:
            self.wait_up()
        self.note_segments()
        return self

    def start_fails(self):
        """Starts nginx, which is to refuse."""
        self.launch()
        assert self.popen.wait(timeout=proc.DEADLINE) == 1
        self.expect(REFUSED)

    def start_again(self, unclean=False):
        """Another life of the node; unclean: it is told of the former one."""
        for name in ("s", "nginx.pid", "nginx.pid.oldbin"):
            if os.path.lexists(self.path(name)):    # left by a killed one
                os.unlink(self.path(name))
        self.write_trace(what="life")
        self.start()
        info = self.events("master_start")[-1]["info"]
        if not unclean:
            assert "unclean" not in info
            return None
        self.expect("worker manager: not given: the former life", 1)
        self.expect("worker manager: the former life of this node", 1)
        self.complete = False
        return info["unclean"]

    def wait_up(self):
        """Waits for the workers of the latest configuration."""
        workers = self.param("workers")

        def up():
            inits = [x for x in self.notes("init") if x["process"] != WORKER]
            ups = {x["by"] for x in self.notes("up")
                   if inits and x["vm"] == inits[-1]["vm"]} - self.killed
            # A worker gets its title, by which we know it, at the very end.
            return len(ups) >= workers and all(
                p == self.master or proc.title(p).startswith(TITLE)
                or proc.gone(p) for p in ups)
        wait(up, f"{workers} workers")

    def hup(self, **changes):
        """Reloads with these changes and waits for nothing."""
        self.configure(**changes)
        self.signal("HUP")

    def reload(self, old_gone=True, **changes):
        """Reloads; returns when the new workers are up, the old gone. These
        are stopped meanwhile, so that they hear of their end when all the new
        ones are up, however loaded the machine is."""
        inits = len(self.notes("init"))
        old = self.reload_unheard(**changes)
        self.wait_note("init", inits + 1)
        self.wait_up()
        self.resume(old)
        if old_gone:
            self.wait_gone(old)
        return old

    def reload_unheard(self, until=None, **changes):
        """Reloads; the old workers are stopped, and stay so: their pids.
        until: a generation whose workers have all started then."""
        self.wait_titles()
        old = self.current()
        self.pause(old)
        self.hup(**changes)
        if until:
            self.wait_events("worker_start", until, self.param("workers"))
        return old

    def drain(self, **changes):
        """Reloads while each old worker serves a connection: when its master
        exit has been given, {pid: socket}."""
        held, given = self.hold_all(), len(self.events("master_exit"))
        self.reload(old_gone=False, **changes)
        self.wait_events("master_exit", count=given + 1)
        return held

    def let_go(self, held):
        """Closes connections; their workers end."""
        for s in held.values():
            s.close()
        self.wait_gone(list(held))

    def reload_fails(self, pattern=r"\[emerg\]", **changes):
        """Reloads; returns when nginx has logged why it cannot."""
        kept = dict(self.params)
        self.hup(**changes)
        self.wait_log(pattern)
        self.expect(REFUSED)
        self.params = kept

    def bind_fails(self):
        self.reload_fails("bind.. to unix:none/s failed",
                          server="listen unix:none/s;")

    def stop(self, rows=None, how="QUIT"):
        """Ends the node by a signal or by `nginx -s`; compares rows."""
        if how.startswith("-s"):
            assert self.run(*how.split()).returncode == 0
            self.wait_end()
        else:
            self.end(how)
        self.check_rows(rows)

    def stop_fast(self, rows=None, first=()):
        """A fast stop in which each worker ends for itself, these first. As
        the master is stopped, it does not kill them after a second."""
        rest = [p for p in self.workers() if p not in first]
        self.mark = len(self.log())
        self.pause([self.master])
        for pid in [*first, *rest]:
            proc.send(pid, signal.SIGTERM)
            self.wait_gone([pid])
        proc.send(self.master, signal.SIGTERM)
        self.resume([self.master])
        self.wait_end()
        self.check_rows(rows)

    def check_rows(self, rows):
        assert rows is None or self.rows() == rows

    # --- deaths -------------------------------------------------------------

    def kill(self, *pids):
        """Kills workers; returns when the kernel has let go of them."""
        for pid in pids:
            self.killed.add(pid)
            self.expect(rf"{pid} exited on signal 9")
            self.expect(rf"worker manager: worker \d+-{pid} crashed")
            self.write_trace(what="killed", pid=pid)
        proc.kill(*pids)

    def dies(self, pid):
        """A worker that ends in another way."""
        self.killed.add(pid)
        self.write_trace(what="killed", pid=pid)

    def replace(self, pid):
        """Kills a worker; returns when another has started for it."""
        started = len(self.events("worker_start"))
        self.kill(pid)
        self.wait_events("worker_start", count=started + 1)

    # --- a binary upgrade -------------------------------------------------

    def new_binary(self):
        """USR2: (the old master, self.master: the new one), all workers up."""
        old = self.master
        self.signal("USR2")
        self.master = new = wait(lambda: self.pid_file(but=old),
                                 "the new master")
        self.wait_up()
        return old, new

    def winch(self, master):
        """Has a master send its workers away; returns when they are gone."""
        own = self.workers(master)
        self.signal("WINCH", master)
        self.wait_gone(own)

    def end_master(self, master, name="QUIT"):
        """Ends one of two masters; returns when it and its workers are
        gone."""
        own = self.workers(master)
        self.signal(name, master)
        self.wait_gone([master, *own])

    def back_to(self, old, new):
        """Waits for what the old master takes USR2 by: it has reaped the new
        one, and has its pid file back."""
        self.master = old
        wait(lambda: self.pid_file(but=new) == old, "the old one's pid file")

    # --- the trace ----------------------------------------------------------

    def write_trace(self, **line):
        with open(self.file(".jsonl"), "a", encoding="ascii") as f:
            f.write(json.dumps(line) + "\n")

    def trace(self):
        return model.read(self.file(".jsonl"))

    def rows(self):
        return model.rows(self.trace())

    def notes(self, name):
        return [x for x in self.trace()
                if x["what"] == "note" and x["note"] == name]

    def tries(self):
        """What wmt.try() saw: {name: line}."""
        return {x["name"]: x for x in self.trace() if x["what"] == "try"}

    def events(self, event, gen=None, ended=False):
        """The lines of one callback, of one generation if given."""
        lines = self.trace()
        ends = {(x["by"], x["vm"], x["call"]) for x in lines
                if x["what"] == "end"}
        return [x for x in model.begins(lines) if x["event"] == event
                and gen in (None, x["info"]["generation"])
                and (not ended or (x["by"], x["vm"], x["call"]) in ends)]

    def started(self, gen):
        """The pids of a generation's workers, in the order of starts."""
        return [x["by"] for x in self.events("worker_start", gen)]

    def wait_events(self, event, gen=None, count=1):
        """Waits until so many of them have run to their end."""
        wait(lambda: len(self.events(event, gen, True)) >= count,
             f"{count} {event} of {gen}")

    def wait_note(self, name, count=1):
        """Waits for so many notes: the pids of those that wrote them."""
        wait(lambda: len(self.notes(name)) >= count, f"note {name}")
        return [x["by"] for x in self.notes(name)]

    # --- gates and clients ------------------------------------------------

    def open_gate(self, gate):
        conf.write(self.path("gate." + gate), "")

    def close_gate(self, gate):
        os.unlink(self.path("gate." + gate))

    def ask(self, pid, chunk):
        """This very worker's answer, with ANSWERING, to Lua that knows M."""
        def answers():
            return [x for x in self.notes("answer") if x["by"] == pid]
        asked = len(answers())
        conf.write(self.path(f"ask.{pid}.{asked}"),
                   f"local M = {conf.MODULE} {chunk}")
        wait(lambda: len(answers()) > asked, f"{pid} to answer {chunk}")
        return answers()[-1]["answer"]

    def states(self, pid):
        """Such a worker's view: {pid: state}."""
        return {w["pid"]: w["state"]
                for w in self.ask(pid, "return M.workers()")}

    def hold(self):
        """Opens a request that never ends: (the worker's pid, socket)."""
        s = self.connect()
        s.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        return int(receive(s)), s

    def hold_all(self):
        """One to each current worker: {pid: socket}."""
        found, workers = {}, set(self.current())

        def one_more():
            pid, s = self.hold()
            if found.setdefault(pid, s) is not s:
                s.close()
            return workers <= set(found)
        wait(one_more, "a connection to every worker")
        return found

    def send(self, s, chunk):
        """Sends Lua over such a connection, as one line."""
        s.sendall(" ".join(chunk.split()).encode() + b"\n")

    def say(self, s, chunk):
        """The same: the answer to it."""
        self.send(s, chunk)
        return receive(s)

    # --- the judgement ------------------------------------------------------

    def expect(self, pattern, times=None):
        """Lets lines like this stand in the log (exactly so often)."""
        self.expected.add((pattern, times))

    def check(self):
        """Claims that hold for every life that ended as its test wanted."""
        for lines in model.lives(self.trace()):
            self.check_life(lines)
        self.check_log()
        assert not self.segments(), f"segments left: {self.segments()}"

    def check_life(self, lines):
        model.check(lines, self.killed, self.succeeds)
        if self.modelled:
            silent = self.params.get("callbacks", {}).get("master_exit")
            judge = model.Model(lines, silent != conf.NO_CALLBACK).check()
            if self.complete:
                judge.check_complete()

    def check_log(self):
        """No trouble and no loud line but what the test expects."""
        lines = [x for x in self.log().splitlines() if not WAITED.search(x)]
        bad = [x for x in lines if TROUBLE.search(x) or LOUD.search(x)]
        for pattern, times in self.expected:
            n = sum(bool(re.search(pattern, x)) for x in lines)
            assert times in (None, n), f"{n} lines like {pattern}, not {times}"
            bad = [x for x in bad if not re.search(pattern, x)]
        assert not bad, "unexpected in error.log:\n" + "\n".join(bad)


def receive(s):
    """Reads a line, which nothing follows."""
    answer = b""
    while not answer.endswith(b"\n"):
        chunk = s.recv(4096)
        assert chunk, f"the connection ended: {answer!r}"
        answer += chunk
    return answer.decode().strip()
