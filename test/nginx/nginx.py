# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""One real nginx in a prefix of its own, and all that it left in writing."""

import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import conf
import proc
import trace
from model import Model
from proc import wait

SEGMENT = re.compile(r"/dev/shm/(wm\.(.+)\.[0-9a-f]{16})( \(deleted\))?$")
OURS = re.compile(r"\[(\w+)\] .*worker manager: ")
NEVER = re.compile(r"attempt to |thread aborted|traceback|exited on signal"
                   r"|\[(crit|alert|emerg)\]", re.I)
LOCK, NEXT = 256, 264       # where these words lie, see protocol.md
WORKER = 3                  # ngx_process of a worker
TITLE = "nginx: worker process"
REFUSED = r"\[emerg\]|init_by_lua error|^stack traceback"
LOUD = ("warn", "error", "crit", "alert", "emerg")


def line_server(answer):
    """A location whose connections answer each line with this, for ever; an
    exiting worker, too. The first answer is the worker's pid."""
    return f"""
        location /lines {{
            lua_check_client_abort on;
            content_by_lua_block {{
                local sock = assert(ngx.req.socket(true))
                sock:settimeout(60000)
                sock:send(ngx.worker.pid() .. "\\n")
                while sock:receive("*l") do
                    sock:send({answer} .. "\\n")
                end
            }}
        }}"""


