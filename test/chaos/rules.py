# SPDX-License-Identifier: Apache-2.0
"""The rules that the record of a run must keep.

Each rule is a function of recorded facts that yields what is wrong. It knows
no luck, and of moments only which came first: what may be missing is missing
because a process that would have told it was killed, and then the facts name
that process. A request may fail only by an end of its worker that has begun.
"""

import re
from collections import Counter, defaultdict

from conf import EVENTS
from model import failed_calls, overlaps, wrong_arguments
from traced import LOUD, TROUBLE

CRASHES = "worker-crashed", "worker-drain-crash"
KNOWN = re.compile(
    r"worker manager: (worker \d+-\d+ (crashed|stalled|recovered)"
    r"|not given|the former life of this node ended"
    r"|waited \d+\.\d s for the callbacks of others)")
MEANT = re.compile(     # of the failed reloads and upgrades
    r"unix:none/s|\"nonsense\"|init_by_lua error: .*chaos|stack traceback"
    r"|exited on signal (9|15)\b")
CUT_SHORT = re.compile(r"\[alert\] (\d+)#\d+: (\*\d+ open socket #|aborting)")


def each_worker_has_one_end(life):
    joined = {e["value"]: e for e in life.named("worker-joined")}
    ends = defaultdict(list)
    for e in life.named("worker-left", *CRASHES):
        ends[e["value"]].append(e)
    for join, found in ends.items():
        if len(found) > 1:
            yield f"two ends: {found}"
        if join not in joined and not life.missed():
            yield f"an end of nobody: {found}"
        if found[0]["event"] in CRASHES and (
                found[0]["pid"] not in life.dead()):
            yield f"crashed, but nobody killed it: {found}"
    for join in [j for j in joined if j not in ends][life.missed():]:
        e = joined[join]
        if life.gentle or e["pid"] not in life.dead():
            yield f"no end: {e}"


def each_start_has_one_exit(life):
    """Of a worker's callbacks; one that is killed has none."""
    starts = Counter(x["id"] for x in life.begins("worker_start"))
    exits = Counter(x["id"] for x in life.begins("worker_exit"))
    silent = life.not_given("worker_exit")
    dead = life.dead()
    for id_ in starts | exits | silent:
        if max(starts[id_], exits[id_] + silent[id_]) > 1:
            yield f"{id_}: {starts[id_]} starts, {exits[id_]} exits, " \
                  f"{silent[id_]} not given"
        if starts[id_] > exits[id_] + silent[id_] and pid_of(id_) not in dead:
            yield f"{id_}: no exit, and nobody killed it"
    live = set(life.ids("worker-live"))
    for id_ in live - set(starts) - set(life.not_given("worker_start")):
        if pid_of(id_) not in dead:
            yield f"{id_}: live, and no start was given"
    for id_ in set(starts) - live:
        if pid_of(id_) not in dead and not life.missed():
            yield f"{id_}: a start, but it was never live"


def pid_of(id_):
    return int(id_.split("-")[1])


def each_committed_generation_has_one_exit(life):
    given = Counter((x["id"], x["info"]["spell"])
                    for x in life.begins("master_exit"))
    for key, n in given.items():
        if n > 1:
            yield f"given {n} times: master_exit of (generation, spell) {key}"
    opened = life.spells()
    for g in {x["id"] for x in life.begins("master_exit")} - set(opened):
        if not life.missed():
            yield f"an exit of generation {g}, which no worker joined"
    short = life.owed()
    for g, n in short.items():
        if n < 0 and not life.missed():
            yield f"generation {g}: {-n} exits more than spells"
    if life.gentle and sum(max(n, 0) for n in short.values()) > life.lost():
        yield f"exits never given: {short}, lost {life.lost()} at most"


def callbacks_do_not_overlap(life):
    """But the dead do not finish; nor does a coroutine of a process that was
    felled, which may run another callback itself."""
    return overlaps(life.trace, life.ended_at_once())


def terms_are_unique_and_grow(life):
    holders = {}
    for e in life.named("leader"):
        term, pid = e["value"], e["pid"]
        if term in holders:
            yield f"term {term} of {holders[term]} and {pid}"
        holders[term] = pid
    for e in life.named("leader-lost"):
        if holders.get(e["value"], e["pid"]) != e["pid"]:
            yield f"lost by another: {e}, {holders[e['value']]}"
    told = 0
    for x in life.begins("leader"):
        if x["id"] <= told:
            yield f"term {x['id']} told after {told}: {x}"
        if holders.get(x["id"], x["by"]) != x["by"]:
            yield f"term {x['id']} of {holders[x['id']]} told to {x['by']}"
        told = max(told, x["id"])


def counts_are_possible(life):
    joined = Counter(e["generation"] for e in life.named("worker-joined"))
    most = max(joined.values(), default=0) + life.missed()
    for x in life.begins(*EVENTS, "worker_failed", "worker_recovered"):
        counts = [x.get("n_prev"), x["n_mine"], x.get("n_next")]
        if any(n is not None and not 0 <= n <= most + len(life.killed)
               for n in counts):
            yield f"out of range: {x}"
        if x["event"] in ("worker_start", "worker_exit") and x["n_mine"] < 1:
            yield f"does not count itself: {x}"
        if x["event"] in ("master_start", "master_exit") and x["n_mine"]:
            yield f"workers of nobody: {x}"


def the_last_is_the_last(life):
    """A worker that is told to be the last of a spell may be followed by one
    that started afterwards, or it was killed."""
    started, last = {}, {}      # each by its place in the trace
    for at, x in enumerate(life.trace):
        begun = x["what"] == "begin" and x["event"]
        if begun == "worker_start":
            started[x["id"]] = at
        elif begun == "worker_exit" and x["n_mine"] == 1:
            key = x["info"]["generation"], x["info"]["spell"]
            former, then = last.get(key, (None, -1))
            if former and former["by"] not in life.ended_at_once() and (
                    started.get(x["id"], at) < then):
                yield f"two last ones: {former} and {x}"
            last[key] = x, at


