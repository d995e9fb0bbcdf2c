-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- A worker's life up to its exit: it joins, starts, and beats in a timer, which
-- also tells its callbacks of events.

local ffi = require "ffi"
local constants = require "resty.worker.manager.constants"
local counts = require "resty.worker.manager.counts"
local exit = require "resty.worker.manager.exit"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local owed = require "resty.worker.manager.owed"
local own = require "resty.worker.manager.own"
local tell = require "resty.worker.manager.tell"
local vm = require "resty.worker.manager.vm"

local lib, strerror, sized = libwm.lib, libwm.strerror, libwm.sized
local error, pcall, require = error, pcall, require

local ENOBUFS, EUCLEAN = constants.errno.ENOBUFS, constants.errno.EUCLEAN
local ROLE_WORKER, ROLE_HELPER = constants.ROLE_WORKER, constants.ROLE_HELPER
local START = libwm.bit_of(constants.EVENT_WORKER_START)

local event = sized("struct wm_event")

local _M = {}

---------------------------------------------------------------- heartbeat

-- A process has written over the segment, and nothing in it means anything any
-- more. From here on this worker is untracked; it says so once.
local function give_up(rc)
    log.complain("worker ", vm.id, " is not tracked any more, and no callback",
                 " runs: ", strerror(rc))
    vm.worker = nil
end

local function heartbeat(premature)
    if premature then
        if vm.called_back then
            exit.on_shutdown()
        end
        return
    end
    if vm.worker then
        local rc = lib.wm_tick(vm.worker, vm.interval)
        if rc == -EUCLEAN then
            give_up(rc)
        end
    end
    if vm.called_back and not vm.left then
        owed.tell()
    end
    if vm.called_back and vm.worker then
        own.tell()
    end
end

-- `every` and not a chain of `at`: a chain ends for good when nginx once
-- drops a timer for lua_max_running_timers.
local function arm_timers()
    local ok, err = ngx.timer.every(vm.interval / 1000, heartbeat)
    if ok then
        ok, err = ngx.timer.at(0, heartbeat)
    end
    if not ok then
        log.complain("no heartbeat timer: ", err)
        return nil, err
    end
    return true
end

--------------------------------------------------------------------- start

local function is_helper()
    local ok, process = pcall(require, "ngx.process")
    return ok and process.type() == "privileged agent"
end

local function join()
    local worker = ffi.new("wm_worker *[1]")
    local opts = sized("struct wm_join_options", {
        role = vm.counted and ROLE_WORKER or ROLE_HELPER,
        overdue_ms = vm.overdue, expected = ngx.worker.count(),
    })
    local rc = lib.wm_worker_join(vm.node, vm.generation, opts, worker)
    if rc == -ENOBUFS then
        owed.make_room()
        rc = lib.wm_worker_join(vm.node, vm.generation, opts, worker)
    end
    if rc == 0 then
        vm.worker = worker[0]
        return true
    end
    local err = rc == -ENOBUFS
                and "the table is full of living workers, raise the option"
                    .. " 'capacity' at the next start of nginx"
                or strerror(rc)
    log.complain("worker ", vm.id, " is not tracked: ", err)
    return nil, err
end

-- Makes a tracked worker live. kinds: 0 without the lock, else START. Returns
-- whether `event` is its start.
local function become_live(kinds)
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
    local n_prev, n_mine, n_next, _, spell = counts.with_me(1)
    return n_prev, n_mine, n_next, vm.reason, spell
end

local function tell_start(start_cb)
    local held, why = lock.acquire_asleep(lock.WORKER_START, 0)
    local is_live = vm.worker and become_live(held and START or 0)
    if not held then
        log.not_given("worker_start", vm.id, why)
        return nil, why
    end
    local ok, err
    if is_live and vm.counted then
        ok, err = tell.worker_start(start_cb, counts.of_event(event))
    else
        ok, err = tell.worker_start(start_cb, own_counts())
    end
    lock.release()
    if not ok then
        error(err, 0)
    end
    return true
end

function _M.start(start_cb, exit_cb)
    vm.id = libwm.worker_id(vm.generation, ngx.worker.pid())
    vm.worker_exit = exit_cb
    vm.counted = not is_helper()
    vm.called_back = vm.counted or vm.privileged_agent
    local joined, join_err = join()
    local armed, timer_err = arm_timers()
    if vm.called_back then
        local ok, err = tell_start(start_cb)
        if not ok then
            return nil, err
        end
    elseif joined then
        become_live(0)
    end
    if not joined then
        return nil, join_err
    end
    if not armed then
        return nil, timer_err
    end
    return true
end

return _M
