// SPDX-License-Identifier: Apache-2.0

/// @file
/// Facts of a node. They are the structs of wm.h, in ranges where a C function
/// fills an array. A member that holds an enum is a number, as a newer library
/// may have more enumerators; the functions here give it its type.

#ifndef WM_FACTS_HPP
#define WM_FACTS_HPP

#include <wm.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace wm
{

/// Every kind of event, as a mask of `1 << wm_event_kind`.
inline constexpr std::uint32_t all_events =
    std::numeric_limits<std::uint32_t>::max();

/// The state of a worker's record.
inline wm_state state(const wm_worker_info &worker) noexcept
{
    return static_cast<wm_state>(worker.state);
}

/// The state of a generation.
inline wm_generation_state state(const wm_generation_info &generation) noexcept
{
    return static_cast<wm_generation_state>(generation.state);
}

/// The kind of an entry of the event log.
inline wm_log_kind kind(const wm_log_entry &entry) noexcept
{
    return static_cast<wm_log_kind>(entry.kind);
}

/// The kind of an event.
inline wm_event_kind kind(const wm_event &event) noexcept
{
    return static_cast<wm_event_kind>(event.kind);
}

/// The name of a wm_state, "?" for an unknown one. Maps wm_state_name().
inline const char *state_name(std::uint32_t state) noexcept
{
    return wm_state_name(state);
}

/// The name of a wm_generation_state. Maps wm_generation_state_name().
inline const char *generation_state_name(std::uint32_t state) noexcept
{
    return wm_generation_state_name(state);
}

/// The name of a wm_role. Maps wm_role_name().
inline const char *role_name(std::uint32_t role) noexcept
{
    return wm_role_name(role);
}

/// The name of a wm_reason. Maps wm_reason_name().
inline const char *reason_name(std::uint32_t reason) noexcept
{
    return wm_reason_name(reason);
}

/// The name of a wm_event_kind. Maps wm_event_name().
inline const char *event_name(std::uint32_t kind) noexcept
{
    return wm_event_name(kind);
}

/// The name of a wm_cause. Maps wm_cause_name().
inline const char *cause_name(std::uint32_t cause) noexcept
{
    return wm_cause_name(cause);
}

/// The name of a wm_witness. Maps wm_witness_name().
inline const char *witness_name(std::uint32_t witness) noexcept
{
    return wm_witness_name(witness);
}

/// The name of a wm_log_kind. Maps wm_log_name().
inline const char *log_name(std::uint32_t kind) noexcept
{
    return wm_log_name(kind);
}

/// The name of a wm_purpose, "?" for a program's own. Maps wm_purpose_name().
inline const char *purpose_name(std::uint32_t purpose) noexcept
{
    return wm_purpose_name(purpose);
}

/// The slot of the worker that an entry tells of, or nothing if it tells of no
/// worker.
inline std::optional<std::uint32_t> slot(const wm_log_entry &entry) noexcept
{
    return entry.slot == WM_NO_SLOT ? std::nullopt : std::optional(entry.slot);
}

/// The workers of a node as they were at one moment. A loop over the workers of
/// a temporary snapshot is safe: `for (auto &w : node.snapshot().workers)`.
struct snapshot {
    std::vector<wm_worker_info> workers; ///< all records in use, by slot
    /// False: two looks never agreed, and this is the last (WM_UNSETTLED).
    bool settled = true;
};

/// A part of the event log.
struct log_page {
    std::vector<wm_log_entry> entries; ///< oldest first
    std::uint64_t missed = 0; ///< in between, overwritten or unfinished
    /// False: more entries wait behind one that is still being written
    /// (WM_UNSETTLED).
    bool settled = true;
};

/// A segment in a directory: a wm_node_entry that outlives the call.
struct node_entry {
    std::string name;  ///< of the file; wm::node::open() takes it
    bool live = false; ///< a process takes part
    /// No error, or why `live` is not known.
    std::error_code error;
    bool foreign = false; ///< neither the caller's nor root's
};

} // namespace wm

#endif
