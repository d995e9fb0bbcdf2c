-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- What dead workers left to be told: their crashes, and the end of generations
-- that nobody of is left.

local ffi = require "ffi"
local callback = require "resty.worker.manager.callback"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local vm = require "resty.worker.manager.vm"

local lib = libwm.lib

-- enum wm_event_kind, and its bits.
local MASTER_EXIT, CRASHED = 1, 2
local MASTER_EXIT_BIT, CRASHED_BIT = 2 ^ MASTER_EXIT, 2 ^ CRASHED

local event = ffi.new("struct wm_event")
local giving = false

local _M = {}

local function give()
    if event.kind == CRASHED then
        log.complain("worker ",
                     callback.worker_id(event.generation, event.pid),
                     " crashed")
    else
        callback.run_master_exit(event.generation, event.spell, "crash")
    end
end

-- In a timer. Without a function for it an end stays owed.
function _M.give()
    local kinds = CRASHED_BIT + (vm.master_exit and MASTER_EXIT_BIT or 0)
    if giving or lib.wm_events_owed(vm.node, kinds) == 0 then
        return
    end
    giving = true
    local ok, err = lock.yielding(lock.EVENTS)
    if ok then
        while lib.wm_event_take(vm.node, kinds, event) > 0 do
            give()
        end
        lock.release()
    else
        log.complain("events of other workers stay owed: ", err)
    end
    giving = false
end

-- Crashes that were not told keep their records; where the table is full, they
-- are told here and now. Returns whether there were any.
function _M.make_room()
    local any = false
    while lib.wm_event_take(vm.node, CRASHED_BIT, event) > 0 do
        give()
        any = true
    end
    return any
end

return _M
