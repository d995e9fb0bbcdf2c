-- SPDX-License-Identifier: Apache-2.0

-- A worker's life up to its exit: it joins, starts, and beats in a timer, which
-- also tells its callbacks of events.

local ffi = require "ffi"
local constants = require "resty.worker.manager.constants"
local exit = require "resty.worker.manager.exit"
local file = require "resty.worker.manager.file"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local owed = require "resty.worker.manager.owed"
local own = require "resty.worker.manager.own"
local start = require "resty.worker.manager.start"
local vm = require "resty.worker.manager.vm"

local lib, strerror, sized = libwm.lib, libwm.strerror, libwm.sized
local error, pcall, require = error, pcall, require

local ENOBUFS, EUCLEAN = constants.errno.ENOBUFS, constants.errno.EUCLEAN
local NEVER = 0xffffffff -- ms
local SINGLE = constants.nginx.PROCESS_SINGLE
local ROLE_WORKER, ROLE_HELPER = constants.ROLE_WORKER, constants.ROLE_HELPER

pcall(require, "ngx.process") -- by the master, for all its workers

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
    if not vm.called_back then
        return
    end
    if not start.tell_late_in_turn() then
        own.leads() -- it stands all the same
        return
    end
    if not vm.left then
        owed.tell()
    end
    if vm.worker then
        own.tell()
    end
    if own.leads() then
        file.watch()
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
        log.complain("no heartbeat timer, so that this worker is never called",
                     " stalled: ", err)
        return nil, err
    end
    return true
end

--------------------------------------------------------------------- start

local function process()
    local ok, found = pcall(require, "ngx.process")
    return ok and found or {}
end

local function is_helper()
    local kind = process().type
    return kind ~= nil and kind() == "privileged agent"
end

-- A worker that asks nginx to end it is replaced. Else a lone one that ends
-- would look the same as a stop.
local function notice_retirement()
    local functions = process()
    local signal = functions.signal_graceful_exit
    if not signal then
        return
    end
    functions.signal_graceful_exit = function(...)
        if vm.worker and not ngx.worker.exiting() then
            vm.retires = lib.wm_worker_retire(vm.worker) == 0
        end
        return signal(...)
    end
end

-- Has this worker say itself what ends it.
local function record_end()
    local rc = vm.record_end and lib.wm_worker_record_end(vm.worker) or 0
    if rc < 0 then
        log.warn("worker ", vm.id, " will not say what ends it: ",
                 strerror(rc))
    end
end

-- overdue_ms: without a timer a worker is not judged by time.
local function join(overdue_ms)
    local worker = ffi.new("wm_worker *[1]")
    local opts = sized("struct wm_join_options", {
        role = vm.counted and ROLE_WORKER or ROLE_HELPER,
        overdue_ms = overdue_ms, expected = ngx.worker.count(),
        -- One that is its own master may have been forked, to be a daemon.
        master = libwm.nginx("ngx_process") == SINGLE and ngx.worker.pid() or 0,
    })
    local rc = lib.wm_worker_join(vm.node, vm.generation, opts, worker)
    if rc == -ENOBUFS and vm.called_back then -- else nobody would be told
        owed.make_room()
        rc = lib.wm_worker_join(vm.node, vm.generation, opts, worker)
    end
    if rc == 0 then
        vm.worker = worker[0]
        record_end()
        return true
    end
    local err = rc == -ENOBUFS
                and "the table is full of living workers, raise the option"
                    .. " 'capacity' at the next start of nginx"
                or strerror(rc)
    log.complain("worker ", vm.id, " is not tracked: ", err)
    return nil, err
end

local function tell_start(start_cb)
    local held, why, hopeless = lock.acquire_asleep(lock.WORKER_START, 0)
    if held then
        local ok, err = start.tell(start_cb)
        lock.release()
        if not ok then
            error(err, 0)
        end
        return true
    end
    if vm.worker then
        start.become_live(0)
    end
    if hopeless then
        log.not_given("worker_start", vm.id, why)
        return nil, why
    end
    start.postpone(start_cb, why)
    return true
end

function _M.start(start_cb, exit_cb)
    vm.id = libwm.worker_id(vm.generation, ngx.worker.pid())
    vm.worker_exit = exit_cb
    vm.counted = not is_helper()
    vm.called_back = vm.counted or vm.privileged_agent
    notice_retirement()
    local armed, timer_err = arm_timers()
    if not armed then
        vm.start_timeout = 0 -- no timer could tell of a late start
    end
    local joined, join_err = join(armed and vm.overdue or NEVER)
    if vm.called_back then
        local ok, err = tell_start(start_cb)
        if not ok then
            return nil, err
        end
    elseif joined then
        start.become_live(0)
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
