// SPDX-License-Identifier: Apache-2.0

// A file name need not be UTF-8, and JSON must be: bytes that are not UTF-8 are
// replaced. All beyond ASCII is escaped, since a terminal obeys some of it,
// too.

#include "json.hpp"

#include "words.hpp"

#include <nlohmann/json.hpp>

namespace wmctl::json
{

namespace
{

using object = nlohmann::ordered_json;

std::string line(const object &o)
{
    return o.dump(-1, ' ', true, object::error_handler_t::replace) + "\n";
}

// 0 says "none" in wm.h, and null says it in JSON.
template <typename Number>
object or_null(Number n)
{
    return n == 0 ? object() : object(n);
}

object count(const tally &t)
{
    return {{"joining", t.joining}, {"live", t.live},
            {"stalled", t.stalled}, {"draining", t.draining},
            {"crashed", t.crashed}, {"gone", t.gone}};
}

// Nothing is said of one that has not ended.
object end_object(const wm_end &ended)
{
    if (ended.cause == WM_CAUSE_NONE) {
        return nullptr;
    }
    return {{"cause", wm::cause_name(ended.cause)},
            {"witness", wm::witness_name(ended.witness)},
            {"code", ended.code}};
}

object worker_object(const worker &w)
{
    return {{"pid", w.facts.pid},
            {"slot", w.facts.slot},
            {"state", w.state()},
            {"gone", w.gone},
            {"was_draining", w.was_draining},
            {"role", role_word(w.facts.role)},
            {"join", w.facts.join},
            {"age_ms", w.age_ms},
            {"beat_age_ms", w.beat_age_ms},
            {"overdue_ms", w.facts.overdue_ms},
            {"stalls", w.facts.stalls},
            {"drained_ms", w.drained_ms ? object(*w.drained_ms) : object()},
            {"end", end_object(w.ended)},
            {"note", w.note.empty() ? object() : object(w.note)},
            {"leader", w.leads},
            {"lock", w.has_lock}};
}

object generation_object(const generation &g)
{
    object workers = object::array();

    for (const worker &w : g.workers) {
        workers.push_back(worker_object(w));
    }
    return {{"id", g.facts.id},
            {"state", generation_state_word(g.facts.state)},
            {"current", g.current},
            {"reason", reason_word(g.facts.reason)},
            {"master", or_null(g.facts.master)},
            {"orphaned", g.orphaned},
            {"age_ms", g.age_ms},
            {"spell", g.facts.spell},
            {"exits_given", g.facts.exits_given},
            {"crashes", g.facts.deaths},
            {"count", count(g.count)},
            {"workers", workers}};
}

object lock_object(const model &m)
{
    if (m.lock.pid == 0) {
        return nullptr;
    }
    const auto purpose = purpose_word(m.lock.purpose);
    return {{"pid", m.lock.pid},
            {"generation", or_null(m.lock.generation)},
            {"purpose", m.lock.purpose},
            {"purpose_name", purpose ? object(*purpose) : object()},
            {"held_ms", m.lock.held_ms},
            {"gone", m.lock_orphaned}};
}

object leader_object(const model &m)
{
    if (m.leader.generation == 0) {
        return nullptr;
    }
    return {{"pid", m.leader.pid},
            {"generation", m.leader.generation},
            {"slot", m.leader.slot},
            {"term", m.leader.term}};
}

object head(const segment &s)
{
    return {{"file", s.file}, {"instance", s.instance}, {"live", s.live}};
}

} // namespace

std::string list(const std::string &directory, const std::vector<listed> &all)
{
    object nodes = object::array();

    for (const listed &l : all) {
        object o = head(l.of);

        o["status"] = static_cast<int>(l.why ? l.why->why() : status::ok);
        o["error"] = l.why ? object(l.why->what()) : object();
        o["current"] = l.seen ? or_null(l.seen->current) : object();
        o["count"] = l.seen ? count(l.seen->count) : object();
        o["settled"] = l.seen ? object(l.seen->settled) : object();
        nodes.push_back(o);
    }
    return line({{"directory", directory}, {"nodes", nodes}});
}

std::string node(const model &m)
{
    object o = head(m.of), generations = object::array();

    for (const generation &g : m.generations) {
        generations.push_back(generation_object(g));
    }
    o["settled"] = m.settled;
    o["others"] = m.others;
    o["capacity"] = m.capacity;
    o["current"] = or_null(m.current);
    o["lock"] = lock_object(m);
    o["leader"] = leader_object(m);
    o["count"] = count(m.count);
    o["generations"] = generations;
    return line(o);
}

std::string life(const segment &s)
{
    return line(head(s));
}

std::string event(const wm_log_entry &e)
{
    return line({{"number", e.number},
                 {"time_ms", e.time},
                 {"event", kind_word(e.kind)},
                 {"generation", or_null(e.generation)},
                 {"pid", or_null(e.pid)},
                 {"slot", e.slot == WM_NO_SLOT ? object() : object(e.slot)},
                 {"value", e.value},
                 {"end", end_object(e.ended)}});
}

std::string missed(std::uint64_t number)
{
    return line({{"missed", number}});
}

std::string log_unsettled()
{
    return line({{"settled", false}});
}

std::string waited(const wait_result &r)
{
    return line({{"ready", r.ready},
                 {"wanted", r.wanted},
                 {"live", r.live},
                 {"generation", or_null(r.generation)},
                 {"orphaned", r.orphaned},
                 {"file", r.file.empty() ? object() : object(r.file)},
                 {"settled", r.settled},
                 {"others", r.others}});
}

std::string gc(bool dry_run, const std::vector<disposal> &all)
{
    object segments = object::array();

    for (const disposal &d : all) {
        segments.push_back(
            {{"file", d.of.file},
             {"instance", d.of.instance},
             {"action", d.action},
             {"reason", d.reason.empty() ? object() : object(d.reason)}});
    }
    return line({{"dry_run", dry_run}, {"segments", segments}});
}

} // namespace wmctl::json
