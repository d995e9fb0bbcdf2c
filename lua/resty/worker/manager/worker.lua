-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- A worker's part: it joins, starts, beats, exits, leaves; each callback under
-- the lock, each change of state also without it.

local ffi = require "ffi"
local callback = require "resty.worker.manager.callback"
local constants = require "resty.worker.manager.constants"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local owed = require "resty.worker.manager.owed"
local own = require "resty.worker.manager.own"
local vm = require "resty.worker.manager.vm"

local lib, nginx, strerror = libwm.lib, libwm.nginx, libwm.strerror
local counts, facts, run = callback.counts, callback.facts, callback.run
local tonumber, error, pcall, require = tonumber, error, pcall, require

local ENOBUFS, EUCLEAN = constants.errno.ENOBUFS, constants.errno.EUCLEAN
local ROLE_WORKER, ROLE_HELPER = constants.ROLE_WORKER, constants.ROLE_HELPER
-- On a fast stop nginx kills us after a second or so; it may follow on a
-- graceful one, and cannot reach us while we wait.
local SHORT_WAIT_MS = 500

local spell_out = ffi.new("uint32_t[1]")

local _M = {}

---------------------------------------------------------------------- exit

-- Nobody counts an untracked worker or a helper, so it is not the last, either.
local function count_myself_in(least)
    lib.wm_generation_counts(vm.node, vm.generation, counts)
    counts.mine = math.max(counts.mine + 1, least)
end

local function give_worker_exit()
    if vm.exit_given then
        return
    end
    -- The mark comes first: whatever the callback does, there is one only.
    vm.exit_given = true
    if not vm.worker or not vm.counted
       or lib.wm_worker_exit_counts(vm.worker, counts) < 0 then
        count_myself_in(2)
    end
    local info = facts("worker_exit", vm.generation)
    info.slot = vm.worker and tonumber(lib.wm_worker_slot(vm.worker))
    info.role = not vm.counted and "helper" or nil
    run(vm.worker_exit, vm.id, info)
end

-- Under the lock: our own exit, and what is owed to be told of others, who may
-- have no other survivor; then, are we the last? An end that an earlier worker
-- left owed is given here as well.
local function give_exits()
    if not vm.worker then
        give_worker_exit()
        return
    end
    lib.wm_beat(vm.worker)
    owed.give_held()
    own.tell_recoveries()
    give_worker_exit()
    lib.wm_worker_drain(vm.worker)
    owed.give_held() -- what our exit's sweep has found
    own.tell_leader()
    lib.wm_generation_close(vm.node, vm.generation)
    while lib.wm_generation_take_exit(vm.node, vm.generation,
                                      spell_out) > 0 do
        callback.run_master_exit(vm.generation, spell_out[0])
    end
end

-- Where the lock is not to be had: the states change all the same.
local function exit_without_lock(err)
    if not vm.exit_given then
        vm.exit_given = true
        log.not_given("worker_exit", vm.id, err)
    end
    if vm.worker then
        lib.wm_worker_drain(vm.worker)
        own.not_given(err)
        if lib.wm_generation_close(vm.node, vm.generation) > 0 then
            log.complain("not given yet: master_exit of ",
                         tonumber(vm.generation), ": ", err)
        end
    end
end

local shutting_down = false

local function on_shutdown()
    if shutting_down or vm.left then
        return
    end
    shutting_down = true
    local ok, err = lock.yielding(lock.WORKER_EXIT)
    if vm.left then
        return -- exit_worker_by_lua* has overtaken us
    end
    if not ok then
        exit_without_lock(err)
        return
    end
    give_exits()
    lock.release()
end

-- nginx ends this process now.
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
    return (vm.exit_given or is_fast_stop()) and SHORT_WAIT_MS or 0
end

local function exit()
    local given = vm.exit_given
    local ok, err = lock.asleep(lock.WORKER_EXIT, patience())
    if ok then
        give_exits()
        lock.release()
        return true
    end
    exit_without_lock(err)
    if given then
        return true
    end
    return nil, err
end

local exiting = false

-- The last that runs: what the timer could not give, then we leave. Not again
-- where a callback calls it.
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

--------------------------------------------------------------------- start

-- Somebody has written over the segment, and nothing in it means anything any
-- more. Said once: from here on this worker is untracked.
local function give_up(rc)
    log.complain("worker ", vm.id, " is not tracked any more, and no callback",
                 " runs: ", strerror(rc))
    vm.worker = nil
end

local function heartbeat(premature)
    if premature then
        if vm.called_back then
            on_shutdown()
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
        owed.give()
    end
    if vm.called_back and vm.worker then
        own.give()
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

local function is_helper()
    local ok, process = pcall(require, "ngx.process")
    return ok and process.type() == "privileged agent"
end

local function join()
    local worker = ffi.new("wm_worker *[1]")
    local opts = ffi.new("struct wm_join_options", {
        size = ffi.sizeof("struct wm_join_options"),
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

-- LIVE from here on, whether we have the lock or not.
local function count_start()
    local rc = vm.worker and lib.wm_worker_start(vm.worker, counts)
    if rc == 0 and vm.counted then
        return callback.reason(counts.reason)
    end
    if rc and rc < 0 then
        log.complain("worker ", vm.id, " lost its record: ", strerror(rc))
    end
    count_myself_in(1)
    return vm.reason
end

local function give_worker_start(start_cb)
    local ok, err = lock.asleep(lock.WORKER_START, 0)
    local reason = count_start()
    if not ok then
        log.not_given("worker_start", vm.id, err)
        return nil, err
    end
    local info = facts("worker_start", vm.generation)
    info.reason = reason
    info.slot = vm.worker and tonumber(lib.wm_worker_slot(vm.worker))
    info.role = not vm.counted and "helper" or nil
    ok, err = run(start_cb, vm.id, info)
    lock.release()
    if not ok then
        error(err, 0)
    end
    return true
end

function _M.start(start_cb, exit_cb)
    vm.id = callback.worker_id(vm.generation, ngx.worker.pid())
    vm.worker_exit = exit_cb
    vm.counted = not is_helper()
    vm.called_back = vm.counted or vm.privileged_agent
    local joined, join_err = join()
    local armed, timer_err = arm_timers()
    if vm.called_back then
        local ok, err = give_worker_start(start_cb)
        if not ok then
            return nil, err
        end
    elseif joined then
        lib.wm_worker_start(vm.worker, counts)
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