class Nginx:
    """Starts, signals, observes and judges one nginx."""

    def __init__(self, prefix, name="nginx", **params):
        self.prefix = prefix
        self.params = {"name": name, **params}
        self.popen = None
        self.master = None
        instance = params.get("opts", {}).get("name")
        self.instances = {instance} if instance else set()
        self.killed = set()
        self.expected = []
        self.complete = True        # a clean end owes nothing
        self.modelled = True        # counts follow from the order
        self.succeeds = True        # every call of the module returns true
        self.mark = 0               # where the log stood at the last act
        self.wrap = []              # a command to start nginx under
        os.makedirs(os.path.join(prefix, "tmp"), exist_ok=True)
        os.chmod(prefix, 0o755)

    def path(self, name):
        return os.path.join(self.prefix, name)

    def file(self, kind):
        """The name of a file that is this one's own in the prefix."""
        return self.param("name") + kind

    # --- starting -------------------------------------------------------

    def configure(self, **changes):
        """Writes nginx.conf anew, with these parameters changed."""
        self.params.update(changes)
        text = conf.render(self.prefix, **self.params)
        path = self.path(self.file(".conf"))
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(path + ".new", path)      # a reload may be reading it

    def param(self, name):
        return self.params.get(name, conf.DEFAULTS[name])

    def command(self, *args):
        return [conf.NGINX, "-p", self.prefix + "/", "-c",
                self.file(".conf"), "-e", "error.log", *args]

    def run(self, *args):
        """Runs nginx to its end (-t, -s): its result."""
        return subprocess.run(self.command(*args), cwd=self.prefix,
                              capture_output=True, text=True, check=False,
                              timeout=60)

    def launch(self):
        """Starts the process and waits for nothing."""
        self.configure()
        out = os.open(self.path("output"),
                      os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        self.popen = subprocess.Popen(
            [*self.wrap, *self.command()], cwd=self.prefix,
            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        os.close(out)

    def start(self, ready=True):
        """Starts nginx; ready: with all its workers up."""
        self.launch()
        self.master = wait(self.find_master, "the master's pid")
        if self.param("daemon"):
            # Until the first process has gone, nginx takes no USR2, and the
            # segment has one user more.
            self.popen.wait(timeout=proc.DEADLINE)
        if ready:
            self.wait_up()
        self.note_segments()
        return self

    def find_master(self):
        """The master's pid; an nginx that refused to start is an error."""
        ended = self.popen.poll()
        assert not ended, f"nginx exited with {ended}"
        if not self.param("daemon"):
            pid_file = self.path(self.file(".pid"))
            if ended is not None or not os.path.exists(pid_file):
                return None
            return self.popen.pid
        try:
            with open(self.path(self.file(".pid")), encoding="ascii") as f:
                return int(f.read() or 0)
        except FileNotFoundError:
            return None

    def start_fails(self):
        """Starts nginx, which is to refuse: its exit code."""
        self.launch()
        code = self.popen.wait(timeout=proc.DEADLINE)
        assert code != 0, "nginx was to refuse, but started"
        self.expect(REFUSED)
        return code

    def wait_up(self, workers=None):
        """Waits for the workers of the latest configuration."""
        workers = workers or self.param("workers")

        def up():
            inits = [x for x in self.notes("init") if x["process"] != WORKER]
            ups = {x["by"] for x in self.notes("up")
                   if inits and x["vm"] == inits[-1]["vm"]} - self.killed
            # A worker gets its title, by which we know it, at the very end.
            return len(ups) >= workers and all(
                p == self.master or proc.title(p).startswith(TITLE)
                or proc.gone(p) for p in ups)
        wait(up, f"{workers} workers")

    def wait_titles(self):
        """Waits until each child is known by a title of its own: it has the
        master's until the very end of its start."""
        wait(lambda: proc.title(self.master) not in map(
            proc.title, proc.children(self.master)), "titles")

    # --- signals --------------------------------------------------------

    def signal(self, name, pid=None):
        self.mark = len(self.log())
        os.kill(pid or self.master, getattr(signal, "SIG" + name))
        if not self.param("master_process"):
            self.nudge()

    def nudge(self):
        """An event: nginx without a master looks for signals before it
        sleeps in epoll_wait, not in one step with it, and may miss one."""
        try:
            self.connect().close()
        except OSError:
            pass

    def hup(self, **changes):
        """Reloads with these changes and waits for nothing."""
        self.configure(**changes)
        self.signal("HUP")

    def reload(self, old_gone=True, **changes):
        """Reloads; returns when the new workers are up, the old gone.

        The old ones are stopped meanwhile, so that they hear of their end
        when all the new ones are up, however loaded the machine is.
        """
        inits = len(self.notes("init"))
        self.wait_titles()
        old = self.current()
        self.pause(old)
        self.hup(**changes)
        wait(lambda: len(self.notes("init")) > inits, "the reload")
        self.wait_up()
        self.resume(old)
        if old_gone:
            self.wait_gone(old)
        return old

    def reload_fails(self, pattern=r"\[emerg\]", **changes):
        """Reloads; returns when nginx has logged why it cannot."""
        kept = dict(self.params)
        self.hup(**changes)
        self.wait_log(pattern)
        self.expect(REFUSED)
        self.params = kept

    def quit(self):
        return self.end("QUIT")

    def term(self):
        return self.end("TERM")

    def end(self, name):
        self.signal(name)
        self.wait_end()

    def wait_end(self):
        """Waits until the master has left, as it should, with all others."""
        everybody = [self.master, *proc.descendants(self.master)]
        if self.popen.pid == self.master:
            code = self.popen.wait(timeout=proc.DEADLINE)
            assert code == 0, f"the master exited with {code}"
        self.wait_gone(everybody)
        self.master = None

    def kill(self, *pids):
        """Kills workers; returns when the kernel has let go of them."""
        for pid in pids:
            self.expect_killed(pid)
            self.write_trace(what="killed", pid=pid)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.wait_gone(pids)

    def expect_killed(self, pid):
        self.killed.add(pid)
        self.expect(rf"{pid} exited on signal 9")
        self.expect(rf"worker manager: worker \d+-{pid} crashed")

    def pause(self, pids):
        """Stops processes, none of them with the lock that others want."""
        def paused():
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            wait(lambda: all(proc.stat(p)[0] == "T" for p in pids), "a stop")
            if self.lock_holder() not in pids:
                return True
            self.resume(pids)
            return False
        wait(paused, "a pause without the lock")

    def lock_holder(self):
        """The pid of the lifecycle lock's holder, 0 if it is free."""
        return self.segment_word(LOCK) >> 42

    def next_in_turn(self):
        """The pid of who polls the lock from a timer, 0 if nobody does."""
        return self.segment_word(NEXT) >> 39

    def segment_word(self, offset):
        """A 64-bit word of the segment, which may be anonymous; 0 if there
        is none."""
        fds = f"/proc/{self.master}/fd"
        for fd in os.listdir(fds):
            try:
                if not re.search(r"/(dev/shm/|memfd:)wm\.",
                                 os.readlink(f"{fds}/{fd}")):
                    continue
                with open(f"{fds}/{fd}", "rb") as f:
                    f.seek(offset)
                    return int.from_bytes(f.read(8), "little")
            except FileNotFoundError:
                pass        # closed meanwhile
        return 0

    def resume(self, pids):
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    def quit_workers(self, pids):
        """Tells workers to leave, which no master does; they do."""
        for pid in pids:
            os.kill(pid, signal.SIGQUIT)
        self.wait_gone(pids)

    # --- processes ------------------------------------------------------

    def workers(self):
        """The pids of all worker processes, old and new."""
        return [p for p in proc.children(self.master)
                if proc.title(p).startswith(TITLE)]

    def current(self):
        """The pids of the workers that were not told to leave."""
        return [p for p in proc.children(self.master)
                if proc.title(p) == TITLE]

    def helpers(self):
        """The cache manager's and the cache loader's pid."""
        def titled():
            found = {proc.title(p): p for p in proc.children(self.master)}
            names = [f"nginx: cache {x} process"
                     for x in ("loader", "manager")]
            return all(x in found for x in names) and [
                found[x] for x in names]
        return sorted(wait(titled, "cache helpers"))

    def wait_gone(self, pids):
        wait(lambda: all(proc.gone(p) for p in pids), f"{pids} to end")

    def worker(self, gen, index=0):
        """The pid of the index-th worker that started in a generation."""
        return [x["by"] for x in self.events("worker_start", gen)][index]

    # --- what it left in writing ------------------------------------------

    def new_life(self):
        """What follows in the trace is another life of the node."""
        self.write_trace(what="life")

    def write_trace(self, **line):
        fd = os.open(self.path(self.file(".jsonl")),
                     os.O_WRONLY | os.O_APPEND)
        os.write(fd, json.dumps(line).encode() + b"\n")
        os.close(fd)

    def trace(self):
        return trace.read(self.path(self.file(".jsonl")))

    def rows(self):
        return [tuple(r) for r in trace.rows(self.trace())]

    def notes(self, name):
        return [x for x in self.trace()
                if x["what"] == "note" and x["note"] == name]

    def tries(self):
        """What wmt.try() saw: {name: line}."""
        return {x["name"]: x for x in self.trace() if x["what"] == "try"}

    def events(self, event, gen=None, what="begin"):
        """The lines of one callback, of one generation if given."""
        lines = self.trace()
        chosen = [x for x in trace.begins(lines) if x["event"] == event
                  and gen in (None, x["info"]["generation"])]
        if what == "begin":
            return chosen
        ends = {(x["by"], x["vm"], x["call"]) for x in lines
                if x["what"] == "end"}
        return [x for x in chosen if (x["by"], x["vm"], x["call"]) in ends]

    def wait_events(self, event, gen=None, count=1):
        """Waits until so many of them have run to their end."""
        wait(lambda: len(self.events(event, gen, "end")) >= count,
             f"{count} {event} of {gen}")

    def wait_note(self, name, count=1):
        wait(lambda: len(self.notes(name)) >= count, f"note {name}")

    def log(self):
        try:
            with open(self.path("error.log"), encoding="utf-8",
                      errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def log_lines(self, pattern):
        return [x for x in self.log().splitlines() if re.search(pattern, x)]

    def wait_log(self, pattern, count=1):
        """Waits for lines logged since the last signal."""
        wait(lambda: len(re.findall(pattern, self.log()[self.mark:])) >= count,
             f"{pattern} in error.log")

    def expect(self, pattern, times=None):
        """Lets lines like this stand in the log (exactly so often)."""
        if (pattern, times) not in self.expected:
            self.expected.append((pattern, times))

    # --- segments ---------------------------------------------------------

    def mapped(self):
        """The segments that the master maps: {file name: instance}."""
        found = {}
        with open(f"/proc/{self.master}/maps", encoding="utf-8") as f:
            for line in f:
                m = SEGMENT.search(line.rstrip("\n"))
                if m:
                    found[m[1]] = m[2]
        return found

    def note_segments(self):
        self.instances |= set(self.mapped().values())

    def segments(self):
        """The segments of this instance in /dev/shm."""
        return sorted(p for i in self.instances
                      for p in glob.glob(f"/dev/shm/wm.{i}.*"))

    # --- gates and clients ------------------------------------------------

    def open_gate(self, gate):
        with open(self.path("gate." + gate), "w", encoding="ascii"):
            pass

    def close_gate(self, gate):
        os.unlink(self.path("gate." + gate))

    def ask(self, pid, name):
        """What a worker with wmt.answer() says to this."""
        def answers():
            return [x for x in self.notes("answer") if x["by"] == pid]
        asked = len(answers())
        self.open_gate(f"ask.{pid}.{asked}.{name}")
        wait(lambda: len(answers()) > asked, f"{pid} to answer {name}")
        return answers()[-1]

    def connect(self, name="s"):
        """A connection to the server (a long prefix is no obstacle)."""
        fd = os.open(self.prefix, os.O_PATH)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(proc.DEADLINE)
        try:
            s.connect(f"/proc/self/fd/{fd}/{name}")
        except OSError:
            s.close()
            raise
        finally:
            os.close(fd)
        return s

    def get(self, path="/"):
        """The status of one request."""
        with self.connect() as s:
            s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while chunk := s.recv(4096):
                answer += chunk
        return int(answer.split()[1])

    def hold(self):
        """Opens a request that never ends: (the worker's pid, socket)."""
        s = self.connect()
        s.sendall(b"GET /hold HTTP/1.0\r\n\r\n")
        answer = b""
        while not re.search(rb"\r\n\r\n\d+\n", answer):
            chunk = s.recv(4096)
            assert chunk, f"the request ended: {answer!r}"
            answer += chunk
        return int(answer.split()[-1]), s

    def hold_all(self):
        """Holds every current worker with one connection: {pid: socket}."""
        held, spare, workers = {}, [], set(self.current())

        def one_more():
            pid, s = self.hold()
            if pid in held:
                spare.append(s)
            held.setdefault(pid, s)
            return workers <= set(held)
        wait(one_more, "a connection to every worker")
        for s in spare:
            s.close()
        return held

    def lines(self):
        """A connection of line_server() to each worker: {pid: socket}."""
        found = {}

        def one_more():
            s = self.connect()
            s.sendall(b"GET /lines HTTP/1.1\r\nHost: a\r\n\r\n")
            pid = int(self.say(s, b""))
            if pid in found:
                s.close()
            found.setdefault(pid, s)
            return set(self.current()) <= set(found)
        wait(one_more, "a connection to every worker")
        return found

    def say(self, s, line=b"?\n"):
        """Sends a line: the answer to it."""
        s.sendall(line)
        answer = b""
        while not answer.endswith(b"\n"):
            chunk = s.recv(100)
            assert chunk, f"the connection ended: {answer!r}"
            answer += chunk
        return answer.decode().strip()

    # --- the judgement ------------------------------------------------------

    def check(self):
        """What holds for every life that ended as its test wanted."""
        for lines in trace.lives(self.trace()):
            self.check_life(lines)
        self.check_log()
        assert not self.segments(), f"segments left: {self.segments()}"

    def check_life(self, lines):
        trace.check_arguments(lines)
        trace.check_once(lines)
        trace.check_no_overlap(lines, self.killed)
        if self.succeeds:
            trace.check_calls(lines)
        if self.modelled:
            silent = self.param("callbacks").get("master_exit")
            model = Model(lines, silent != conf.NO_CALLBACK).check()
            if self.complete:
                model.check_complete()

    def check_log(self):
        """No trouble and no loud line but what the test expects."""
        surprises = []
        seen = [0] * len(self.expected)
        for line in self.log().splitlines():
            known = False
            for i, (pattern, _) in enumerate(self.expected):
                if re.search(pattern, line):
                    seen[i] += 1
                    known = True
            ours = OURS.search(line)
            loud = ours and ours[1] in LOUD
            if not known and (loud or NEVER.search(line)):
                surprises.append(line)
        assert not surprises, "unexpected in error.log:\n" + "\n".join(
            surprises)
        for (pattern, times), n in zip(self.expected, seen):
            assert times in (None, n), (
                f"{n} lines like {pattern}, not {times}")

    def remove(self):
        shutil.rmtree(self.prefix, ignore_errors=True)
