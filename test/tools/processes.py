# SPDX-License-Identifier: Apache-2.0
"""Processes that take part in a node, through the C library and ctypes, each
when it is told."""

import ctypes
import multiprocessing
import os
import struct
import traceback
from ctypes import byref
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle

import proc

U32, U64, POINTER = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p

# enum wm_condition
WM_RECOVERED, WM_CLOSED = 0x40000001, 0x40000003

processes = []          # those of a test; place forgets them


class Inside:
    """The acts that a process can be told to do; runs in it."""

    def __init__(self, library):
        self.lib = ctypes.CDLL(library)
        self.node = POINTER()
        self.worker = POINTER()

    def __getattr__(self, name):
        """leave() is wm_worker_leave(), and so on. A function that wants a
        pointer more gets NULL."""
        of = next(x for x in ("worker_", "generation_", "node_", "")
                  if hasattr(self.lib, f"wm_{x}{name}"))
        subject = self.worker if of == "worker_" else self.node
        return lambda number=0: self.lib[f"wm_{of}{name}"](subject, U64(number))

    def attach(self, instance, directory, capacity=0, mode=0, log_entries=0):
        names = [ctypes.c_char_p(x.encode()) for x in (instance, directory)]
        options = struct.pack(              # struct wm_node_options
            "IIPPIIII", 40, 0, *(ctypes.cast(x, POINTER).value for x in names),
            capacity, mode, log_entries, 0)
        return self.lib.wm_node_attach(options, byref(self.node))

    def begin(self):
        number = U64()
        assert self.lib.wm_generation_begin(
            self.node, byref(number), None) == 0
        return number.value

    def join(self, generation, role=0, overdue_ms=0xffffffff):
        options = (U32 * 4)(16, role, overdue_ms, 0)    # wm_join_options
        return self.lib.wm_worker_join(self.node, U64(generation), options,
                                       byref(self.worker))

    def start(self):
        return self.lib.wm_worker_start(self.worker, (U32 * 8)())

    def live(self, generation, **options):
        return self.join(generation, **options) or self.start()

    def note(self, text):
        return self.lib.wm_note(self.worker, ctypes.c_char_p(text))

    def lead(self):
        leader = (U32 * 10)(40)             # struct wm_leader; its size
        return self.lib.wm_leader_stand(self.worker, leader)

    def lock(self, purpose):
        options = (U32 * 4)(16, purpose, 0, 0)
        return self.lib.wm_lock_acquire(self.node, options)

    def become(self, *command):
        """Takes part no more, under the same pid."""
        os.closerange(3, 256)
        os.execvp(command[0], command)

    def reap(self, pid):
        os.waitpid(pid, 0)


class Process:
    """It acts when it is told: process.begin() and so on are what Inside has.
    Its workers are forked from it."""

    def __init__(self, library):
        processes.append(self)
        self.line, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            # One that held another's line would keep it from ending.
            os.closerange(3, theirs.fileno())
            os.closerange(theirs.fileno() + 1, 256)
            serve(theirs, Inside(library))
        theirs.close()

    def __getattr__(self, name):
        def call(*args, **more):
            self.line.send((name, args, more))
            return self.answer()
        return call

    def answer(self):
        """None of one that became something else."""
        assert self.line.poll(proc.DEADLINE), "no answer"
        try:
            return self.line.recv()
        except EOFError:
            return None

    def fork(self):
        """A child of it, to be told as well."""
        child = object.__new__(Process)
        processes.append(child)
        child.line, theirs = multiprocessing.Pipe()
        self.line.send(("fork", (), {}))
        send_handle(self.line, theirs.fileno(), self.pid)
        theirs.close()
        child.pid = self.answer()
        return child

    def worker(self, generation, **options):
        """A child that is a live worker."""
        child = self.fork()
        assert child.live(generation, **options) == 0
        return child

    def kill(self):
        """Ends it; its master, which reaps nobody, keeps the zombie."""
        proc.kill(self.pid)


def serve(line, inside):
    """A process's life; it ends with the test, or as it is told."""
    try:
        while True:
            name, args, more = line.recv()
            if name == "fork":
                theirs = recv_handle(line)
                answer = os.fork()
                if answer == 0:
                    line.close()
                    serve(Connection(theirs), inside)
                os.close(theirs)
            else:
                answer = getattr(inside, name)(*args, **more)
            line.send(answer)
    except EOFError:                # the test has ended, or forgotten it
        pass
    except BaseException:           # pylint: disable=broad-except
        traceback.print_exc()
    finally:
        os._exit(0)
