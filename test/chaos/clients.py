# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Those who are there all the time: clients that note each request that
failed, wrk, and wmctl, which reads and tidies up."""

import json
import os
import re
import socket
import subprocess
import threading
import time
from collections import namedtuple

import conf
import proc

HERE = os.path.dirname(os.path.realpath(__file__))
PATIENCE = 60           # seconds for an answer: no stop is as long
CONNECTIONS = 4         # of wrk, each remade as soon as it breaks
WRK = ["wrk", "-t1", f"-c{CONNECTIONS}", "-d1s", "--timeout", "60s",
       "-s", os.path.join(HERE, "lua/pace.lua")]

# A request that failed. pid: of the worker that the connection is known to be
# with, or None; got: bytes of the answer; reused: not the connection's first.
Failure = namedtuple("Failure", "since until pid reused got error")
Load = namedtuple("Load", "since until refused broken bad")
Reading = namedtuple("Reading", "since until command status said")


class Client:
    """One that asks again and again, on a connection for each request or on
    one as long as it lasts."""

    def __init__(self, port, path, keep):
        self.port, self.path, self.keep = port, path, keep
        self.served = 0
        self.failures = []
        self.leads = set()      # (term, pid), as the leader itself said
        self.connection = self.pid = None
        self.got = 0

    def ask(self):
        reused = self.connection is not None
        since, self.got = time.monotonic(), 0
        try:
            if not reused:
                self.pid = None
                self.connection = socket.create_connection(
                    ("127.0.0.1", self.port), PATIENCE)
            self.exchange()
            self.served += 1
        except (OSError, ValueError) as error:
            self.failures.append(Failure(
                since, time.monotonic(), self.pid, reused, self.got,
                type(error).__name__ + f": {error}"))
            self.close()
            time.sleep(0.005)
        if not self.keep:
            self.close()

    def exchange(self):
        wants = "keep-alive" if self.keep else "close"
        self.connection.sendall(
            f"GET {self.path} HTTP/1.1\r\nHost: a\r\nConnection: {wants}"
            "\r\n\r\n".encode())
        answer = b""
        while not (whole := self.whole(answer)):
            chunk = self.connection.recv(4096)
            if not chunk:
                raise ConnectionError("the connection ended")
            answer += chunk
            self.got = len(answer)
            if known := re.search(rb"(?i)x-pid: (\d+)\r", answer):
                self.pid = int(known[1])
        if int(whole["term"]):
            self.leads.add((int(whole["term"]), self.pid))
        if b"Connection: close" in answer:
            self.close()

    @staticmethod
    def whole(answer):
        """What a whole answer says; one that is no 200 is an error."""
        if len(answer) > 12 and not answer.startswith(b"HTTP/1.1 200"):
            raise ValueError(answer.split(b"\r\n")[0].decode())
        return re.search(rb"\r\n\r\n *(?P<term>\d+)( slowly)?\n$", answer)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def wrk(port):
    """One round of load."""
    since = time.monotonic()
    done = subprocess.run([*WRK, f"http://127.0.0.1:{port}/"],
                          capture_output=True, text=True, check=False)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)",
                       done.stdout)
    counts = [int(x) for x in errors.groups()] if errors else [0] * 4
    return Load(since, time.monotonic(), counts[0] + (done.returncode != 0),
                sum(counts[1:3]), int(bad[1]) if bad else counts[3])


def read(command):
    since = time.monotonic()
    done = subprocess.run([conf.WMCTL, "--json", *command], capture_output=True,
                          text=True, check=False)
    said = [json.loads(x) for x in done.stdout.splitlines()
            if command[0] in ("gc", "show")]
    return Reading(since, time.monotonic(), command[0], done.returncode, said)


class Crowd:
    """All of them, each in a thread of its own."""

    def __init__(self, port, instance):
        self.clients = [Client(port, "/who", True), Client(port, "/who", False),
                        Client(port, "/slow", True),
                        Client(port, "/slow", False)]
        self.loads, self.readings, self.errors = [], [], []
        self.ending = threading.Event()
        commands = [["gc", instance], ["show", "-a", instance], ["list"],
                    ["wait", "--ready", "1", "--timeout", "0", instance],
                    ["events", instance]]

        def read_all():
            for command in commands:
                self.readings.append(read(command))
                time.sleep(0.02)

        def asks(client):
            def ask():
                client.ask()
                time.sleep(0.003)
            return ask

        work = [read_all, lambda: self.loads.append(wrk(port)),
                *map(asks, self.clients)]
        self.threads = [threading.Thread(target=self.go_on, args=[f])
                        for f in work]
        for thread in self.threads:
            thread.start()

    def go_on(self, work):
        try:
            while not self.ending.is_set():
                work()
        except Exception as error:      # pylint: disable=broad-except
            self.errors.append(repr(error))
            raise

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(PATIENCE + proc.DEADLINE)
        assert not any(t.is_alive() for t in self.threads), "a client hangs"
        for client in self.clients:
            client.close()
