-- SPDX-License-Identifier: Apache-2.0

-- The C library, found and declared. Returns a table: `lib` (its functions);
-- `sized` and `bit_of`, which make its structs and masks; `strerror`, `reason`,
-- `worker_id`, `tell_end` and `text`, which put what it says into Lua's words;
-- and `nginx`, which reads nginx's own exported variables.

local ffi = require "ffi"
local bit = require "bit"
local constants = require "resty.worker.manager.constants"

local MAJOR = 1
local MINOR = 0 -- at least, for its functions
local REASONS, REASON_NONE = constants.REASONS, constants.REASON_NONE

-- Another copy of this file in the same VM has declared it all already.
if not pcall(ffi.typeof, "struct wm_node_options") then
    ffi.cdef [[
typedef struct wm_node wm_node;
typedef struct wm_worker wm_worker;

struct wm_node_options {
    uint32_t size, flags;
    const char *instance, *directory;
    uint32_t capacity, mode, log_entries, tag;
};
struct wm_postmortem {
    uint32_t size, segments, workers, exits_owed, damaged, foreign;
    int32_t pid;
    uint32_t living;
    uint64_t generation;
};
struct wm_node_info {
    uint32_t size, capacity;
    const char *instance, *name;
    int32_t anonymous, not_adopted;
    uint32_t adopted, read_only;
    uint64_t generation, dropped, exits_lost;
    const char *directory;
    uint32_t mode, log_entries;
};
struct wm_join_options {
    uint32_t size, role, overdue_ms, expected;
    int32_t master; uint32_t reserved;
};
struct wm_counts {
    int32_t previous, mine, next;
    uint32_t reason, spell, unsettled, reserved[2];
};
struct wm_end { uint32_t cause, witness, code; };
struct wm_event {
    uint32_t size, kind;
    uint64_t generation, join;
    int32_t pid;
    uint32_t slot, role, spell;
    struct wm_counts counts;
    struct wm_end ended;
    char note[64];
};
struct wm_worker_info {
    uint64_t generation, join, joined_at, beat_at;
    int32_t pid;
    uint32_t slot, state, role, overdue_ms, stalls;
};
struct wm_worker_detail {
    uint32_t size;
    struct wm_end ended;
    uint64_t drained_at;
    char note[64];
};
struct wm_generation_info {
    uint64_t id;
    uint32_t state, reason, spell, exits_given;
    int32_t master;
    uint32_t deaths;
    uint64_t begun_at;
};
struct wm_leader {
    uint32_t size, term;
    uint64_t generation, join;
    int32_t pid;
    uint32_t slot, mine, reserved;
};
struct wm_log_entry {
    uint64_t number, time, generation, value;
    int32_t pid;
    uint32_t slot, kind;
    struct wm_end ended;
};
struct wm_lock_options { uint32_t size, purpose, hold_ms, wait_ms; };
struct wm_lock_hold { struct wm_node *node; uint64_t word; };
struct wm_lock_holder {
    uint32_t size;
    int32_t pid;
    uint64_t generation, held_ms;
    uint32_t purpose, sequence, own, reserved;
};

uint32_t wm_version(void);
const char *wm_strerror(int error);
int wm_node_attach(const struct wm_node_options *options, wm_node **node);
int wm_node_release(wm_node *node);
int wm_node_describe(const wm_node *node, struct wm_node_info *info);
int wm_node_postmortem(const wm_node *node, struct wm_postmortem *postmortem);
int wm_generation_begin(wm_node *node, uint64_t *id, uint32_t *reason);
int wm_generation_abandon(wm_node *node, uint64_t id);
int wm_generation_leave_start(wm_node *node, uint64_t id);
int wm_generation_take_start(wm_node *node, uint64_t id);
int wm_generation_take_exit(wm_node *node, uint64_t id, uint32_t *spell);
int wm_worker_join(wm_node *node, uint64_t id,
                   const struct wm_join_options *options,
                   wm_worker **worker);
wm_worker *wm_node_worker(const wm_node *node);
int wm_starts_awaited(const wm_node *node, uint64_t id);
int wm_start_begin(wm_worker *worker, uint32_t kinds);
int wm_start_next(wm_worker *worker, struct wm_event *event);
int wm_exit_begin(wm_worker *worker, uint32_t kinds);
int wm_exit_next(wm_worker *worker, struct wm_event *event);
int wm_worker_record_end(wm_worker *worker);
int wm_worker_retire(wm_worker *worker);
int wm_worker_leave(wm_worker *worker);
uint32_t wm_worker_slot(const wm_worker *worker);
uint32_t wm_worker_recoveries(const wm_worker *worker);
int wm_worker_recovery_take(wm_worker *worker);
uint64_t wm_now(void);
int wm_beat(wm_worker *worker);
int wm_note(wm_worker *worker, const char *text);
int wm_tick(wm_worker *worker, uint32_t interval_ms);
int wm_sweep(wm_node *node, wm_worker *self);
int wm_events_owed(const wm_node *node, uint32_t kinds);
int wm_event_take(wm_node *node, uint32_t kinds, struct wm_event *event);
int wm_generation_counts(const wm_node *node, uint64_t id,
                         struct wm_counts *counts);
int wm_snapshot(const wm_node *node, struct wm_worker_info *list,
                uint32_t element, uint32_t room, uint32_t *count);
int wm_worker_inspect(const wm_node *node, uint32_t slot, uint64_t join,
                      struct wm_worker_detail *detail);
int wm_generations(const wm_node *node, struct wm_generation_info *list,
                   uint32_t element, uint32_t room, uint32_t *count);
int wm_leader_stand(wm_worker *worker, struct wm_leader *leader);
int wm_leader_inspect(const wm_node *node, struct wm_leader *leader);
int wm_log_read(const wm_node *node, uint64_t *since,
                struct wm_log_entry *list, uint32_t element, uint32_t room,
                uint32_t *count, uint64_t *missed);
int wm_lock_acquire(wm_node *node, const struct wm_lock_options *options);
int wm_lock_try(wm_node *node, uint32_t purpose, int queue);
int wm_lock_release(wm_node *node);
void wm_lock_hold_note(wm_node *node, struct wm_lock_hold *hold);
void wm_lock_hold_release(void *hold);
int wm_lock_inspect(const wm_node *node, struct wm_lock_holder *holder);
]]
end

