-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- What others left to be told: crashes, stalls, and the end of generations
-- that nobody of is left.

local ffi = require "ffi"
local callback = require "resty.worker.manager.callback"
local constants = require "resty.worker.manager.constants"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local vm = require "resty.worker.manager.vm"

local lib = libwm.lib
local counts = callback.counts
local tonumber = tonumber

local MASTER_EXIT = constants.EVENT_MASTER_EXIT
local CRASHED, STALLED = constants.EVENT_CRASHED, constants.EVENT_STALLED
local ROLE_HELPER = constants.ROLE_HELPER

local function bit_of(kind)
    return 2 ^ kind
end

local FAILURES = bit_of(CRASHED) + bit_of(STALLED)

local event = ffi.new("struct wm_event")
local taken = {} -- failures that were taken, and wait to be told
local giving = false -- by a thread that may have been ended

local _M = {}

-- The mark was made as it was taken: from here on it is ours to tell.
local function note_failure()
    local failure = {
        id = callback.worker_id(event.generation, event.pid),
        generation = tonumber(event.generation), pid = tonumber(event.pid),
        slot = tonumber(event.slot), spell = tonumber(event.spell),
        reason = constants.EVENTS[event.kind],
        role = event.role == ROLE_HELPER and "helper" or nil,
    }
    taken[#taken + 1] = failure
    log.complain("worker ", failure.id, " ", failure.reason)
end

local function tell_failures()
    while taken[1] do
        local failure = table.remove(taken, 1)
        lib.wm_generation_counts(vm.node, failure.generation, counts)
        counts.spell = failure.spell
        local info = callback.facts("worker_failed", failure.generation)
        info.reason, info.pid = failure.reason, failure.pid
        info.slot, info.role = failure.slot, failure.role
        callback.run(vm.on_worker_failed, failure.id, info)
    end
end

-- Ends are told by who has a function for them; without one they stay owed.
local function kinds()
    return FAILURES + (vm.master_exit and bit_of(MASTER_EXIT) or 0)
end

-- Under the lock. An end that another worker of our own generation left owed
-- is none of a crash.
function _M.give_held()
    tell_failures()
    while lib.wm_event_take(vm.node, kinds(), event) > 0 do
        if event.kind == MASTER_EXIT then
            callback.run_master_exit(
                event.generation, event.spell,
                event.generation ~= vm.generation and "crash" or nil)
        else
            note_failure()
            tell_failures()
        end
    end
end

-- In a timer.
function _M.give()
    if (giving and lock.is_in_use())
       or (not taken[1] and lib.wm_events_owed(vm.node, kinds()) == 0) then
        return
    end
    giving = true
    local ok, err = lock.yielding(lock.EVENTS)
    if ok then
        _M.give_held()
        lock.release()
    else
        log.complain("events of other workers stay owed: ", err)
    end
    giving = false
end

-- A crash that was not told keeps its record. Where the table is full, takes
-- them at once, to be told in the first timer.
function _M.make_room()
    while lib.wm_event_take(vm.node, bit_of(CRASHED), event) > 0 do
        note_failure()
    end
end

return _M
