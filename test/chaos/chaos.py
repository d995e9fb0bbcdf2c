# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Chaos on a real nginx, drawn from a seed; then its record is judged."""

import argparse
import os
import random
import shutil
import signal
import socket
import sys
import traceback

import conf
import leftovers
import proc
import rules
from steps import Chaos


def free_port(seed):
    """None that the kernel gives to clients: one of these that finds nobody
    there might be connected to itself."""
    rng = random.Random(f"{seed}.{os.getpid()}")
    while True:
        port = rng.randrange(20000, 30000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def judge(chaos, error):
    """Prints what each rule found; returns how many are broken."""
    found = {"the_course": [error] if error else [],
             **rules.audit(chaos.record)}
    for rule, texts in found.items():
        print(f"{'FAIL' if texts else 'pass'}  {rule}")
    for rule, texts in found.items():
        for text in texts:
            print(f"failed: {rule}: {text}")
    print(f"seed {chaos.seed}: {chaos.steps} steps,",
          chaos.record.summary())
    broken = sum(bool(x) for x in found.values())
    print(f"{len(found) - broken} passed, {broken} failed", flush=True)
    return broken


def main():
    parser = argparse.ArgumentParser(prog="test/chaos/run")
    drawn = random.SystemRandom().randrange(1 << 32)
    parser.add_argument("--seed", type=int,
                        default=int(os.environ.get("WM_SEED") or drawn))
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    proc.end_politely()
    for number in (signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)
    proc.adopt_orphans()
    top = os.path.join(conf.BUILD, "chaos", str(os.getpid()))
    os.makedirs(top)
    chaos = Chaos(options.seed, top, free_port(options.seed))
    print(f"chaos: seed {options.seed}, in {top}", flush=True)
    error = None
    try:
        chaos.run(options.seconds)
    except Exception:           # pylint: disable=broad-except
        error = traceback.format_exc()
    finally:
        leftovers.kill_all()
    broken = judge(chaos, error)
    leftovers.remove(chaos.lives[0].n.segments() if chaos.lives else [])
    if not broken:
        shutil.rmtree(top)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