-- Variables that the nginx binary exports. Each on its own: another module
-- may have declared one of them, as another type.
for _, declaration in ipairs {
    "uintptr_t ngx_process;", "uintptr_t ngx_test_config;",
    "uintptr_t ngx_inherited;", "int ngx_terminate;",
} do
    pcall(ffi.cdef, declaration)
end

-- The value of an nginx variable, nil if this build hides it.
local function nginx(name)
    local ok, value = pcall(function()
        return tonumber(ffi.C[name])
    end)
    return ok and value or nil
end

local function exists(path)
    local file = io.open(path, "rb")
    if file then
        file:close()
    end
    return file ~= nil
end

-- Whether this process has loaded a copy: in the global scope, as this file
-- loads it. A reload keeps that copy, wherever the path leads by now, because
-- no other copy knows the node. Its soname would not tell: musl's loader looks
-- for files alone.
local function is_loaded()
    return (pcall(function()
        return ffi.C.wm_version
    end))
end

-- Searches package.cpath as `require` would, then the places of the loader.
local function load()
    local tried = {}
    local soname = "libwm.so." .. MAJOR
    if is_loaded() then
        return ffi.C, soname
    end
    for template in package.cpath:gmatch("[^;]+") do
        local path = template:gsub("%?", "libwm")
        if exists(path) then
            local ok, lib = pcall(ffi.load, path, true)
            if ok then
                return lib, path
            end
            tried[#tried + 1] = path .. " (" .. tostring(lib) .. ")"
        else
            tried[#tried + 1] = path
        end
    end
    for _, name in ipairs { soname, "libwm.so" } do
        local ok, lib = pcall(ffi.load, name, true)
        if ok then
            return lib, name
        end
        tried[#tried + 1] = name .. " (by the loader)"
    end
    error("worker manager: libwm.so not found: build it and let"
          .. " lua_package_cpath lead to it; tried:\n\t"
          .. table.concat(tried, "\n\t"), 0)
end

local was_loaded = is_loaded()
local lib, path = load()

local function check_version()
    local ok, version = pcall(function()
        return lib.wm_version()
    end)
    local major = ok and bit.rshift(version, 16) or "unknown"
    if major ~= MAJOR and was_loaded then
        error("worker manager: this nginx has loaded libwm of major version "
              .. major .. ", this module needs " .. MAJOR .. ": restart nginx",
              0)
    elseif major ~= MAJOR then
        error("worker manager: " .. path .. " is of major version " .. major
              .. ", this module needs " .. MAJOR
              .. ": install both from the same release", 0)
    end
    local minor = bit.band(version, 0xffff)
    if minor < MINOR then
        error(("worker manager: this module needs libwm %d.%d, and %s is"
               .. " version %d.%d, which a reload keeps: restart nginx, or"
               .. " upgrade its binary"):format(MAJOR, MINOR, path, major,
                                                minor), 0)
    end
end

check_version()

return {
    -- A loop that takes what the library owes ends after so many; the rest
    -- waits for the next interval. If a broken worker has written over a count,
    -- 2^31 may seem to be owed, and the worker that tells of them has the lock
    -- and serves nobody meanwhile. If more workers than this crash at once,
    -- each replacement tells of some in its first timer.
    MOST = 64,
    lib = lib,
    nginx = nginx,
    -- A struct of wm.h that says its own size. fields: table or nil.
    sized = function(name, fields)
        local struct = ffi.new(name, fields or {})
        struct.size = ffi.sizeof(name)
        return struct
    end,
    -- Adds to a table what a worker died of, if it has died: the name of the
    -- cause, who says so, and the number of the signal or the exit code.
    tell_end = function(t, ended)
        if ended.cause == constants.CAUSE_NONE then
            return
        end
        t.cause = constants.CAUSES[ended.cause]
        t.witness = constants.WITNESSES[ended.witness]
        if ended.cause == constants.CAUSE_EXIT then
            t.exit_code = ended.code
        elseif ended.cause ~= constants.CAUSE_UNKNOWN then
            t.signal = ended.code
        end
    end,
    -- A note of the library, or nil if it is empty.
    text = function(note)
        return note[0] ~= 0 and ffi.string(note) or nil
    end,
    -- The bit of a kind in a mask of kinds of events.
    bit_of = function(kind)
        return 2 ^ kind
    end,
    strerror = function(code)
        return ffi.string(lib.wm_strerror(code))
    end,
    reason = function(number)
        return number ~= REASON_NONE and REASONS[number] or "unknown"
    end,
    worker_id = function(generation, pid)
        return tonumber(generation) .. "-" .. tonumber(pid)
    end,
}
