-- SPDX-License-Identifier: Apache-2.0

-- The events of a worker itself between its start and its exit: it came back
-- from a stall, it leads, it leads no more.

local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local tell = require "resty.worker.manager.tell"
local vm = require "resty.worker.manager.vm"

local lib, MOST = libwm.lib, libwm.MOST

local leader = libwm.sized("struct wm_leader")
local telling = false -- true: a thread tells, or was ended while it did

local _M = {}

-- The term that this worker leads with, or nil. The worker stands as it asks.
local function term()
    if vm.worker and lib.wm_leader_stand(vm.worker, leader) == 1 then
        return leader.term
    end
    return nil
end

-- Takes the worker's recoveries, and calls fn(...) for each. A callback may
-- yield, and a heartbeat that finds the segment damaged gives vm.worker up. The
-- handle itself stays good.
local function take_recoveries(worker, fn, ...)
    for _ = 1, MOST do
        if lib.wm_worker_recovery_take(worker) ~= 1 then
            return
        end
        fn(...)
    end
end

local function is_asked_for()
    return vm.on_leader or vm.on_leader_lost
end

-- This worker leads no more. The caller has the lock.
function _M.tell_leader_lost()
    local former = vm.leading
    if is_asked_for() and former then
        vm.leading = nil
        tell.leader_lost(former)
    end
end

-- The lead may change while a callback runs.
local function tell_leader()
    local now = term()
    for _ = 1, MOST do
        if not is_asked_for() or now == vm.leading then
            return
        end
        if vm.leading then
            _M.tell_leader_lost()
        else
            vm.leading = now
            tell.leader(now)
        end
        now = term()
    end
end

-- Logs the events of a worker that exits without the lock.
function _M.not_given(err)
    take_recoveries(vm.worker, log.not_given, "worker_recovered", vm.id, err)
    if is_asked_for() and vm.leading then
        log.not_given("leader_lost", vm.leading, err)
        vm.leading = nil
    end
end

-- Whether this worker leads, and so does what one of all is to do.
function _M.leads()
    return term() ~= nil
end

-- Runs in a timer of a tracked worker, after each beat. The worker stands for
-- the lead whether or not there is a callback for it.
function _M.tell()
    local changed = term() ~= vm.leading and is_asked_for()
    if (telling and lock.is_in_use())
       or (lib.wm_worker_recoveries(vm.worker) == 0 and not changed) then
        return
    end
    telling = true
    local ok, err = lock.acquire_polling(lock.OWN_EVENTS)
    if ok then
        if vm.worker then
            take_recoveries(vm.worker, tell.worker_recovered)
            tell_leader()
        end
        lock.release()
    else
        log.complain("what this worker is to be told waits: ", err)
    end
    telling = false
end

return _M