def generations_are_new(life):
    begun = {e["generation"] for e in life.named("generation-begun")}
    told = [x["id"] for x in life.begins("master_start")]
    if told != sorted(set(told)):
        yield f"ids do not grow: {told}"
    strangers = set(told) - begun
    if strangers and not life.missed():
        yield f"never begun: {strangers}"


def failures_are_told_once(life):
    told = Counter((x["id"], x["info"]["reason"])
                   for x in life.begins("worker_failed"))
    crashed = set(life.ids(*CRASHES))
    stalled = Counter(life.ids("worker-stalled"))
    for (id_, reason), n in told.items():
        if reason == "crashed" and (n > 1 or id_ not in crashed
                                    and not life.missed()):
            yield f"{id_}: crashed, told {n} times"
        if reason == "stalled" and n > stalled[id_] + life.missed():
            yield f"{id_}: stalled {stalled[id_]} times, told {n} times"
    never = crashed - {id_ for id_, reason in told if reason == "crashed"}
    if life.gentle and len(never) > life.lost():
        yield f"crashes never told: {never}, lost {life.lost()} at most"


def nothing_is_left(life):
    if life.left and (life.gentle or not life.ended_at_once()):
        yield f"left in /dev/shm: {life.left}"


def the_log_is_clean(life):
    fallen = life.ended_at_once()
    for line in life.log:
        # Of nginx itself, where a fast end overtakes a graceful one.
        cut = CUT_SHORT.search(line)
        if cut and int(cut[1]) in fallen:
            continue
        if (LOUD.search(line) and not KNOWN.search(line)) or (
                TROUBLE.search(line) and not MEANT.search(line)):
            yield line


def only_chaos_kills(life):
    """Or nginx, those that are too slow on a fast stop."""
    at_once = life.ended_at_once()
    meant = life.killed | life.felled_pids() | life.hurried()
    for pid in at_once - meant:
        yield f"{pid} was killed, but not by chaos"
    for what in ("worker_start", "worker_exit"):
        for id_ in life.not_given(what):
            if pid_of(id_) not in at_once:
                yield f"not given, but nobody felled it: {what} of {id_}"


def arguments_agree(life):
    for x in wrong_arguments(life.trace):
        yield f"arguments: {x}"
    for x in failed_calls(life.trace):
        if not any("not given" in line for line in life.log):
            yield f"a call failed: {x}"


def a_follower_tells_the_log(life):
    """All of it, in its order, but what it says that it missed."""
    numbers = [e["number"] for e in life.events if "number" in e]
    if numbers != sorted(set(numbers)):
        yield f"not in order: {numbers}"
    told = len(numbers) + life.missed()
    if told != life.newest or life.ending.get("live", True):
        yield f"{told} of {life.newest} entries, {life.ending}"


def the_next_life_is_told(run):
    """Of the exits that nobody was told of in this one."""
    for i, (life, later) in enumerate(zip(run.lives, run.lives[1:])):
        owed = sum(max(n, 0) for n in life.owed().values())
        for start in later.begins("master_start")[:1]:
            told = start["info"].get("unclean", {}).get("exits_owed", 0)
            if not owed - life.lost() <= told <= owed + life.missed():
                yield (f"life {i + 1} owed {owed}, lost {life.lost()} at "
                       f"most, but told was {told}")


def only_ended_workers_fail_requests(run):
    """One that leaves breaks those connections alone that are idle; one that
    ends at once may do so before it looks like it. One that has not answered
    yet is not known, but something is felled meanwhile."""
    felled = [w for life in run.lives for w in life.felled]
    at_once = {p for life in run.lives for p in life.ended_at_once()}
    for f in run.failures:
        if "Refused" in f.error:
            ok = any(w.meets(f) for w in run.down)
        elif f.pid is None:
            ok = any(w.meets(f) for w in felled + run.down)
        else:
            ok = f.ending + f.idle + (f.pid in at_once) >= 2
        if not ok:
            yield f"{f}"


def readers_always_get_an_answer(run):
    """A node that goes or comes meanwhile may be none, or unclean."""
    for x in run.readings:
        allowed = {0, 1} if "wait" in x.command else {0}
        if any(w.meets(x) for w in run.down):
            allowed |= {1, 3, 4, 5}
        if x.status not in allowed:
            yield f"{x}"


def the_run_is_worth_it(run):
    if not run.lives or not all(run.served) or not run.served:
        yield f"served: {run.served}"
    for i, life in enumerate(run.lives):
        if not life.named("generation-begun") or not life.trace:
            yield f"life {i + 1} has no record"


LIFE_RULES = (
    each_worker_has_one_end, each_start_has_one_exit,
    each_committed_generation_has_one_exit, callbacks_do_not_overlap,
    terms_are_unique_and_grow, counts_are_possible, the_last_is_the_last,
    generations_are_new, failures_are_told_once, nothing_is_left,
    the_log_is_clean, only_chaos_kills, arguments_agree,
    a_follower_tells_the_log)
RUN_RULES = (the_next_life_is_told, only_ended_workers_fail_requests,
             readers_always_get_an_answer, the_run_is_worth_it)


def audit(run):
    """{rule: what breaks it}."""
    found = {}
    for rule in LIFE_RULES:
        found[rule.__name__] = [
            f"life {i + 1}: {text}" for i, life in enumerate(run.lives)
            for text in rule(life)]
    for rule in RUN_RULES:
        found[rule.__name__] = list(rule(run))
    return found
