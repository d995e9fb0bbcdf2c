// SPDX-License-Identifier: Apache-2.0

// Columns are padded before they are painted: a colour has no width. A colour
// ends with its line, which a screen may cut or leave out.

#include "text.hpp"

#include "times.hpp"
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

std::string or_dash(const std::string &word)
{
    return word.empty() ? "-" : word;
}

std::string marks(const worker &w)
{
    std::string text;

    for (const auto &mark :
         {std::string(w.leads ? "leader" : ""),
          std::string(w.has_lock ? "lock" : ""),
          std::string(w.was_draining ? "draining" : ""), end_word(w.ended)}) {
        if (!mark.empty()) {
            text += (text.empty() ? "" : ",") + mark;
        }
    }
    return or_dash(text);
}

std::string worker_row(const worker &w, const palette &p)
{
    const std::string line = row({{pid(w.facts.pid), 10},
                                  {number(w.facts.slot), 7},
                                  {w.state(), 10},
                                  {role_word(w.facts.role), 8},
                                  {age(w.age_ms), 9},
                                  {age(w.beat_age_ms), 9},
                                  {number(w.facts.stalls), 8},
                                  {marks(w), 8},
                                  {or_dash(clean(w.note)), 0}});

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
                {"MARKS", 8},
                {"NOTE", 0}}) +
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
    line += " for " + age(h.held_ms) + ", purpose " +
            purpose_word(h.purpose).value_or(number(h.purpose));
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

// One that the current generation has followed is old. One that came to
// nothing, or is newer, is not.
const char *rank(const generation &g, std::uint64_t current)
{
    return g.current ? "# generation "
           : g.facts.id < current && g.facts.state != WM_GENERATION_ABORTED
               ? "# old generation "
               : "# other generation ";
}

std::string generation_line(const model &m, const generation &g,
                            const palette &p)
{
    const wm_generation_info &f = g.facts;
    std::string line = rank(g, m.current);

    line += number(f.id) + ": " + generation_state_word(f.state);
    if (f.state != WM_GENERATION_NONE) {
        line += std::string(", ") + reason_word(f.reason) + ", master " +
                pid(f.master) + (g.orphaned ? ", which has ended" : "") +
                ", age " + age(g.age_ms);
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

// The whole row has 80 columns, unless a name or the file needs more.
std::string list_cells(const segment &s, const char *state,
                       const std::vector<std::string> &numbers, bool file)
{
    constexpr std::size_t widths[] = {8, 5, 5, 6, 6, 6, 5};
    std::vector<cell> cells = {{clean(s.instance), 28}, {state, 12}};

    for (std::size_t i = 0; i < numbers.size(); i++) {
        cells.push_back({numbers[i], widths[i]});
    }
    if (file) {
        cells.push_back({clean(s.file), 0});
    }
    return row(cells);
}

// 80 columns, also with pids of seven digits.
std::string event_cells(const std::vector<std::string> &words)
{
    constexpr std::size_t widths[] = {29, 19, 5, 8, 5, 8, 0};
    std::vector<cell> cells;

    for (std::size_t i = 0; i < words.size(); i++) {
        cells.push_back({words[i], widths[i]});
    }
    return row(cells);
}

} // namespace

std::string others(const std::vector<std::string> &files)
{
    std::string text;

    for (const std::string &file : files) {
        text += "# another life: " + clean(file) + "\n";
    }
    return text;
}

std::string node(const model &m, const palette &p, bool all)
{
    std::string text = "# node " + clean(m.of.instance) + ": ";

    text += m.of.live ? p.good(life_word(true)) : p.bad(life_word(false));
    text += ", " + clean(m.of.file) + "\n" + others(m.others) +
            lock_line(m, p) + leader_line(m) +
            (m.settled ? "" : unsettled(m.of.file)) + worker_heading();
    for (const generation &g : m.generations) {
        if (!all && !matters(g)) {
            continue;
        }
        text += generation_line(m, g, p);
        for (const worker &w : g.workers) {
            text += worker_row(w, p);
        }
    }
    return text;
}

std::string list_heading(const palette &p, bool file)
{
    const segment heading = {"FILE", "#INSTANCE", false};

    return p.strong(list_cells(
               heading, "STATE",
               {"CURRENT", "JOIN", "LIVE", "STALL", "DRAIN", "CRASH", "GONE"},
               file)) +
           "\n";
}

std::string list_row(const model &m, const palette &p, bool file)
{
    const tally &t = m.count;
    const std::string line =
        list_cells(m.of, life_word(m.of.live),
                   {m.current == 0 ? "-" : number(m.current), number(t.joining),
                    number(t.live), number(t.stalled), number(t.draining),
                    number(t.crashed), number(t.gone)},
                   file);

    return (m.of.live ? line : p.warning(line)) + "\n" +
           (m.settled ? "" : unsettled(m.of.file));
}

std::string list_row(const segment &s, const failure &why, const palette &p,
                     bool file)
{
    const char *state = why.why() == status::denied    ? "denied"
                        : why.why() == status::damaged ? "damaged"
                        : why.why() == status::foreign ? "foreign"
                                                       : "unreadable";

    return p.bad(list_cells(s, state, {"-", "-", "-", "-", "-", "-", "-"},
                            file)) +
           "\n";
}

std::string event_heading(const palette &p)
{
    return p.strong(event_cells(
               {"#TIME", "EVENT", "GEN", "PID", "SLOT", "VALUE", "END"})) +
           "\n";
}

std::string life(const segment &s)
{
    return "# node " + clean(s.instance) + (s.live ? " begins" : " has ended") +
           ": " + clean(s.file) + "\n";
}

std::string event(const wm_log_entry &e, bool utc)
{
    return event_cells({moment(e.time, utc), kind_word(e.kind),
                        number(e.generation), pid(e.pid),
                        e.slot == WM_NO_SLOT ? "-" : number(e.slot),
                        value_word(e.kind) + ("=" + number(e.value)),
                        or_dash(end_word(e.ended))}) +
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
