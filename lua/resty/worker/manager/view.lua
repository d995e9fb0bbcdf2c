-- SPDX-License-Identifier: Apache-2.0

-- The functions that a user may call at any time, in any process of the node.

local ffi = require "ffi"
local constants = require "resty.worker.manager.constants"
local counts = require "resty.worker.manager.counts"
local libwm = require "resty.worker.manager.libwm"
local vm = require "resty.worker.manager.vm"

local lib, strerror, sized = libwm.lib, libwm.strerror, libwm.sized
local tonumber, error, type = tonumber, error, type

local NO_NODE = "no node: on_init_by_lua was not called, or failed"
local NOT_JOINED = "this process is no tracked worker:"
                   .. " on_init_worker_by_lua was not called, or failed"
local NOT_TRACKED = "this worker is not tracked: it has left, or the log says"
                    .. " why"
local NO_SLOT = constants.NO_SLOT
local BATCH = 64 -- entries of the event log that are read at a time

local STATES, ROLES = constants.STATES, constants.ROLES
local GENERATION_STATES = constants.GENERATION_STATES
local CRASHED = constants.CRASHED
local CRASHED_DRAINING = constants.CRASHED_DRAINING
local EVENTS = constants.LOG_KINDS
-- The name of an event's value, by the first word of the event's name.
local VALUES = {
    generation = "spell", worker = "join", leader = "term", lock = "holder",
}

local count = ffi.new("uint32_t[1]")
local cursor, missed = ffi.new("uint64_t[1]"), ffi.new("uint64_t[1]")
local leader = sized("struct wm_leader")
local detail = sized("struct wm_worker_detail")
local batch = ffi.new("struct wm_log_entry[?]", BATCH)
local WORKER_SIZE = ffi.sizeof("struct wm_worker_info")
local GENERATION_SIZE = ffi.sizeof("struct wm_generation_info")
local ENTRY_SIZE = ffi.sizeof("struct wm_log_entry")
local workers, generations, capacity, room

local _M = {}

-- Makes room for all records, once in a VM.
local function make_room()
    if not capacity then
        local info = sized("struct wm_node_info")
        lib.wm_node_describe(vm.node, info)
        capacity = info.capacity
        workers = ffi.new("struct wm_worker_info[?]", capacity)
        room = capacity + constants.limits.MORE_GENERATIONS
        generations = ffi.new("struct wm_generation_info[?]", room)
    end
end

-- The Unix time, in seconds, at which the monotonic clock was 0. The two clocks
-- tick apart, so that each look at both has another answer. It is taken once,
-- when the master loads the module: so all workers call a moment the same.
ngx.update_time()
local BEGINNING = ngx.now() - tonumber(lib.wm_now()) / 1000

-- Unix time of a moment of the monotonic clock, in whole milliseconds.
local function unix_time(ms)
    return math.floor((BEGINNING + tonumber(ms) / 1000) * 1000 + 0.5) / 1000
end

-- A process that asks lives: each call beats, also where nginx gives the worker
-- no timer. It returns why there is no answer.
local function ask()
    if not vm.node then
        return NO_NODE
    end
    local worker = vm.worker or vm.host
    if worker then
        lib.wm_beat(worker)
    end
end

local array_mt -- false: cjson has none, or there is no cjson

-- An empty table is {} in JSON, unless OpenResty's cjson is told that it is an
-- array. It is loaded at the first call: a worker that nobody asks needs none.
local function array()
    if array_mt == nil then
        local ok, json = pcall(require, "cjson")
        array_mt = ok and type(json) == "table" and json.array_mt or false
    end
    return setmetatable({}, array_mt or nil)
end

function _M.workers()
    local unknown = ask()
    if unknown then
        return nil, unknown
    end
    make_room()
    local rc = lib.wm_snapshot(vm.node, workers, WORKER_SIZE, capacity,
                               count)
    if rc < 0 then
        return nil, strerror(rc)
    end
    local now, list = tonumber(lib.wm_now()), array()
    for i = 1, count[0] do
        local w = workers[i - 1]
        local was_draining = w.state == CRASHED_DRAINING
        local is_there = lib.wm_worker_inspect(vm.node, w.slot, w.join,
                                               detail) == 0
        list[i] = {
            id = libwm.worker_id(w.generation, w.pid),
            pid = w.pid, slot = w.slot, generation = tonumber(w.generation),
            role = ROLES[w.role],
            state = STATES[was_draining and CRASHED or w.state],
            was_draining = was_draining or nil,
            age = math.max(now - tonumber(w.beat_at), 0) / 1000,
            joined_at = unix_time(w.joined_at),
            drained_at = is_there and detail.drained_at ~= 0
                         and unix_time(detail.drained_at) or nil,
            note = is_there and libwm.text(detail.note) or nil,
        }
    end
    return list
