// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// Columns are padded before they are painted: a colour has no width. A colour
// ends with its line, which a screen may cut or leave out.

#include "text.hpp"

#include "words.hpp"

#include <vector>

namespace wmctl::text
{

namespace
{

struct cell {
    std::string word;
    std::size_t width;
};

// Left-aligned cells; nothing is cut, and no blank ends the line.
std::string row(const std::vector<cell> &cells)
{
    std::string line;

    for (const cell &c : cells) {
        line += c.word;
        line.append(c.word.size() < c.width ? c.width - c.word.size() : 1, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
}

std::string number(std::uint64_t n)
{
    return std::to_string(n);
}

std::string pid(std::int32_t n)
{
    return n == 0 ? "-" : std::to_string(n);
}

std::string marks(const worker &w)
{
    std::string text = w.leads ? "leader" : "";

    if (w.has_lock) {
        text += text.empty() ? "lock" : ",lock";
    }
    return text.empty() ? "-" : text;
}

const char *shown_state(const worker &w)
{
    return w.gone && w.facts.state != WM_CRASHED ? "gone"
                                                 : state_word(w.facts.state);
}

std::string worker_row(const worker &w, const palette &p)
{
    const std::string line = row({{pid(w.facts.pid), 10},
                                  {number(w.facts.slot), 7},
                                  {shown_state(w), 10},
                                  {role_word(w.facts.role), 8},
                                  {age(w.age_ms), 9},
                                  {age(w.beat_age_ms), 9},
                                  {number(w.facts.stalls), 8},
                                  {marks(w), 0}});

    if (w.gone) {
        return p.bad(line) + "\n";
    }
    switch (w.facts.state) {
    case WM_LIVE:
        return p.good(line) + "\n";
    case WM_DRAINING:
        return p.faint(line) + "\n";
    default:
        return p.warning(line) + "\n";
    }
}

std::string worker_heading()
{
    return row({{"#PID", 10},
                {"SLOT", 7},
                {"STATE", 10},
                {"ROLE", 8},
                {"AGE", 9},
                {"BEAT", 9},
                {"STALLS", 8},
                {"MARKS", 0}}) +
           "\n";
}

std::string lock_line(const model &m, const palette &p)
{
    const wm_lock_holder &h = m.lock;

    if (h.pid == 0) {
        return "# lock: free\n";
    }
    std::string line = "# lock: held by " + pid(h.pid);
    if (h.generation != 0) {
        line += " of generation " + number(h.generation);
    }
    line += " for " + age(h.held_ms) + ", purpose " + number(h.purpose);
    return m.lock_orphaned ? p.bad(line + ", which is gone") + "\n"
                           : line + "\n";
}

std::string leader_line(const model &m)
{
    const wm_leader &l = m.leader;

    if (l.generation == 0) {
        return "# leader: nobody\n";
    }
    return "# leader: " + pid(l.pid) + " of generation " +
           number(l.generation) + ", term " + number(l.term) + "\n";
}

std::string generation_line(const generation &g, const palette &p)
{
    const wm_generation_info &f = g.facts;
    std::string line = g.current ? "# generation " : "# old generation ";

    line += number(f.id) + ": " + generation_state_word(f.state);
    if (f.state != WM_GENERATION_NONE) {
        line += std::string(", ") + reason_word(f.reason) + ", master " +
                pid(f.master) + ", age " + age(g.age_ms);
    }
    if (f.spell > 1) {
        line += ", spell " + number(f.spell);
    }
    if (f.deaths != 0) {
        line += ", crashes " + number(f.deaths);
    }
    return (g.current ? p.strong(line) : line) + "\n";
}

// The generations that still mean something, of the many that there were.
bool matters(const generation &g)
{
    return g.current || !g.workers.empty() ||
           g.facts.state == WM_GENERATION_BEGUN ||
           g.facts.state == WM_GENERATION_ACTIVE;
}

const char *life_word(bool live)
{
    return live ? "live" : "post-mortem";
}

std::string list_cells(const segment &s, const char *state,
                       const std::vector<std::string> &numbers)
{
    std::vector<cell> cells = {{clean(s.instance), 28}, {state, 12}};

    for (const std::string &n : numbers) {
        cells.push_back({n, 9});
    }
    cells.push_back({clean(s.file), 0});
    return row(cells);
}

} // namespace

std::string node(const model &m, const palette &p, bool all)
{
    std::string text = "# node " + clean(m.of.instance) + ": ";

    text += m.of.live ? p.good(life_word(true)) : p.bad(life_word(false));
    text += ", " + clean(m.of.file) + "\n" + lock_line(m, p) + leader_line(m) +
            (m.settled ? "" : unsettled(m.of.file)) + worker_heading();
    for (const generation &g : m.generations) {
        if (!all && !matters(g)) {
            continue;
        }
        text += generation_line(g, p);
        for (const worker &w : g.workers) {
            text += worker_row(w, p);
        }
    }
    return text;
}

std::string list_heading(const palette &p)
{
    const segment heading = {"FILE", "#INSTANCE", false};

    return p.strong(list_cells(heading, "STATE",
                               {"CURRENT", "JOINING", "LIVE", "STALLED",
                                "DRAINING", "CRASHED", "GONE"})) +
           "\n";
}

std::string list_row(const model &m, const palette &p)
{
    const tally &t = m.count;
    const std::string line =
        list_cells(m.of, life_word(m.of.live),
                   {m.current == 0 ? "-" : number(m.current), number(t.joining),
                    number(t.live), number(t.stalled), number(t.draining),
                    number(t.crashed), number(t.gone)});

    return (m.of.live ? line : p.warning(line)) + "\n" +
           (m.settled ? "" : unsettled(m.of.file));
}

std::string list_row(const segment &s, const failure &why, const palette &p)
{
    const char *state = why.why() == status::denied    ? "denied"
                        : why.why() == status::damaged ? "damaged"
                        : why.why() == status::foreign ? "foreign"
                                                       : "unreadable";

    return p.bad(list_cells(s, state, {"-", "-", "-", "-", "-", "-", "-"})) +
           "\n";
}

std::string event_heading(const palette &p)
{
    return p.strong(row({{"#TIME", 26},
                         {"NUMBER", 8},
                         {"EVENT", 20},
                         {"GENERATION", 12},
                         {"PID", 10},
                         {"SLOT", 7},
                         {"VALUE", 0}})) +
           "\n";
}

std::string life(const segment &s)
{
    return "# node " + clean(s.instance) + (s.live ? " begins" : " has ended") +
           ": " + clean(s.file) + "\n";
}

std::string event(const wm_log_entry &e)
{
    return row({{moment(e.time), 26},
                {number(e.number), 8},
                {kind_word(e.kind), 20},
                {number(e.generation), 12},
                {pid(e.pid), 10},
                {e.slot == WM_NO_SLOT ? "-" : number(e.slot), 7},
                {number(e.value), 0}}) +
           "\n";
}

std::string missed(std::uint64_t n)
{
    return "# " + number(n) +
           " entries are overwritten, or were not finished\n";
}

std::string unsettled(const std::string &file)
{
    return "# unsettled: " + clean(file) +
           " kept changing while it was looked at\n";
}

std::string log_unsettled()
{
    return "# unsettled: entries wait behind one that is still being written\n";
}

} // namespace wmctl::text
