-- SPDX-License-Identifier: Apache-2.0

-- A worker's start: in init_worker_by_lua*, or late. A worker that has to wait
-- for too long serves before its start callback, which a timer then runs; a
-- master that has to wait for too long leaves its own to the first worker of
-- its generation.

local constants = require "resty.worker.manager.constants"
local counts = require "resty.worker.manager.counts"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local tell = require "resty.worker.manager.tell"
local vm = require "resty.worker.manager.vm"

local lib, strerror = libwm.lib, libwm.strerror
local tonumber = tonumber

local START = libwm.bit_of(constants.EVENT_WORKER_START)

local event = libwm.sized("struct wm_event")
local telling = false -- true: a timer tells, or was ended while it did

local _M = {}

-- Makes a tracked worker live. kinds: 0 without the lock, else START. Returns
-- whether `event` is its start.
function _M.become_live(kinds)
    local rc = lib.wm_start_begin(vm.worker, kinds)
    if rc == 0 then
        rc = lib.wm_start_next(vm.worker, event)
    end
    if rc < 0 then
        log.complain("worker ", vm.id, " lost its record: ", strerror(rc))
    end
    return rc == 1
end

-- The numbers for the start callback of a worker that the library does not
-- count.
local function own_counts()
    local n_prev, n_mine, n_next, _, spell = counts.with_me()
    return n_prev, n_mine, n_next, vm.reason, spell
end

-- Takes the master's start if it was left to the workers, and no other worker
-- has taken it.
local function take_master_start()
    return lib.wm_generation_take_start(vm.node, vm.generation) == 1
end

local function tell_master_start()
    if take_master_start() then
        lib.wm_sweep(vm.node, nil) -- so that n_prev counts none of the dead
        tell.master_start(vm.master_start, vm.unclean, true)
    end
end

-- The master's lines in init_by_lua* may go to standard error alone. So the
-- first worker says once more how the former life ended.
local function repeat_report(n_mine, reason)
    if vm.former and n_mine == 1 and reason == "start" then
        log.complain(vm.former)
    end
end

-- Tells of the starts that are due: the master's, if it is owed, and then this
-- worker's own. The caller has the lock. Returns as callback.run.
function _M.tell(start_cb)
    local late = vm.late and true or nil
    tell_master_start()
    if late and not vm.late then
        return true -- the worker has ended meanwhile, without its start
    end
    vm.late = nil
    if vm.worker and _M.become_live(START) and vm.counted then
        local n_prev, n_mine, n_next, reason, spell = counts.of_event(event)
        repeat_report(n_mine, reason)
        return tell.worker_start(start_cb, late, n_prev, n_mine, n_next,
                                 reason, spell)
    end
    return tell.worker_start(start_cb, late, own_counts())
end

-- The worker serves before its start callback. why: which process keeps it
-- waiting.
function _M.postpone(start_cb, why)
    log.warn("worker ", vm.id, " serves before its start callback: ", why)
    vm.late, vm.worker_start = why, start_cb
end

-- Tells of a late start, if there is one, before anything else that this worker
-- tells under the lock. The caller has the lock.
function _M.tell_late()
    if vm.late then
        _M.tell(vm.worker_start)
    end
end

-- The same in a timer, which waits for the lock. Returns whether the worker's
-- start is told: before that, it tells of nothing else.
function _M.tell_late_in_turn()
    if not vm.late then
        return true
    end
    if telling and lock.is_in_use() then
        return false
    end
    telling = true
    local ok, why, hopeless = lock.acquire_polling(lock.WORKER_START)
    if ok then
        _M.tell_late()
        lock.release()
    elseif hopeless then
        _M.not_given(false, why)
    elseif not vm.left then
        log.warn("worker ", vm.id, " still waits for its start callback: ", why)
    end
    telling = false
    return ok
end

-- The worker ends, and its own start is not told any more. The caller has the
-- lock.
function _M.end_late()
    if vm.late then
        tell_master_start()
        _M.not_given(false, vm.late)
    end
end

-- No start callback runs any more in this worker. why: nil if nginx's log is
-- closed by now. is_last: no other worker of the generation is left to tell of
-- the master's.
function _M.not_given(is_last, why)
    local say = why and log.not_given or log.not_given_at_close
    if is_last and take_master_start() then
        say("master_start", tonumber(vm.generation), why)
    end
    if vm.late then
        vm.late = nil
        say("worker_start", vm.id, why)
    end
end

return _M