end

function _M.generations()
    local unknown = ask()
    if unknown then
        return nil, unknown
    end
    make_room()
    local rc = lib.wm_generations(vm.node, generations, GENERATION_SIZE,
                                  room, count)
    if rc < 0 then
        return nil, strerror(rc)
    end
    local list = array()
    for i = 1, count[0] do
        local g = generations[i - 1]
        list[i] = {
            id = tonumber(g.id), state = GENERATION_STATES[g.state],
            reason = libwm.reason(g.reason), spell = g.spell,
            exits_given = g.exits_given, master = g.master,
            crashes = g.deaths, begun_at = unix_time(g.begun_at),
        }
    end
    return list
end

local function entry(e)
    local name = EVENTS[e.kind] or "unknown"
    local value = VALUES[name:match("^%a+")]
    local t = {
        number = tonumber(e.number), event = name,
        time = tonumber(e.time) / 1000, generation = tonumber(e.generation),
        pid = e.pid,
    }
    if e.slot ~= NO_SLOT then
        t.slot = e.slot
    end
    if value then
        t[value] = tonumber(e.value)
    end
    libwm.tell_end(t, e.ended)
    return t
end

-- Returns the events after number `since`, the number of the last, and how
-- many are lost in between.
function _M.events(since)
    if since ~= nil and (type(since) ~= "number" or since < 0) then
        error("worker manager: events wants the number of the last event seen,"
              .. " not " .. tostring(since), 2)
    end
    local unknown = ask()
    if unknown then
        return nil, unknown
    end
    local list, lost = array(), 0
    cursor[0] = since or 0
    repeat
        local rc = lib.wm_log_read(vm.node, cursor, batch, ENTRY_SIZE, BATCH,
                                   count, missed)
        if rc < 0 then
            return nil, strerror(rc)
        end
        lost = lost + tonumber(missed[0])
        for i = 1, count[0] do
            list[#list + 1] = entry(batch[i - 1])
        end
    until count[0] < BATCH
    return list, tonumber(cursor[0]), lost
end

-- n_prev, n_mine, n_next of this VM's generation, as of now.
function _M.counts()
    local unknown = ask()
    if unknown then
        return nil, unknown
    end
    local n_prev, n_mine, n_next = counts.of(vm.generation)
    return n_prev, n_mine, n_next
end

-- Whether this worker leads, the term, and the leader's id.
function _M.leader()
    local unknown = ask()
    if unknown then
        return nil, unknown
    end
    local worker = vm.worker or vm.host
    local rc = worker and lib.wm_leader_stand(worker, leader)
               or lib.wm_leader_inspect(vm.node, leader)
    if rc < 0 then
        return nil, strerror(rc)
    end
    local id
    if leader.generation ~= 0 then
        id = libwm.worker_id(leader.generation, leader.pid)
    end
    return leader.mine == 1, leader.term, id
end

-- Why this process has no record to beat in.
local function untracked()
    if not vm.node then
        return NO_NODE
    end
    return vm.id and NOT_TRACKED or NOT_JOINED
end

-- A user may call this for every request: it is compiled and allocates nothing.
-- A worker that is not tracked has no record to beat in.
function _M.beat()
    local worker = vm.worker or vm.host
    if not worker then
        return nil, untracked()
    end
    local rc = lib.wm_beat(worker)
    if rc < 0 then
        return nil, strerror(rc)
    end
    return true
end

-- Says what this worker does now; nil or "": nothing. A user may call this in
-- each request, as beat().
function _M.note(text)
    if text ~= nil and type(text) ~= "string" then
        error("worker manager: note wants a string or nil, not "
              .. type(text), 2)
    end
    local worker = vm.worker or vm.host
    if not worker then
        return nil, untracked()
    end
    local rc = lib.wm_note(worker, text)
    if rc < 0 then
        return nil, strerror(rc)
    end
    return true
end

return _M
