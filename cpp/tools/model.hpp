// SPDX-License-Identifier: Apache-2.0

// A node as it was at one look, in plain structs, for text and JSON.

#ifndef WMCTL_MODEL_HPP
#define WMCTL_MODEL_HPP

#include "find.hpp"

#include <wm/facts.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wmctl
{

struct worker {
    wm_worker_info facts{};
    bool gone = false; // the process has ended, whatever the record says
    bool was_draining = false; // it is gone, and had drained
    bool leaves = false;       // its master has replaced its generation
    bool leads = false;
    bool has_lock = false;
    std::uint64_t age_ms = 0;
    std::uint64_t beat_age_ms = 0;
    std::optional<std::uint64_t> drained_ms; // since it has drained
    wm_end ended{};                          // if it has crashed
    std::string note;                        // "": none

    // "gone" if the record does not know yet that the process has ended;
    // "leaving" if it is live, and about to drain; "crashed" also if it had
    // drained.
    const char *state() const;
};

// The number of workers in each state. A worker that is gone counts only as
// gone, and a helper counts nowhere.
struct tally {
    unsigned joining = 0;
    unsigned live = 0;
    unsigned stalled = 0;
    unsigned draining = 0;
    unsigned crashed = 0;
    unsigned gone = 0;
};

struct generation {
    wm_generation_info facts{};
    bool current = false;
    bool orphaned = false; // its master has ended
    std::uint64_t age_ms = 0;
    std::vector<worker> workers; // by slot
    tally count;
};

struct model {
    segment of;
    std::vector<std::string> others; // files of other lives of the instance
    bool settled = true; // else it kept changing, and may never have been so
    std::uint32_t capacity = 0;
    std::uint64_t current = 0; // number of a generation; 0: there is none
    wm_lock_holder lock{};
    bool lock_orphaned = false; // its holder has ended
    wm_leader leader{};
    tally count;
    std::vector<generation> generations; // the current one, then newest first

    const generation *find(std::uint64_t id) const;
};

model look(const opened &from);

} // namespace wmctl

#endif
