# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Processes that take part in a node, through the C library and ctypes, each
when it is told."""

import ctypes
import multiprocessing
import os
import signal
import traceback
from ctypes import byref, sizeof
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle

import conf
import proc

U32, U64, POINTER = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p

# enum wm_condition
WM_RECOVERED, WM_CLOSED = 0x40000001, 0x40000003


class NodeOptions(ctypes.Structure):
    """struct wm_node_options"""
    _fields_ = [("size", U32), ("flags", U32),
                ("instance", ctypes.c_char_p), ("directory", ctypes.c_char_p),
                ("capacity", U32), ("mode", U32), ("log_entries", U32),
                ("reserved", U32)]


class Inside:
    """The acts that an actor can be told to do; runs in its process."""

    def __init__(self, library):
        self.lib = ctypes.CDLL(library)
        self.node = POINTER()
        self.worker = POINTER()

    def attach(self, instance, directory, **more):
        options = NodeOptions(sizeof(NodeOptions), 0, instance.encode(),
                              directory.encode(), **more)
        return self.lib.wm_node_attach(byref(options), byref(self.node))

    def begin(self):
        number, reason = U64(), U32()
        assert self.lib.wm_generation_begin(
            self.node, byref(number), byref(reason)) == 0
        return number.value

    def abort(self, generation):
        return self.lib.wm_generation_abandon(self.node, U64(generation))

    def retire(self, generation):
        return self.lib.wm_generation_close(self.node, U64(generation))

    def join(self, generation, role=0, overdue_ms=0xffffffff):
        options = (U32 * 4)(16, role, overdue_ms, 0)    # wm_join_options
        return self.lib.wm_worker_join(self.node, U64(generation), options,
                                       byref(self.worker))

    def start(self):
        counts = (ctypes.c_int32 * 8)()
        return self.lib.wm_worker_start(self.worker, counts)

    def live(self, generation, **options):
        return self.join(generation, **options) or self.start()

    def lead(self):
        leader = (U32 * 10)(40)             # struct wm_leader; its size
        return self.lib.wm_leader_stand(self.worker, leader)

    def lock(self, purpose):
        options = (U32 * 4)(16, purpose, 0, 0)
        return self.lib.wm_lock_acquire(self.node, options)

    def drain(self):
        return self.lib.wm_worker_drain(self.worker)

    def leave(self):
        return self.lib.wm_worker_leave(self.worker)

    def sweep(self):
        return self.lib.wm_sweep(self.node, None)

    def release(self):
        return self.lib.wm_node_release(self.node)

    def become(self, *command):
        """Takes part no more, under the same pid."""
        os.closerange(3, 256)
        os.execvp(command[0], command)

    def reap(self, pid):
        assert os.waitpid(pid, 0)[0] == pid


class Actor:
    """A process that acts when it is told: actor.begin() and so on are what
    Inside has. Its workers are forked from it. One that is forgotten ends."""

    def __init__(self, library=conf.LIBRARY):
        self.children = []
        self.line, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            # An actor that held another's line would keep it from ending.
            os.closerange(3, theirs.fileno())
            os.closerange(theirs.fileno() + 1, 256)
            serve(theirs, library)
        theirs.close()

    def __getattr__(self, name):
        return lambda *args, **more: self.call(name, *args, **more)

    def call(self, name, *args, **more):
        self.line.send((name, args, more))
        return self.answer()

    def answer(self):
        """None of one that became something else."""
        assert self.line.poll(proc.DEADLINE), "no answer"
        try:
            answer = self.line.recv()
        except EOFError:
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fork(self):
        """A child of it, as a new actor."""
        child = object.__new__(Actor)
        child.children = []
        child.line, theirs = multiprocessing.Pipe()
        self.line.send(("fork", (), {}))
        send_handle(self.line, theirs.fileno(), self.pid)
        theirs.close()
        child.pid = self.answer()
        self.children.append(child)
        return child

    def worker(self, generation, **options):
        """A child that is a live worker."""
        child = self.fork()
        assert child.live(generation, **options) == 0
        return child

    def quit(self):
        """Lets it end by itself."""
        self.line.close()
        proc.wait(lambda: proc.gone(self.pid), "an end")

    def kill(self):
        """Ends it; its master, which reaps nobody, keeps the zombie."""
        os.kill(self.pid, signal.SIGKILL)
        proc.wait(lambda: proc.gone(self.pid), "a death")
        self.line.close()


def serve(line, library, inside=None):
    """An actor's life; it ends with the test, or as it is told."""
    try:
        inside = inside or Inside(library)
        while True:
            name, args, more = line.recv()
            if name == "fork":
                theirs = recv_handle(line)
                answer = os.fork()
                if answer == 0:
                    line.close()
                    serve(Connection(theirs), library, inside)
                os.close(theirs)
            else:
                try:
                    answer = getattr(inside, name)(*args, **more)
                except Exception as error:  # pylint: disable=broad-except
                    answer = error
            line.send(answer)
    except EOFError:                # the test has ended, or forgotten it
        pass
    except BaseException:           # pylint: disable=broad-except
        traceback.print_exc()
    finally:
        os._exit(0)
