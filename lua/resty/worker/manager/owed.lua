-- SPDX-License-Identifier: Apache-2.0

-- The events of other workers that the library owes: crashes, stalls, and the
-- end of generations that have no worker left to tell of it. An event is
-- *taken* from the library, which marks it, and *told* to a callback.

local constants = require "resty.worker.manager.constants"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local tell = require "resty.worker.manager.tell"
local vm = require "resty.worker.manager.vm"

local lib, bit_of, MOST = libwm.lib, libwm.bit_of, libwm.MOST
local tonumber = tonumber

local MASTER_EXIT = constants.EVENT_MASTER_EXIT
local ROLE_HELPER = constants.ROLE_HELPER

local CRASHED = constants.EVENT_CRASHED
local CRASHED_DRAINING = constants.EVENT_CRASHED_DRAINING

local CRASHES = bit_of(CRASHED) + bit_of(CRASHED_DRAINING)
local FAILURES = CRASHES + bit_of(constants.EVENT_STALLED)
local ALL = FAILURES + bit_of(MASTER_EXIT)

local event = libwm.sized("struct wm_event")
local taken = {} -- failures that are still to be told
local telling = false -- true: a thread tells, or was ended while it did

local _M = {}

-- The end of a worker in words, for a line of the log.
local function end_of(failure)
    if failure.exit_code then
        return " with exit code " .. failure.exit_code
    end
    return failure.signal and " of signal " .. failure.signal or ""
end

-- The failure that an event stands for. It was marked as it was taken, so from
-- here on this worker alone can tell of it.
local function make_failure(e)
    local was_draining = e.kind == CRASHED_DRAINING
    local failure = {
        id = libwm.worker_id(e.generation, e.pid),
        generation = tonumber(e.generation), pid = e.pid,
        slot = e.slot, spell = e.spell,
        reason = constants.EVENTS[was_draining and CRASHED or e.kind],
        role = e.role == ROLE_HELPER and "helper" or nil,
        was_draining = was_draining or nil,
        note = libwm.text(e.note),
    }
    libwm.tell_end(failure, e.ended)
    log.complain("worker ", failure.id, " ", failure.reason,
                 was_draining and " while it drained" or "", end_of(failure),
                 failure.note and ", noted: " .. log.quote(failure.note) or "")
    return failure
end

-- The mask of the kinds that this worker tells. A worker without a function for
-- ends leaves them to a worker that has one.
function _M.kinds()
    return FAILURES + (vm.master_exit and bit_of(MASTER_EXIT) or 0)
end

-- Whether there is any event, also of a kind that this worker does not tell.
function _M.is_any()
    return taken[1] ~= nil or lib.wm_events_owed(vm.node, ALL) ~= 0
end

-- Tells an event of one of these kinds. The caller has the lock.
function _M.tell_event(e)
    if e.kind == MASTER_EXIT then
        tell.master_exit(e.generation, e.spell,
                         e.counts.reason == constants.REASON_CRASH)
    else
        tell.worker_failed(make_failure(e))
    end
end

-- Tells the failures that were taken to make room. The caller has the lock.
function _M.tell_taken()
    while taken[1] do
        tell.worker_failed(table.remove(taken, 1))
    end
end

local function tell_all()
    _M.tell_taken()
    for _ = 1, MOST do
        if lib.wm_event_take(vm.node, _M.kinds(), event) ~= 1 then
            return
        end
        _M.tell_event(event)
    end
end

-- Tells the events that are owed, in a timer, which waits for the lock.
function _M.tell()
    if (telling and lock.is_in_use())
       or (not taken[1] and lib.wm_events_owed(vm.node, _M.kinds()) == 0) then
        return
    end
    telling = true
    local ok, err = lock.acquire_polling(lock.EVENTS)
    if ok then
        tell_all()
        lock.release()
    else
        log.complain("events of other workers stay owed: ", err)
    end
    telling = false
end

-- A crash keeps its record until it is taken. If the table is full, this
-- function takes crashes at once; the first timer tells of them.
function _M.make_room()
    for _ = 1, MOST do
        if lib.wm_event_take(vm.node, CRASHES, event) ~= 1 then
            return
        end
        taken[#taken + 1] = make_failure(event)
    end
end

return _M
