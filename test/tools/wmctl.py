# SPDX-License-Identifier: Apache-2.0
"""Runs wmctl, to its end or beside the test."""

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

import conf
import proc

OK, NOT_READY, USAGE, NO_NODE, DENIED, DAMAGED, FOREIGN, FAILED = range(8)
ONCE = ("--timeout", "0")

# A shell that started the tests may ignore some, as for its background;
# would ignore them as well.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM,
               signal.SIGTSTP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


class Command:
    """wmctl with some options, as some user."""

    def __init__(self, *options, program=conf.WMCTL, user=None, **env):
        self.options = options
        self.program = program
        self.more = {"user": user, "group": "nogroup",
                     "extra_groups": []} if user else {}
        self.env = {**os.environ, "TERM": "xterm", **env}
        self.env.pop("NO_COLOR", None)

    def run(self, *args):
        """Its result."""
        return subprocess.run(
            [self.program, *self.options, *args], capture_output=True,
            text=True, check=False, timeout=60, env=self.env, **self.more)

    def text(self, *args):
        done = self.run(*args)
        assert (done.returncode, done.stderr) == (OK, ""), done
        return done.stdout

    def json(self, *args, status=OK):
        done = self.run("--json", *args)
        assert done.returncode == status, done
        return json.loads(done.stdout)

    def lines(self, *args):
        """Of an output with one document a line."""
        return [json.loads(x) for x in self.text("--json", *args).splitlines()]

    def refuses(self, status, *args):
        """The one line that says why."""
        done = self.run(*args)
        assert done.returncode == status, done
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("wmctl: ") and line.isprintable()
        return line

    def begin(self, *args, terminal=None, blocking=True, **env):
        return Running([self.program, *self.options, *args], terminal,
                       blocking, {**self.env, **env}, **self.more)


class Running:
    """A wmctl beside the test: what it has written so far, and its end; the
    fixture place ends one that goes on. terminal: (rows, columns) of one; else
    it is a pipe."""

    PIPE = 4096                 # bytes that fit, the least there is

    def __init__(self, command, terminal, blocking, env, **more):
        if terminal:
            try:
                self.fd, out = os.openpty()
            except OSError:
                pytest.skip("no pseudo-terminal to be had: is devpts mounted? "
                            "allowed in CI")
            termios.tcsetwinsize(out, terminal)
        else:
            self.fd, out = os.pipe()
            fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, self.PIPE)
            os.set_blocking(out, blocking)
        self.popen = subprocess.Popen(command, env=env, text=True, stdout=out,
                                      stderr=subprocess.PIPE,
                                      stdin=subprocess.DEVNULL,
                                      # As a shell does: only so it may stop.
                                      process_group=0, **more)
        os.close(out)
        self.output = ""

    def full(self):
        """Waits until the pipe takes no more."""
        def filled():
            size = fcntl.ioctl(self.fd, termios.FIONREAD, b"\0" * 4)
            return struct.unpack("i", size)[0] == self.PIPE
        proc.wait(filled, "a full pipe")

    def read(self, timeout):
        """Takes what has come; False at the end."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:         # a terminal's end
            return False
        self.output += data.decode()
        return bool(data)

    def until(self, condition, what):
        """Reads on until condition(output) is true: its value."""
        end = time.monotonic() + proc.DEADLINE
        while not (value := condition(self.output)):
            assert time.monotonic() < end, f"no {what} in {self.output!r}"
            assert self.read(0.1), f"ended without {what}: {self.output!r}"
        return value

    def documents(self, count):
        """Waits for so many JSON documents: all that there are."""
        def whole(output):
            lines = output.split("\n")[:-1]
            return len(lines) >= count and [json.loads(x) for x in lines]
        return self.until(whole, f"{count} documents")

    def signal(self, name):
        self.popen.send_signal(getattr(signal, "SIG" + name))

    def stop(self, name="INT"):
        """Asks it to end, which is no failure."""
        self.signal(name)
        assert self.end() == (OK, "")

    def end(self):
        """Waits for its end: (exit status, what it said of it)."""
        proc.wait(lambda: not self.read(0.1), "its end", 3 * proc.DEADLINE)
        os.close(self.fd)
        _, said = self.popen.communicate(timeout=proc.DEADLINE)
        return self.popen.returncode, said
