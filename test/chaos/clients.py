# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Those who are there all the time: clients that note each request that
failed, and wmctl, which reads."""

import http.client
import subprocess
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import conf
import proc
from nginx import TITLE

PATIENCE = 60           # seconds for an answer: no stop is as long

# A request that failed. pid: of the worker that the connection is known to be
# with, or None; idle: it was, but for a request that has got no answer; ending:
# whether the worker is, which loses its title before its connections.
Failure = namedtuple("Failure", "since until pid idle ending error")
Reading = namedtuple("Reading", "since until command status")


class Client:
    """One that asks again and again, on a connection for each request or on
    one as long as it lasts."""

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
            self.failures.append(Failure(
                since, time.monotonic(), self.pid, reused and not got,
                self.pid and proc.title(self.pid) != TITLE, repr(error)))
            self.connection.close()
            time.sleep(0.005)
            return
        self.served += 1


def read(*command):
    since = time.monotonic()
    done = subprocess.run([conf.WMCTL, "--json", *command], capture_output=True,
                          text=True, check=False)
    return Reading(since, time.monotonic(), command[0], done.returncode)


class Crowd:
    """All of them, each in a thread of its own."""

    def __init__(self, port, instance):
        self.clients = [Client(port, path, keep) for keep in (True, False)
                        for path in ("/who", "/who", "/slow")]
        self.instance = instance
        self.readings = []
        self.ending = threading.Event()
        work = [self.read_all, *(client.ask for client in self.clients)]
        pool = ThreadPoolExecutor(len(work))
        self.threads = [pool.submit(self.go_on, f) for f in work]

    def read_all(self):
        for command in (["show", "-a"], ["events"],
                        ["wait", "--ready", "1", "--timeout", "0"]):
            self.readings.append(read(*command, self.instance))
        self.readings.append(read("list"))

    def go_on(self, work):
        while not self.ending.is_set():
            work()
            time.sleep(0.003)

    def end(self):
        """The errors of the clients themselves."""
        self.ending.set()
        errors = [thread.exception(PATIENCE + proc.DEADLINE)
                  for thread in self.threads]
        for client in self.clients:
            client.connection.close()
        return [repr(error) for error in errors if error]
