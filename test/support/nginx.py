# SPDX-License-Identifier: Apache-2.0
"""The driver of a real nginx in a prefix of its own: its configuration,
processes, signals, error log and segments."""

import contextlib
import glob
import os
import re
import shutil
import signal
import socket
import subprocess

import conf
import proc
import segment
from proc import wait

SEGMENT = re.compile(r"/dev/shm/(wm\.(.+)\.[0-9a-f]{16})( \(deleted\))?$")
ANY_SEGMENT = re.compile(r"/(dev/shm/|memfd:)wm\.")
TITLE = "nginx: worker process"
REFUSED = r"\[emerg\]|init_by_lua error|^stack traceback"


@contextlib.contextmanager
def running(n):
    """Starts an nginx, of which nothing is left, whatever has failed."""
    try:
        yield n.start()
    finally:
        n.kill_all()


class Nginx:
    """Starts, signals and observes one nginx. It ends as running() does, or
    as all descendants are ended: leftovers.kill_all()."""

    def __init__(self, prefix, name="nginx", daemon=False):
        self.prefix = prefix
        self.called = prefix + "/"  # as nginx is told
        self.name = name            # of its own files in the prefix
        self.daemon = daemon
        self.alone = False          # no master process
        self.popen = None
        self.master = None
        self.instances = set()
        self.mark = 0               # where the log stood at the last act
        self.wrap = []              # a command to start nginx under
        self.options = []
        self.env = None
        os.makedirs(self.path("tmp"), exist_ok=True)
        os.chmod(prefix, 0o755)

    def path(self, name):
        return os.path.join(self.prefix, name)

    def file(self, kind):
        return self.path(self.name + kind)

    def write(self, text):
        """Writes the configuration anew."""
        conf.write(self.file(".conf"), text)

    # --- starting -------------------------------------------------------

    def command(self, *args):
        return [conf.NGINX, "-p", self.called, "-c",
                self.name + ".conf", "-e", "error.log", *self.options, *args]

    def run(self, *args):
        """Runs nginx to its end (-t, -s): its result."""
        return subprocess.run(self.command(*args), cwd=self.prefix,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False, timeout=proc.DEADLINE)

    def launch(self):
        """Starts the process and waits for nothing."""
        with open(self.path("output"), "ab") as out:
            self.popen = subprocess.Popen(
                [*self.wrap, *self.command()], cwd=self.prefix, env=self.env,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def start(self):
        self.launch()
        self.master = wait(self.find_master, "the master's pid")
        if self.daemon:
            # Until the first process has gone, nginx takes no USR2, and the
            # segment has one user more.
            self.popen.wait(timeout=proc.DEADLINE)
        return self

    def find_master(self):
        """The master's pid; an nginx that refused to start is an error."""
        ended = self.popen.poll()
        assert not ended, f"nginx exited with {ended}: {self.log()}"
        pid = self.pid_file()
        return pid if self.daemon else pid and self.popen.pid

    def pid_file(self, but=None):
        """The pid that it has; None if that is another's whom we know."""
        pid = int(proc.read(self.file(".pid")) or 0)
        return pid if pid not in (0, but) else None

    # --- signals --------------------------------------------------------

    def signal(self, name, pid=None):
        self.mark = len(self.log())
        self.note_segments()
        os.kill(pid or self.master, getattr(signal, "SIG" + name))
        if self.alone:
            # It looks for signals before it sleeps in epoll_wait, not in one
            # step with it, and may miss one: an event wakes it.
            with contextlib.suppress(OSError):
                self.connect().close()

    def end(self, name):
        self.signal(name)
        self.wait_end()

    def wait_end(self):
        """Waits until the master has left, as it should, with all others."""
        everybody = [self.master, *proc.family(self.master)]
        if self.popen.pid == self.master:
            code = self.popen.wait(timeout=proc.DEADLINE)
            assert code == 0, f"the master exited with {code}"
        self.wait_gone(everybody)
        self.master = None

    def kill_all(self):
        """Ends all at once, also a thousand, and removes what they leave."""
        if self.popen and self.popen.poll() is None:
            pid = self.popen.pid
            os.kill(pid, signal.SIGSTOP)    # it starts no more of them
            wait(lambda: proc.stat(pid)[0] in "TZ", "a stop")
            proc.kill(*proc.family(pid), pid)
        for path in self.segments():
            os.unlink(path)
        shutil.rmtree(self.prefix, ignore_errors=True)

    def pause(self, pids):
        """Stops processes, none of them with the lock that others want."""
        def paused():
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            wait(lambda: all(proc.stat(p)[0] in "TZ" for p in pids), "a stop")
            if not self.master or self.lock_holder() not in pids:
                return True
            self.resume(pids)
            return False
        wait(paused, "a pause without the lock")

    def resume(self, pids):
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    # --- processes ------------------------------------------------------

    def workers(self, master=None):
        """The pids of all worker processes, old and new."""
        return [p for p in proc.children(master or self.master)
                if proc.title(p).startswith(TITLE)]

    def current(self):
        """The pids of the workers that were not told to leave."""
        return [p for p in self.workers() if proc.title(p) == TITLE]

    def wait_titles(self):
        """Waits until each child is known by a title of its own: it has the
        master's until the very end of its start."""
        wait(lambda: proc.title(self.master) not in map(
            proc.title, proc.children(self.master)), "titles")

    def wait_gone(self, pids):
        wait(lambda: all(map(proc.gone, pids)), f"{pids} to end")

    # --- the error log ----------------------------------------------------

    def log(self):
        return proc.read(self.path("error.log"))

    def log_lines(self, pattern):
        return [x for x in self.log().splitlines() if re.search(pattern, x)]

    def wait_log(self, pattern, count=1):
        """Waits for lines logged since the last signal."""
        wait(lambda: len(re.findall(pattern, self.log()[self.mark:])) >= count,
             f"{pattern} in error.log")

    # --- segments ---------------------------------------------------------

    def maps(self):
        """What the master maps, as the kernel tells it."""
        return proc.read(f"/proc/{self.master}/maps")

    def mapped(self):
        """The segments among it: {file name: instance}."""
        found = map(SEGMENT.search, self.maps().splitlines())
        return {m[1]: m[2] for m in found if m}

    def note_segments(self):
        """At each signal, as they may be gone with the process."""
        with contextlib.suppress(OSError):
            self.instances |= set(self.mapped().values())

    def segments(self):
        """The segments of this instance in /dev/shm."""
        return sorted(p for i in self.instances
                      for p in glob.glob(f"/dev/shm/wm.{i}.*"))

    def look(self, at):
        """The view of a function of segment.py of the master's segment, which
        may be anonymous; 0 if there is none."""
        fds = f"/proc/{self.master}/fd"
        for fd in os.listdir(fds):
            try:
                if not ANY_SEGMENT.search(os.readlink(f"{fds}/{fd}")):
                    continue
                with open(f"{fds}/{fd}", "rb") as f:
                    return at(f.fileno())
            except FileNotFoundError:
                pass        # closed meanwhile
        return 0

    def lock_holder(self):
        return self.look(segment.lock_holder)

    # --- clients ----------------------------------------------------------

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

    def get(self, path="/", name="s"):
        """The status of one request."""
        with self.connect(name) as s:
            s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = s.makefile("rb").read()
        return int(answer.split()[1])
