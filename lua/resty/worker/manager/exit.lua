-- SPDX-License-Identifier: Apache-2.0

-- A worker's exit. The library returns the events that are to be told, one at a
-- time, and changes the state of the worker's record in between (wm_exit_next).
-- The callbacks run under the lock, in a timer as the shutdown begins, or else
-- in exit_worker_by_lua*; the state changes even if the worker does not get the
-- lock.

local constants = require "resty.worker.manager.constants"
local counts = require "resty.worker.manager.counts"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local owed = require "resty.worker.manager.owed"
local own = require "resty.worker.manager.own"
local start = require "resty.worker.manager.start"
local tell = require "resty.worker.manager.tell"
local vm = require "resty.worker.manager.vm"

local lib, nginx, bit_of = libwm.lib, libwm.nginx, libwm.bit_of
local MOST = libwm.MOST
local tonumber = tonumber

local CLOSED = constants.CLOSED
local RECOVERED = constants.EVENT_RECOVERED
local WORKER_EXIT = constants.EVENT_WORKER_EXIT
local DRAINED = constants.EVENT_DRAINED
local OWN = bit_of(RECOVERED) + bit_of(WORKER_EXIT) + bit_of(DRAINED)

-- On a fast stop nginx kills a worker after a second or so. A fast stop may
-- follow on a graceful one, and cannot reach a worker that waits asleep.
local SHORT_WAIT_MS = 500
local LONG_SECONDS = 0.5 -- between two looks whether all others have started
local MOMENT_MS = 1000 -- for those of which it is not known

local event = libwm.sized("struct wm_event")

local _M = {}

local function tell_worker_exit(...)
    -- The mark comes first, so the callback runs once, whatever it does.
    vm.exit_told = true
    tell.worker_exit(...)
end

local function tell_uncounted_exit()
    tell_worker_exit(counts.with_me())
end

local function tell_event()
    local kind = event.kind
    if kind == WORKER_EXIT then
        if vm.counted then
            tell_worker_exit(counts.of_event(event))
        else
            tell_uncounted_exit()
        end
    elseif kind == RECOVERED then
        tell.worker_recovered()
    elseif kind == DRAINED then
        own.tell_leader_lost()
    else
        owed.tell_event(event)
    end
end

-- If a generation has no function for its end, no worker of it can tell of the
-- end. If such an end stayed owed, it would keep the segment after the last
-- process has ended, and the next start of nginx would report it as lost.
local function drop_ends()
    for _ = 1, MOST do
        if lib.wm_generation_take_exit(vm.node, vm.generation, nil) ~= 1 then
            return
        end
    end
end

-- The caller has the lock.
local function tell_all()
    -- A callback may yield, and a heartbeat that finds the segment damaged
    -- gives vm.worker up. The handle itself stays good.
    local worker = vm.worker
    if worker and lib.wm_exit_begin(worker, OWN + owed.kinds()) == 0 then
        owed.tell_taken()
        while lib.wm_exit_next(worker, event) == 1 do
            tell_event()
        end
        if not vm.master_exit then
            drop_ends()
        end
    end
    -- The worker is untracked, or the segment was damaged just now.
    if not vm.exit_told then
        tell_uncounted_exit()
    end
end

local has_closed = false -- its generation, since the timer has told all

-- The worker exits without the lock.
local function exit_untold(err)
    if not vm.exit_told then
        vm.exit_told = true
        log.not_given("worker_exit", vm.id, err)
    end
    local worker = vm.worker
    if worker and lib.wm_exit_begin(worker, 0) == 0 then
        own.not_given(err)
        local is_last = lib.wm_exit_next(worker, event) == CLOSED or has_closed
        start.not_given(is_last, err)
        if is_last then
            log.complain("not given yet: master_exit of ",
                         tonumber(vm.generation), ": ", err)
        end
    end
end

-- Whether another generation's workers are to start before this worker's exit.
-- since: when its shutdown began.
local function has_to_wait(since)
    local awaited = lib.wm_starts_awaited(vm.node, vm.generation)
    local most = awaited == 1 and vm.lock_timeout or MOMENT_MS
    return awaited ~= 0 and lib.wm_now() - since < most
end

-- Acquires the lock for the exit. Old workers have time, new ones serve nobody
-- until they have started; and a reload may begin while this worker waits for
-- its turn. If the worker is to end at once, exit_worker_by_lua* overtakes this
-- wait.
local function acquire_in_turn()
    local since = lib.wm_now()
    local round, part = lock.round(), lock.place()
    while true do
        while not vm.left and has_to_wait(since) do
            if vm.worker then
                lib.wm_tick(vm.worker, vm.interval)
            end
            -- It beats in between.
            ngx.sleep(math.min(round * part, vm.overdue / 2000))
            round, part = math.min(round * 1.2, LONG_SECONDS), 1
        end
        local ok, err = lock.acquire_polling(lock.WORKER_EXIT)
        if not ok or not has_to_wait(since) then
            return ok, err
        end
        lock.release()
    end
end

local shutting_down = false
local told_all = false -- of what there was as the shutdown began

-- Runs the exit in a timer that fires as the shutdown begins.
function _M.on_shutdown()
    if shutting_down or vm.left then
        return
    end
    shutting_down = true
    local ok, err = acquire_in_turn()
    if vm.left then
        return -- exit_worker_by_lua* has overtaken this timer
    end
    if not ok then
        exit_untold(err)
        return
    end
    start.tell_late()
    tell_all()
    told_all = true
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

-- Whether there is anything to tell since the timer has told all: the worker
-- closes its generation if it is the last one by now.
local function has_more()
    local worker = vm.worker
    if worker and lib.wm_exit_begin(worker, 0) == 0 then
        has_closed = lib.wm_exit_next(worker, event) == CLOSED
    end
    return owed.is_any()
end

local function exit()
    local was_told = vm.exit_told
    if told_all and not has_more() then
        return true
    end
    local ok, err = lock.acquire_asleep(lock.WORKER_EXIT, patience())
    if ok then
        start.end_late()
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

-- Runs in exit_worker_by_lua*: tells the events that the timer could not tell,
-- and leaves. A callback that calls it does not run it again.
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
