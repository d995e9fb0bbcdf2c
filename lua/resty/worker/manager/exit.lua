-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- A worker's exit. Its callbacks run under the lock, in a timer as the shutdown
-- begins, or else in exit_worker_by_lua*; the state of its record changes
-- whether or not the lock is to be had.

local ffi = require "ffi"
local constants = require "resty.worker.manager.constants"
local counts = require "resty.worker.manager.counts"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local owed = require "resty.worker.manager.owed"
local own = require "resty.worker.manager.own"
local tell = require "resty.worker.manager.tell"
local vm = require "resty.worker.manager.vm"

local lib, nginx = libwm.lib, libwm.nginx
local tonumber = tonumber

local CLOSED = constants.CLOSED

-- On a fast stop nginx kills a worker after a second or so. A fast stop may
-- follow on a graceful one, and cannot reach a worker that waits asleep.
local SHORT_WAIT_MS = 500

local spell = ffi.new("uint32_t[1]")

local _M = {}

local function tell_worker_exit()
    if vm.exit_told then
        return
    end
    -- The mark comes first: whatever the callback does, it runs once.
    vm.exit_told = true
    tell.worker_exit(counts.at_exit())
end

-- The caller has the lock. The order matters: nobody else may be left to tell
-- the failures of others; a stall of this worker's own is over before its exit;
-- a worker that has drained is counted no more and leads no more; only then is
-- it known whether it was the last.
local function tell_all()
    -- A callback may yield, and a heartbeat that finds the segment damaged
    -- gives vm.worker up. The handle itself stays good.
    local worker = vm.worker
    if not worker then
        tell_worker_exit()
        return
    end
    lib.wm_beat(worker)
    owed.tell_held()
    own.tell_recoveries()
    tell_worker_exit()
    lib.wm_worker_drain(worker)
    owed.tell_held() -- what the sweep of the exit has found
    own.tell_leader()
    lib.wm_generation_close(vm.node, vm.generation)
    -- One that an earlier worker of the generation has left owed, too.
    while lib.wm_generation_take_exit(vm.node, vm.generation, spell) == 1 do
        tell.master_exit(vm.generation, spell[0])
    end
end

-- The lock is not to be had.
local function exit_untold(err)
    if not vm.exit_told then
        vm.exit_told = true
        log.not_given("worker_exit", vm.id, err)
    end
    if vm.worker then
        lib.wm_worker_drain(vm.worker)
        own.not_given(err)
        if lib.wm_generation_close(vm.node, vm.generation) == CLOSED then
            log.complain("not given yet: master_exit of ",
                         tonumber(vm.generation), ": ", err)
        end
    end
end

local shutting_down = false

-- In a timer that fires as the shutdown begins.
function _M.on_shutdown()
    if shutting_down or vm.left then
        return
    end
    shutting_down = true
    local ok, err = lock.acquire_polling(lock.WORKER_EXIT)
    if vm.left then
        return -- exit_worker_by_lua* has overtaken this timer
    end
    if not ok then
        exit_untold(err)
        return
    end
    tell_all()
    lock.release()
end

-- Whether nginx ends this process at once.
local function is_fast_stop()
    local terminate = nginx("ngx_terminate")
    if terminate then
        return terminate ~= 0
    end
    return not ngx.worker.exiting()
end

local function patience()
    if vm.terminated then
        return 1
    end
    return (vm.exit_told or is_fast_stop()) and SHORT_WAIT_MS or 0
end

local function exit()
    local was_told = vm.exit_told
    local ok, err = lock.acquire_asleep(lock.WORKER_EXIT, patience())
    if ok then
        tell_all()
        lock.release()
        return true
    end
    exit_untold(err)
    if was_told then
        return true
    end
    return nil, err
end

local exiting = false

-- In exit_worker_by_lua*: tells what the timer could not tell, and leaves. A
-- callback that calls it does not run it again.
function _M.exit()
    if exiting then
        return true
    end
    exiting = true
    local ok, err = true, nil
    if vm.called_back then
        ok, err = exit()
    end
    if vm.worker then
        lib.wm_worker_leave(vm.worker)
        vm.worker = nil
    end
    vm.left = true
    if not ok then
        return nil, err
    end
    return true
end

return _M
