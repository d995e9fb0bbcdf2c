-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- The events of other workers that the library owes: crashes, stalls, and the
-- end of generations that have no worker left to tell of it. An event is
-- *taken* from the library, which marks it, and *told* to a callback.

local constants = require "resty.worker.manager.constants"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local tell = require "resty.worker.manager.tell"
local vm = require "resty.worker.manager.vm"

local lib = libwm.lib
local tonumber = tonumber

local MASTER_EXIT = constants.EVENT_MASTER_EXIT
local ROLE_HELPER = constants.ROLE_HELPER

local function bit_of(kind)
    return 2 ^ kind
end

local CRASHES = bit_of(constants.EVENT_CRASHED)
local FAILURES = CRASHES + bit_of(constants.EVENT_STALLED)

local event = libwm.sized("struct wm_event")
local taken = {} -- failures that are still to be told
local telling = false -- by a thread that may have been ended

local _M = {}

-- The failure that `event` stands for. It was marked as it was taken, so from
-- here on this worker alone can tell of it.
local function make_failure()
    local failure = {
        id = libwm.worker_id(event.generation, event.pid),
        generation = tonumber(event.generation), pid = event.pid,
        slot = event.slot, spell = event.spell,
        reason = constants.EVENTS[event.kind],
        role = event.role == ROLE_HELPER and "helper" or nil,
    }
    log.complain("worker ", failure.id, " ", failure.reason)
    return failure
end

-- A worker without a function for ends leaves them to those that have one.
local function kinds()
    return FAILURES + (vm.master_exit and bit_of(MASTER_EXIT) or 0)
end

-- Tells all. The caller has the lock.
function _M.tell_held()
    while taken[1] do
        tell.worker_failed(table.remove(taken, 1))
    end
    while lib.wm_event_take(vm.node, kinds(), event) == 1 do
        if event.kind == MASTER_EXIT then
            -- An end of this worker's own generation was left by a sibling,
            -- and is no crash.
            tell.master_exit(event.generation, event.spell,
                             event.generation ~= vm.generation)
        else
            tell.worker_failed(make_failure())
        end
    end
end

-- The same in a timer, which waits for the lock.
function _M.tell()
    if (telling and lock.is_in_use())
       or (not taken[1] and lib.wm_events_owed(vm.node, kinds()) == 0) then
        return
    end
    telling = true
    local ok, err = lock.acquire_polling(lock.EVENTS)
    if ok then
        _M.tell_held()
        lock.release()
    else
        log.complain("events of other workers stay owed: ", err)
    end
    telling = false
end

-- A crash keeps its record until it is taken. Where the table is full, this
-- takes all crashes at once; the first timer tells of them.
function _M.make_room()
    while lib.wm_event_take(vm.node, CRASHES, event) == 1 do
        taken[#taken + 1] = make_failure()
    end
end

return _M
