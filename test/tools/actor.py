# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Processes that take part in a node, through the C library and ctypes, each
when it is told."""

import ctypes
import os
import pickle
import signal
import socket
import struct

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


class JoinOptions(ctypes.Structure):
    """struct wm_join_options"""
    _fields_ = [("size", U32), ("role", U32), ("overdue_ms", U32),
                ("expected", U32)]


def load(library):
    lib = ctypes.CDLL(library)
    for name in ("attach", "release"):
        getattr(lib, "wm_node_" + name).argtypes = [POINTER] * 2
    lib.wm_node_release.argtypes = [POINTER]
    lib.wm_generation_begin.argtypes = [POINTER] * 3
    lib.wm_generation_abandon.argtypes = [POINTER, U64]
    lib.wm_generation_close.argtypes = [POINTER, U64]
    lib.wm_worker_join.argtypes = [POINTER, U64, POINTER, POINTER]
    lib.wm_worker_start.argtypes = [POINTER, POINTER]
    lib.wm_beat_at.argtypes = [POINTER, U64]
    lib.wm_leader_stand.argtypes = [POINTER, POINTER]
    lib.wm_sweep.argtypes = [POINTER, POINTER]
    lib.wm_lock_acquire.argtypes = [POINTER, POINTER]
    for name in ("worker_drain", "worker_leave", "beat", "lock_release"):
        getattr(lib, "wm_" + name).argtypes = [POINTER]
    return lib


class Inside:
    """What an actor can be told to do; runs in its process."""

    def __init__(self, library):
        self.lib = load(library)
        self.node = POINTER()
        self.worker = POINTER()

    def attach(self, instance, directory, **more):
        options = NodeOptions(ctypes.sizeof(NodeOptions), 0, instance.encode(),
                              directory.encode(), **more)
        return self.lib.wm_node_attach(ctypes.byref(options),
                                       ctypes.byref(self.node))

    def begin(self):
        number, reason = U64(), U32()
        assert self.lib.wm_generation_begin(
            self.node, ctypes.byref(number), ctypes.byref(reason)) == 0
        return number.value

    def abort(self, generation):
        return self.lib.wm_generation_abandon(self.node, generation)

    def join(self, generation, role=0, overdue_ms=0xffffffff):
        options = JoinOptions(ctypes.sizeof(JoinOptions), role, overdue_ms, 0)
        return self.lib.wm_worker_join(
            self.node, generation, ctypes.byref(options),
            ctypes.byref(self.worker))

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

    def unlock(self):
        return self.lib.wm_lock_release(self.node)

    def drain(self):
        return self.lib.wm_worker_drain(self.worker)

    def retire(self, generation):
        return self.lib.wm_generation_close(self.node, generation)

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


def send(sock, thing):
    data = pickle.dumps(thing)
    sock.sendall(struct.pack("I", len(data)) + data)


def receive(sock):
    """None at the end."""
    head = sock.recv(4, socket.MSG_WAITALL)
    if not head:
        return None
    return pickle.loads(sock.recv(struct.unpack("I", head)[0],
                                  socket.MSG_WAITALL))


class Actor:
    """A process that acts when it is told: actor.begin() and so on are what
    Inside has. Its workers are forked from it. One that is forgotten ends."""

    def __init__(self, library=conf.LIBRARY):
        self.children = []
        self.sock, other = socket.socketpair()
        self.sock.settimeout(proc.DEADLINE)
        self.pid = os.fork()
        if self.pid == 0:
            self.sock.close()
            # Whoever held another actor's line would keep it from ending.
            os.closerange(3, other.fileno())
            os.closerange(other.fileno() + 1, 256)
            serve(other, Inside(library))
        other.close()

    def __getattr__(self, name):
        return lambda *args, **more: self.call(name, *args, **more)

    def call(self, name, *args, **more):
        send(self.sock, (name, args, more))
        answer = receive(self.sock)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fork(self):
        """A child of it, as a new actor."""
        mine, theirs = socket.socketpair()
        mine.settimeout(proc.DEADLINE)
        send(self.sock, ("fork", (), {}))
        socket.send_fds(self.sock, [b"."], [theirs.fileno()])
        theirs.close()
        child = object.__new__(Actor)
        child.children = []
        self.children.append(child)
        child.sock, child.pid = mine, receive(self.sock)
        return child

    def worker(self, generation, **options):
        """A child that is a live worker."""
        child = self.fork()
        assert child.live(generation, **options) == 0
        return child

    def quit(self):
        """Lets it end by itself."""
        self.sock.close()
        proc.wait(lambda: proc.gone(self.pid), "an end")

    def kill(self):
        """Ends it; its master, which reaps nobody, keeps the zombie."""
        os.kill(self.pid, signal.SIGKILL)
        proc.wait(lambda: proc.gone(self.pid), "a death")
        self.sock.close()


def serve(sock, inside):
    """An actor's life; it ends with the test, or as it is told."""
    while order := receive(sock):
        name, args, more = order
        if name == "fork":
            _, fds, _, _ = socket.recv_fds(sock, 1, 1)
            child = os.fork()
            if child == 0:
                sock.close()
                serve(socket.socket(fileno=fds[0]), inside)
            os.close(fds[0])
            send(sock, child)
            continue
        try:
            answer = getattr(inside, name)(*args, **more)
        except Exception as error:      # pylint: disable=broad-except
            answer = error
        send(sock, answer)
    os._exit(0)
