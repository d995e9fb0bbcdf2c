# SPDX-License-Identifier: Apache-2.0
"""The example server under real clients, which note each request that was lost,
and whose it was: only a worker that is killed loses any. A test waits for a
line of the server's log, or for an answer."""

import glob
import http.client
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

import conf
import leftovers
import proc

PREFORK = os.path.join(conf.BUILD, "cpp/prefork")
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Server:
    """The master, and its log as it comes, line by line."""

    workers = 3

    def __init__(self, beat_ms):
        self.instance = f"test-prefork-{os.getpid()}"
        self.process = subprocess.Popen(
            [PREFORK, self.instance, "0", str(self.workers), beat_ms],
            stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.port = int(self.wait(r"127\.0\.0\.1:(\d+)")[0][1])
        self.pids = self.started(1)

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.strip())

    def find(self, pattern):
        return [m for m in (re.search(pattern, x) for x in self.lines) if m]

    def wait(self, pattern, count=1):
        """The first matches, as soon as there are so many."""
        proc.wait(lambda: len(self.find(pattern)) >= count
                  or not self.reader.is_alive(), pattern)
        found = self.find(pattern)
        assert len(found) >= count, f"no {pattern!r} in {self.lines}"
        return found[:count]

    def started(self, generation):
        """The pids of a generation's workers, once all have started."""
        found = self.wait(rf"\[(\d+)\]: starts in generation {generation} ",
                          self.workers)
        return [int(m[1]) for m in found]

    def segments(self):
        return glob.glob(f"/dev/shm/wm.{self.instance}.*")

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
        proc.kill(pid, *proc.family(pid))
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()
        leftovers.remove(self.segments())


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
            pid = None              # whose the connection is
            try:
                with connect(self.port) as sock:
                    header = None
                    while header is None and not self.stopping.is_set():
                        sock.sendall(REQUEST)
                        header, text = read_answer(sock)
                        generation, pid = map(int, re.fullmatch(
                            r"generation (\d+), pid (\d+)\n", text).groups())
                        self.answers.append((generation, pid))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append((pid, repr(error)))

    def asked(self):
        """Waits until three more requests were answered."""
        goal = len(self.answers) + 3
        proc.wait(lambda: len(self.answers) >= goal or self.failures,
                  "answers")

    def end(self):
        self.stopping.set()
        self.join()


@pytest.fixture
def server(request):
    instance = Server(getattr(request, "param", "50"))
    yield instance
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


def end_all(clients):
    """Their failures, after the answers that they wait for."""
    for client in clients:
        client.end()
    return [x for client in clients for x in client.failures]


def stop(server):
    server.process.send_signal(signal.SIGTERM)
    server.stopped()


def connect(port):
    return socket.create_connection(("127.0.0.1", port), proc.DEADLINE)


def read_answer(sock):
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer.getheader("Connection"), answer.read().decode()


def ask(port):
    """An answer, over a connection of its own."""
    with connect(port) as sock:
        sock.sendall(REQUEST)
        return read_answer(sock)[1]


def test_a_reload_loses_no_request(server, clients):
    """The old one serves until the new one is ready, which has a later term."""
    term = int(server.wait(r"leads, term (\d+)")[0][1])
    for generation in (2, 3):
        server.process.send_signal(signal.SIGHUP)
        new = "|".join(map(str, server.started(generation)))
        last, (lead,) = term, server.wait(rf"\[({new})\]: leads, term (\d+)")
        term = int(lead[2])
        assert term > last
        server.wait(rf"generation {generation - 1} ends")
        proc.wait(lambda g=generation: all(c.answers[-1][0] == g
                                           for c in clients),
                  "answers of the new generation")
    assert end_all(clients) == []
    generations = [[g for g, _ in c.answers] for c in clients]
    assert all(g == sorted(g) for g in generations)
    said = [x.split("]: ")[1] for x in server.lines]
    ready = max(i for i, x in enumerate(said)
                if x.startswith("starts in generation 2"))
    assert ready < min(i for i, x in enumerate(said) if x.startswith("drains"))
    stop(server)


def test_a_killed_worker_is_replaced_and_loses_its_own_alone(server, clients):
    killed = clients[0].answers[-1][1]
    assert killed in server.pids
    os.kill(killed, signal.SIGKILL)
    server.wait(rf"crashed: process {killed}$")
    server.wait(r"starts in generation 1 ", server.workers + 1)
    for client in clients:
        client.asked()      # unless its connection was the killed one's
    failures = end_all(clients)
    assert failures and {pid for pid, _ in failures} == {killed}
    assert server.find(r"crashed")[1:] == []
    stop(server)


