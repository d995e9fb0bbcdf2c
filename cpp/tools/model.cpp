// SPDX-License-Identifier: Apache-2.0

// The lists are read one after the other. So if a node changes meanwhile, a
// worker may be listed whose generation is not listed any more: it gets a
// made-up generation, in state WM_GENERATION_NONE ("forgotten").

#include "model.hpp"

#include "words.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>
#include <new>
#include <poll.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace wmctl
{

namespace
{

// Whether the kernel proves that a process has ended. The node's sweepers find
// that out, too, but only at their next turn. A zombie has ended.
bool has_ended(std::int32_t pid)
{
    const auto fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));

    if (fd < 0) { // an old kernel, or a filter, knows no pidfd
        return errno == ESRCH || (kill(pid, 0) != 0 && errno == ESRCH);
    }
    struct pollfd p = {fd, POLLIN, 0};
    const bool ended = poll(&p, 1, 0) == 1;
    close(fd);
    return ended;
}

std::uint64_t since(std::uint64_t then)
{
    const auto now =
        static_cast<std::uint64_t>(wm::now().time_since_epoch().count());

    return now > then ? now - then : 0;
}

// Whether a list has all its entries. It may have fewer if something else than
// memory was missing: a broken process may have written over the segment.
bool is_whole(const std::error_code &ec)
{
    if (ec == std::errc::not_enough_memory) {
        throw std::bad_alloc();
    }
    return !ec;
}

// The newest generation that serves or is about to; else the newest that has.
std::uint64_t current_of(const std::map<std::uint64_t, generation> &all)
{
    std::uint64_t serves = 0, served = 0;

    for (const auto &[id, g] : all) {
        const auto state = g.facts.state;

        if (state == WM_GENERATION_BEGUN || state == WM_GENERATION_ACTIVE) {
            serves = id;
        } else if (state == WM_GENERATION_EXITED ||
                   state == WM_GENERATION_GONE) {
            served = id;
        }
    }
    return serves != 0 ? serves : served;
}

bool has_crashed(const wm_worker_info &facts)
{
    return facts.state == WM_CRASHED || facts.state == WM_CRASHED_DRAINING;
}

void add(tally &t, const worker &w)
{
    if (w.facts.role == WM_ROLE_HELPER) {
        return;
    }
    if (w.gone && !has_crashed(w.facts)) {
        t.gone++;
        return;
    }
    switch (w.facts.state) {
    case WM_JOINING:
        t.joining++;
        break;
    case WM_LIVE:
        t.live++;
        break;
    case WM_STALLED:
        t.stalled++;
        break;
    case WM_DRAINING:
        t.draining++;
        break;
    case WM_CRASHED:
    case WM_CRASHED_DRAINING:
        t.crashed++;
        break;
    default:
        break;
    }
}

worker describe(const wm::node_ref &node, const model &m,
                const wm_worker_info &facts)
{
    std::error_code ec;
    const wm_worker_detail more = node.inspect(facts, ec);
    worker w;

    w.facts = facts;
    w.gone = !m.of.live || has_crashed(facts) || has_ended(facts.pid);
    w.was_draining = w.gone && (facts.state == WM_DRAINING ||
                                facts.state == WM_CRASHED_DRAINING);
    w.leads = m.leader.generation != 0 && m.leader.join == facts.join;
    w.has_lock = m.lock.pid != 0 && m.lock.pid == facts.pid && !w.gone;
    w.age_ms = since(facts.joined_at);
    w.beat_age_ms = since(facts.beat_at);
    if (!ec) {
        if (more.drained_at != 0) {
            w.drained_ms = since(more.drained_at);
        }
        w.ended = more.ended;
        w.note = more.note;
    }
    return w;
}

bool has_living_worker(const generation &g)
{
    return std::any_of(g.workers.begin(), g.workers.end(), [](const worker &w) {
        return !w.gone && w.facts.role == WM_ROLE_WORKER;
    });
}

// As the library's judge knows it: a generation's own master, which lives, has
// made a newer one active. If that is still active without a worker, all of its
// workers have died, and nobody leaves.
bool is_superseded(const generation &g,
                   const std::map<std::uint64_t, generation> &all)
{
    bool is_over = false; // the newest one

    for (auto at = all.upper_bound(g.facts.id); at != all.end(); ++at) {
        const wm_generation_info &newer = at->second.facts;

        if (g.orphaned || g.facts.master == 0 ||
            newer.master != g.facts.master || newer.spell == 0 ||
            newer.state == WM_GENERATION_ABORTED) {
            continue;
        }
        if (has_living_worker(at->second)) {
            return true;
        }
        is_over = newer.state != WM_GENERATION_ACTIVE;
    }
    return is_over;
}

void mark_leavers(std::map<std::uint64_t, generation> &all)
{
    for (auto &[id, g] : all) {
        if (g.workers.empty() || !is_superseded(g, all)) {
            continue;
        }
        for (worker &w : g.workers) {
            w.leaves = true;
        }
    }
}

void sort_into(model &m, std::map<std::uint64_t, generation> &all)
{
    m.current = current_of(all);
    for (auto at = all.rbegin(); at != all.rend(); ++at) {
        at->second.current = at->first == m.current;
        m.generations.push_back(std::move(at->second));
    }
    std::stable_partition(m.generations.begin(), m.generations.end(),
                          [](const generation &g) { return g.current; });
}

} // namespace

const char *worker::state() const
{
    if (has_crashed(facts)) {
        return state_word(WM_CRASHED);
    }
    if (gone) {
        return "gone";
    }
    return leaves && facts.state == WM_LIVE ? "leaving"
                                            : state_word(facts.state);
}

const generation *model::find(std::uint64_t id) const
{
    for (const generation &g : generations) {
        if (g.facts.id == id) {
            return &g;
        }
    }
    return nullptr;
}

model look(const opened &from)
{
    const wm::node &node = from.node;
    std::map<std::uint64_t, generation> all;
    std::error_code ec;
    model m;

    m.of = from.of;
    m.others = from.others;
    m.capacity = node.describe().capacity;
    m.lock = node.lock_holder();
    m.lock_orphaned = m.lock.pid != 0 && (!m.of.live || has_ended(m.lock.pid));
    m.leader = node.leader();
    const wm::snapshot seen = node.snapshot(ec);
    m.settled = is_whole(ec) && seen.settled;
    const auto generations = node.generations(ec);
    m.settled = is_whole(ec) && m.settled;
    for (const auto &facts : generations) {
        all[facts.id].facts = facts;
        all[facts.id].age_ms = since(facts.begun_at);
        all[facts.id].orphaned =
            facts.master != 0 && (!m.of.live || has_ended(facts.master));
    }
    for (const auto &facts : seen.workers) {
        const worker w = describe(node, m, facts);
        generation &g = all[facts.generation];

        g.facts.id = facts.generation;
        g.workers.push_back(w);
        add(g.count, w);
        add(m.count, w);
    }
    if (m.of.live) {
        mark_leavers(all);
    }
    sort_into(m, all);
    return m;
}

} // namespace wmctl
