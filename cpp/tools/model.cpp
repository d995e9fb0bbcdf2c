// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The lists are read one after the other, so a node that changes meanwhile may
// show a worker whose generation is not listed any more: it gets one made up,
// in state WM_GENERATION_NONE ("forgotten").

#include "model.hpp"

#include <algorithm>
#include <cerrno>
#include <map>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace wmctl
{

namespace
{

constexpr std::uint32_t generations_spare = 64; // wm.h: enough room

// Whether the kernel proves that a process has ended. The library's sweepers
// find out, too, but at their next turn. A zombie has ended.
bool has_ended(std::int32_t pid)
{
    const auto fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));

    if (fd < 0) {
        return errno == ESRCH;
    }
    struct pollfd p = {fd, POLLIN, 0};
    const bool ended = poll(&p, 1, 0) == 1;
    close(fd);
    return ended;
}

std::uint64_t since(std::uint64_t then)
{
    const std::uint64_t now = wm_now();

    return now > then ? now - then : 0;
}

std::vector<wm_worker_info> read_workers(const wm_node *node,
                                         std::uint32_t capacity)
{
    std::vector<wm_worker_info> list(capacity);
    std::uint32_t count = 0;

    wm_snapshot(node, list.data(), capacity, &count);
    list.resize(count);
    return list;
}

std::vector<wm_generation_info> read_generations(const wm_node *node,
                                                 std::uint32_t capacity)
{
    std::vector<wm_generation_info> list(capacity + generations_spare);
    std::uint32_t count = 0;

    wm_generations(node, list.data(), static_cast<std::uint32_t>(list.size()),
                   &count);
    list.resize(std::min<std::size_t>(count, list.size()));
    return list;
}

// The newest that serves or is about to; else the newest that has served.
std::uint64_t current_of(const std::map<std::uint64_t, generation> &all)
{
    std::uint64_t serves = 0, served = 0;

    for (const auto &[id, g] : all) {
        const auto state = g.facts.state;

        if (state == WM_GENERATION_BEGUN || state == WM_GENERATION_ACTIVE) {
            serves = id;
        } else if (state == WM_GENERATION_EXITED) {
            served = id;
        }
    }
    return serves != 0 ? serves : served;
}

void add(tally &t, const worker &w)
{
    if (w.facts.role == WM_ROLE_HELPER) {
        return;
    }
    if (w.gone && w.facts.state != WM_CRASHED) {
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
        t.crashed++;
        break;
    default:
        break;
    }
}

worker describe(const model &m, const wm_worker_info &facts)
{
    worker w;

    w.facts = facts;
    w.gone = !m.of.live || facts.state == WM_CRASHED || has_ended(facts.pid);
    w.leads = m.leader.generation != 0 && m.leader.join == facts.join;
    w.has_lock = m.lock.pid != 0 && m.lock.pid == facts.pid && !w.gone;
    w.age_ms = since(facts.joined_at);
    w.beat_age_ms = since(facts.beat_at);
    return w;
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
    const wm_node *node = from.node.handle();
    std::map<std::uint64_t, generation> all;
    model m;

    m.of = from.of;
    m.capacity = from.node.describe().capacity;
    wm_lock_inspect(node, &m.lock);
    m.lock_orphaned = m.lock.pid != 0 && (!m.of.live || has_ended(m.lock.pid));
    wm_leader_inspect(node, &m.leader);
    const auto workers = read_workers(node, m.capacity);
    for (const auto &facts : read_generations(node, m.capacity)) {
        all[facts.id].facts = facts;
        all[facts.id].age_ms = since(facts.begun_at);
    }
    for (const auto &facts : workers) {
        const worker w = describe(m, facts);
        generation &g = all[facts.generation];

        g.facts.id = facts.generation;
        g.workers.push_back(w);
        add(g.count, w);
        add(m.count, w);
    }
    sort_into(m, all);
    return m;
}

} // namespace wmctl