def test_a_stopped_worker_is_told_of_and_recovers(server, clients):
    """Stopped over a reload as well, it drains later."""
    stopped = clients[0].answers[-1][1]
    others = [c for c in clients if c.answers[-1][1] != stopped]
    os.kill(stopped, signal.SIGSTOP)
    try:
        server.wait(rf"stalled: process {stopped}$")
        for client in others:
            client.asked()
        assert f"pid {stopped}\n" not in ask(server.port)
        server.process.send_signal(signal.SIGHUP)
        server.started(2)
        server.wait(r"drains", server.workers - 1)
        assert not server.find("generation 1 ends")
    finally:
        os.kill(stopped, signal.SIGCONT)
    server.wait(rf"\[{stopped}\]: has recovered")
    server.wait("generation 1 ends")
    for client in clients:
        client.asked()
    assert end_all(clients) == []
    stop(server)


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGTERM])
def test_open_connections_end_in_peace(server, how):
    """Upon a reload and a stop: an idle one, and one amid a request."""
    with connect(server.port) as half, connect(server.port) as idle:
        half.sendall(REQUEST[:-2])
        idle.sendall(REQUEST)
        header, text = read_answer(idle)
        assert header is None and text.startswith("generation 1,")
        server.process.send_signal(how)
        server.wait("generation 1 ends")
        for sock, rest in ((half, REQUEST[-2:]), (idle, REQUEST)):
            sock.sendall(rest)
            header, text = read_answer(sock)
            assert header == "close" and text.startswith("generation 1,")
            assert sock.recv(1) == b""
    server.wait("leaves", server.workers)
    stop(server)    # which it may do already


@pytest.mark.parametrize("server", ["60000"], indirect=True)  # no beat helps
def test_a_stop_answers_whom_nobody_has_accepted_yet(server):
    for pid in server.pids:
        os.kill(pid, signal.SIGSTOP)
    server.process.send_signal(signal.SIGTERM)
    proc.wait(lambda: all(signal.SIGTERM in proc.pending(pid)
                          for pid in server.pids), "the master's word")
    # They learn of these after that word.
    waiting = [connect(server.port) for _ in range(5)]
    for sock in waiting:
        sock.sendall(REQUEST)
    for pid in server.pids:
        os.kill(pid, signal.SIGCONT)
    for sock in waiting:
        assert read_answer(sock)[0] == "close"
        sock.close()
    server.stopped()


def test_clients_wait_for_descriptors_and_nobody_spins(server):
    """Two connections at most for each worker, and more clients than that."""
    for pid in server.pids:
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 2, used + 2))
    clients = [connect(server.port) for _ in range(2 * len(server.pids) + 4)]
    for sock in clients:
        sock.sendall(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
    before, began = sum(map(proc.cpu, server.pids)), time.monotonic()
    server.wait("leads", len(server.find("leads")) + 3)
    spent = sum(map(proc.cpu, server.pids)) - before
    assert spent < (time.monotonic() - began) / 2
    for sock in clients:        # each that ends makes room for another
        assert read_answer(sock)[0] == "close"
        sock.close()
    stop(server)


def test_it_goes_on_when_the_logs_reader_has_gone(server):
    # The reader's next line is its last, and then nobody has the pipe.
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), server.process.stderr.fileno())
    server.reader.join()
    server.process.send_signal(signal.SIGHUP)   # there is something to say
    proc.wait(lambda: ask(server.port).startswith("generation 2,"),
              "the new generation")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(proc.DEADLINE) == 0


@pytest.mark.parametrize("argument, status, says", [
    (["x", "port"], 1, "PORT: port is not in 0..65535"),
    (["x", "65536"], 1, "PORT: 65536 is not in 0..65535"),
    (["x", "0", "0"], 1, "WORKERS: 0 is not in 1..65535"),
    (["x", "0", "1", "0"], 1, "BEAT_MS: 0 is not in 1..65535"),
    (["x", "0", "1", "1", "1"], 1, "usage: prefork [INSTANCE"),
    (["--help"], 0, "usage: prefork [INSTANCE [PORT [WORKERS [BEAT_MS]]]]"),
    (["--frob"], 1, "usage: prefork [INSTANCE"),
    (["a/b"], 1, "nvalid argument")])
def test_a_bad_argument_is_told(argument, status, says):
    done = subprocess.run([PREFORK, *argument], text=True, timeout=60,
                          capture_output=True, check=False)
    (line,) = done.stderr.splitlines()
    assert done.returncode == status
    assert says in line
