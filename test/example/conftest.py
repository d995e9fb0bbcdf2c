# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The example server, and clients that lose nothing unnoticed."""

import http.client
import os
import re
import subprocess
import threading

import pytest

import conf
import leftovers
import proc

PREFORK = os.path.join(conf.BUILD, "cpp/prefork")


class Server:
    """The master, and its log as it comes, line by line."""

    def __init__(self, workers, beat_ms):
        self.workers = workers
        self.instance = f"test-prefork-{os.getpid()}"
        self.process = subprocess.Popen(
            [PREFORK, self.instance, "0", str(workers), beat_ms],
            stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.port = int(self.wait(r"127\.0\.0\.1:(\d+)")[0][1])
        self.pids = self.started(1)

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.strip())

    def find(self, pattern, since=0):
        return [m for m in (re.search(pattern, x)
                            for x in self.lines[since:]) if m]

    def wait(self, pattern, count=1, since=0):
        """The first matches, as soon as there are so many."""
        proc.wait(lambda: len(self.find(pattern, since)) >= count
                  or not self.reader.is_alive(), pattern)
        found = self.find(pattern, since)
        assert len(found) >= count, f"no {pattern!r} in {self.lines}"
        return found[:count]

    def started(self, generation):
        """The pids of a generation's workers, once all have started."""
        found = self.wait(rf"\[(\d+)\]: starts in generation {generation} ",
                          self.workers)
        return [int(m[1]) for m in found]

    def signal(self, number):
        self.process.send_signal(number)

    def segments(self):
        return [x for x in os.listdir("/dev/shm")
                if x.startswith(f"wm.{self.instance}.")]

    def stopped(self):
        """Waits for a graceful end; what is over then left nothing."""
        assert self.process.wait(proc.DEADLINE) == 0
        self.wait(r"\]: ends$")
        # Each generation's end was given, by a worker of its own, once.
        ends = [m[1] for m in self.find(r"generation (\d+) ends$")]
        assert sorted(set(ends)) == sorted(ends)
        assert not self.find("dead generation")
        assert self.segments() == []

    def kill(self):
        """All that is left of a test that failed."""
        pid = self.process.pid
        proc.kill(pid, *proc.descendants(pid))
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()
        leftovers.remove(f"/dev/shm/{x}" for x in self.segments())


class Client(threading.Thread):
    """Asks over and over; keeps the pid behind each answer and each failure."""

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.answers = []           # (generation, pid)
        self.failures = []          # (pid that served the connection, error)
        self.stopping = threading.Event()
        self.start()

    def run(self):
        while not self.stopping.is_set():
            connection = http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=proc.DEADLINE)
            self.pid = None         # whose the connection is
            try:
                self.ask_until_it_closes(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append((self.pid, repr(error)))
            finally:
                connection.close()

    def ask_until_it_closes(self, connection):
        connection.connect()
        while not self.stopping.is_set():
            connection.request("GET", "/")
            answer = connection.getresponse()
            generation, self.pid = map(int, re.fullmatch(
                r"generation (\d+), pid (\d+)\n",
                answer.read().decode()).groups())
            self.answers.append((generation, self.pid))
            if answer.will_close:
                return

    def asked(self, more=3):
        """Waits until so many more requests were answered."""
        goal = len(self.answers) + more
        proc.wait(lambda: len(self.answers) >= goal or self.failures,
                  "answers")

    def end(self):
        self.stopping.set()
        self.join()


@pytest.fixture
def server(request):
    instance = Server(3, getattr(request, "param", "50"))
    try:
        yield instance
    finally:
        instance.kill()


@pytest.fixture
def clients(server):
    """Six of them, each with a connection that has been answered."""
    crowd = [Client(server.port) for _ in range(6)]
    try:
        for client in crowd:
            client.asked()
        yield crowd
    finally:
        for client in crowd:
            client.end()
