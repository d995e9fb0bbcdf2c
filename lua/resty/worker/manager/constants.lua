-- SPDX-License-Identifier: Apache-2.0

-- The numbers of other people's headers. First those of wm.h, in its order and
-- without the prefix WM_; then those of the system and of nginx. A test has a C
-- program print each of them from its header, and compares.

-- A misspelt constant is an error where it is read, not a nil.
local function strict(t, what)
    return setmetatable(t, {
        __index = function(_, name)
            error("worker manager: no " .. what .. " " .. tostring(name), 2)
        end,
    })
end

local _M = strict({}, "constant")

-- Defines an enum whose first member has the number `first`. Returns the names
-- that the module's users read in place of the numbers: the members' names
-- without the prefix, in small letters.
local function enum(first, prefix, members)
    local names = {}
    for i, member in ipairs(members) do
        local number = first + i - 1
        _M[member] = number
        names[number] = member:sub(#prefix + 1):lower()
    end
    return names
end

enum(0x40000001, "", { -- enum wm_condition
    "RECOVERED", "IS_WORKER", "CLOSED", "UNSETTLED",
})

_M.STATES = enum(0, "", { -- enum wm_state
    "FREE", "CLAIMED", "JOINING", "LIVE", "STALLED", "DRAINING", "CRASHED",
    "CRASHED_DRAINING",
})

_M.GENERATION_STATES = enum(0, "GENERATION_", { -- enum wm_generation_state
    "GENERATION_NONE", "GENERATION_CLAIMED", "GENERATION_BEGUN",
    "GENERATION_ACTIVE", "GENERATION_EXITED", "GENERATION_ABORTED",
    "GENERATION_GONE",
})

_M.ROLES = enum(0, "ROLE_", { "ROLE_WORKER", "ROLE_HELPER" }) -- enum wm_role

_M.REASONS = enum(0, "REASON_", { -- enum wm_reason
    "REASON_NONE", "REASON_START", "REASON_RELOAD", "REASON_UPGRADE",
    "REASON_RESPAWN", "REASON_ROLLBACK", "REASON_STOP", "REASON_CRASH",
    "REASON_RETIRE",
})

-- Flags of struct wm_node_options.
_M.NODE_ADOPT = 1
_M.NODE_ANONYMOUS = 2

_M.CAUSES = enum(0, "CAUSE_", { -- enum wm_cause
    "CAUSE_NONE", "CAUSE_UNKNOWN", "CAUSE_EXIT", "CAUSE_SIGNAL", "CAUSE_KILLED",
})

_M.WITNESSES = enum(0, "WITNESS_", { -- enum wm_witness
    "WITNESS_NONE", "WITNESS_SELF", "WITNESS_PARENT",
})

_M.EVENTS = enum(1, "EVENT_", { -- enum wm_event_kind
    "EVENT_MASTER_EXIT", "EVENT_CRASHED", "EVENT_STALLED",
    "EVENT_WORKER_START", "EVENT_RECOVERED", "EVENT_WORKER_EXIT",
    "EVENT_DRAINED", "EVENT_CRASHED_DRAINING",
})

-- All of them, as a mask: bit n is the event that has the number n.
_M.EVENTS_ALL = 0xffffffff

_M.LOG_KINDS = enum(1, "LOG_", { -- enum wm_log_kind
    "LOG_GENERATION_BEGUN", "LOG_GENERATION_ACTIVE", "LOG_GENERATION_ABORTED",
    "LOG_GENERATION_EXITED", "LOG_WORKER_JOINED", "LOG_WORKER_LIVE",
    "LOG_WORKER_STALLED", "LOG_WORKER_RECOVERED", "LOG_WORKER_DRAINING",
    "LOG_WORKER_LEFT", "LOG_WORKER_CRASHED", "LOG_LEADER", "LOG_LEADER_LOST",
    "LOG_LOCK_RECOVERED", "LOG_WORKER_FORGOTTEN",
    "LOG_WORKER_DRAIN_CRASH", "LOG_GENERATION_GONE", "LOG_WORKER_END",
})

_M.PURPOSES = enum(0x10001, "PURPOSE_", { -- enum wm_purpose
    "PURPOSE_MASTER_START", "PURPOSE_WORKER_START", "PURPOSE_WORKER_EXIT",
    "PURPOSE_EVENTS", "PURPOSE_OWN_EVENTS",
})

-- Stands in wm_log_entry.slot if there is no worker.
_M.NO_SLOT = 0xffffffff

-- The largest options that wm_node_attach() takes, and what follows from the
-- capacity, as wm.h says in words.
_M.limits = strict({
    CAPACITY = 65535,
    LOG_ENTRIES = 1048576,
    NAME_LENGTH = 63,
    MORE_GENERATIONS = 64, -- records of generations than workers
}, "limit")

-- errno.h
_M.errno = strict({
    ENOENT = 2, ESRCH = 3, EDEADLK = 35, ENOBUFS = 105, ETIMEDOUT = 110,
    EINPROGRESS = 115, EUCLEAN = 117,
}, "errno")

-- sys/socket.h
_M.system = strict({
    SOL_SOCKET = 1, SO_PEEK_OFF = 42, MSG_PEEK = 0x02, MSG_DONTWAIT = 0x40,
}, "constant of the system")

-- nginx's: values of the variable ngx_process; a command of struct
-- ngx_channel_t, and the struct's size. No header of nginx is installed, so
-- test/nginx sees them work.
_M.nginx = strict({
    PROCESS_SINGLE = 0, PROCESS_SIGNALLER = 2,
    CMD_TERMINATE = 4, MESSAGE_SIZE = 32,
}, "constant of nginx")

return _M
