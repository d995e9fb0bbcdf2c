-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- What a worker is told of itself: that it came back from a stall, that it
-- leads, that it leads no more.

local ffi = require "ffi"
local callback = require "resty.worker.manager.callback"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local vm = require "resty.worker.manager.vm"

local lib = libwm.lib
local counts = callback.counts
local tonumber = tonumber

local leader = ffi.new("struct wm_leader")
local recoveries = 0 -- to be told
local giving = false -- by a thread that may have been ended

local _M = {}

-- The term that this worker leads with, or nil. Asking is standing.
local function term()
    if vm.worker and lib.wm_leader_stand(vm.worker, leader) == 1 then
        return tonumber(leader.term)
    end
    return nil
end

-- Under the lock.
function _M.tell_recoveries()
    recoveries = recoveries + lib.wm_worker_recoveries(vm.worker)
    while recoveries > 0 do
        recoveries = recoveries - 1
        log.warn("worker ", vm.id, " recovered")
        lib.wm_generation_counts(vm.node, vm.generation, counts)
        local info = callback.facts("worker_recovered", vm.generation)
        info.reason = "recovered"
        info.slot = tonumber(lib.wm_worker_slot(vm.worker))
        callback.run(vm.on_worker_recovered, vm.id, info)
    end
end

local function is_asked_for()
    return vm.on_leader or vm.on_leader_lost
end

-- Under the lock. The lead may change while a callback runs.
function _M.tell_leader()
    local now = term()
    while is_asked_for() and now ~= vm.leading do
        if vm.leading then
            local lost = vm.leading
            vm.leading = nil
            callback.run_leader("on_leader_lost", lost)
        else
            vm.leading = now
            callback.run_leader("on_leader", now)
        end
        now = term()
    end
end

-- Where the lock is not to be had as this worker exits.
function _M.not_given(err)
    recoveries = recoveries + lib.wm_worker_recoveries(vm.worker)
    for _ = 1, recoveries do
        log.not_given("worker_recovered", vm.id, err)
    end
    recoveries = 0
    if is_asked_for() and vm.leading then
        log.not_given("leader_lost", vm.leading, err)
        vm.leading = nil
    end
end

-- In a timer, after each beat. Stands for the lead in any case.
function _M.give()
    recoveries = recoveries + lib.wm_worker_recoveries(vm.worker)
    local changed = term() ~= vm.leading and is_asked_for()
    if (giving and lock.is_in_use()) or (recoveries == 0 and not changed) then
        return
    end
    giving = true
    local ok, err = lock.yielding(lock.OWN_EVENTS)
    if ok then
        if vm.worker then
            _M.tell_recoveries()
            _M.tell_leader()
        end
        lock.release()
    else
        log.complain("what this worker is to be told waits: ", err)
    end
    giving = false
end

return _M
