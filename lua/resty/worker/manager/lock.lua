-- SPDX-License-Identifier: Apache-2.0

-- The lifecycle lock, under which callbacks run one at a time. A process
-- acquires it asleep, or a timer polls for it. Both functions return true, or
-- false and the reason: one holder has kept it for longer than lock_timeout, or
-- the caller has waited for long enough; or, with a third value, true, the
-- segment is damaged, and waiting leads to nothing.
--
-- A wait is a row of looks at the lock. A look allocates nothing, but that the
-- interpreter boxes numbers of 64 bits, as compiled code does not. The two
-- structs below serve all waits, since no other coroutine runs between the
-- moment that one is filled and the moment that it is read. A wait keeps all
-- that it remembers from one look to the next in its own locals: a timer that
-- polls sleeps in between, and another wait may look meanwhile.

local ffi = require "ffi"
local channel = require "resty.worker.manager.channel"
local constants = require "resty.worker.manager.constants"
local counts = require "resty.worker.manager.counts"
local libwm = require "resty.worker.manager.libwm"
local log = require "resty.worker.manager.log"
local vm = require "resty.worker.manager.vm"

local lib, strerror, sized = libwm.lib, libwm.strerror, libwm.sized
local tonumber = tonumber
local huge, max, min = math.huge, math.max, math.min

local EDEADLK, ETIMEDOUT = constants.errno.EDEADLK, constants.errno.ETIMEDOUT
local EINPROGRESS = constants.errno.EINPROGRESS
local ESRCH, EUCLEAN = constants.errno.ESRCH, constants.errno.EUCLEAN

local _M = {
    -- The purposes of the lock. Tools know their names.
    MASTER_START = constants.PURPOSE_MASTER_START,
    WORKER_START = constants.PURPOSE_WORKER_START,
    WORKER_EXIT = constants.PURPOSE_WORKER_EXIT,
    EVENTS = constants.PURPOSE_EVENTS,
    OWN_EVENTS = constants.PURPOSE_OWN_EVENTS,
}
local PURPOSES = {
    [_M.MASTER_START] = "master start", [_M.WORKER_START] = "worker start",
    [_M.WORKER_EXIT] = "worker exit", [_M.EVENTS] = "events of others",
    [_M.OWN_EVENTS] = "events of its own",
}

-- An exit sleeps for a moment at its first look, and at the others as long as
-- the lock passes on between them: so that needs no timer, since most callbacks
-- are short. Behind a long one it only looks.
local MOMENT_MS = 1
-- One that has the next turn, or looks for all, looks again soon.
local SOON_SECONDS, SOON_MOST = 0.001, 0.005
-- Of the others one looks in each half of a millisecond, however many there
-- are: when those that look soon have had the lock, nothing else tells that it
-- is free. Each has a place of its own in their round, by its pid: multiples of
-- the golden ratio that follow on each other lie evenly between whole numbers.
local EACH_SECONDS, POLL_MOST = 0.0005, 0.2
local GOLDEN = 0.6180339887
-- A sleep is cut into slices, the first ones short: after each the worker looks
-- whether nginx ends it, which kills those that do not in a second and a half.
local SLICE_MS, SLICE_MOST = 100, 500
local LAST_MS = 400 -- to wait once it must end
local SLOW_MS = 1000 -- a wait that is worth a warning

local holder = sized("struct wm_lock_holder")
local options = sized("struct wm_lock_options")

-- Says in words which process keeps the caller waiting.
local function describe_holder()
    lib.wm_lock_inspect(vm.node, holder)
    if holder.pid == 0 then
        return "the lock was free again by then"
    end
    return ("pid %d has held the lock for %.1f s (%s)"):format(
        holder.pid, tonumber(holder.held_ms) / 1000,
        PURPOSES[holder.purpose] or "it has not said for what")
end

pcall(ffi.cdef, "int kill(int pid, int signal);")

-- A dead holder has the lock no more: one of those that wait is about to find
-- that.
local function is_dead(pid)
    return ffi.C.kill(pid, 0) ~= 0 and ffi.errno() == ESRCH
end

-- Whether one holding of the lock is longer than lock_timeout. The caller keeps
-- the two values that follow and hands them in again: the sequence number of
-- the holding, and the time when the caller first saw it. That time counts as
-- the holding's beginning if the holder has not said when it began.
local function is_held_too_long(now, sequence, since)
    lib.wm_lock_inspect(vm.node, holder)
    if holder.pid == 0 or holder.sequence ~= sequence then
        return false, holder.sequence, now
    end
    local held = max(now - since, tonumber(holder.held_ms))
    return held > vm.lock_timeout and not is_dead(holder.pid), sequence, since
end

local function is_start(purpose)
    return purpose == _M.MASTER_START or purpose == _M.WORKER_START
end

-- Whether the holder at the last look starts a worker of this generation, or is
-- its master: however many there are, none is to be overtaken.
local function is_kin()
    return is_start(holder.purpose) and holder.generation == vm.generation
end

-- Warns if the callbacks of others have held this process up.
local function warn_of_wait(purpose, began, last)
    local waited = tonumber(lib.wm_now()) - began
    if waited >= SLOW_MS then
        log.warn(("waited %.1f s for the callbacks of others (%s), at last for"
                  .. " pid %d"):format(waited / 1000, PURPOSES[purpose], last))
    end
end

-- Acquires the lock, asleep in the kernel, in a phase in which no event loop
-- waits for this thread. wait_ms: the longest wait; 0: no such limit. A start
-- waits no longer than start_timeout for others than its own generation's
-- starts.
function _M.acquire_asleep(purpose, wait_ms)
    local began = tonumber(lib.wm_now())
    local now, for_others = began, 0
    local limit = wait_ms > 0 and began + wait_ms or huge
    local most = is_start(purpose) and vm.start_timeout > 0 and vm.start_timeout
                 or huge
    local past, sequence, since
    local slice, heard = SLICE_MS, 0
    while true do
        -- A worker that is to end is no start to which others should give way.
        options.purpose = vm.terminated and _M.WORKER_EXIT or purpose
        options.hold_ms = vm.lock_timeout
        options.wait_ms = min(slice, max(limit - now, 1),
                              max(most - for_others, 1))
        slice = min(slice * 2, SLICE_MOST)
        local rc = lib.wm_lock_acquire(vm.node, options)
        if rc >= 0 or rc == -EDEADLK then
            -- -EDEADLK: a coroutine of this very process has the lock, and
            -- never goes on, since no other light thread runs in these phases.
            -- So this one takes its turn.
            warn_of_wait(purpose, began, holder.pid)
            return true
        end
        if rc ~= -ETIMEDOUT then
            return false, strerror(rc), true
        end
        local before = now
        now = tonumber(lib.wm_now())
        past, sequence, since = is_held_too_long(now, sequence, since)
        if holder.purpose ~= 0 and not is_kin() then
            for_others = for_others + now - before
        end
        if now >= limit then
            return false, describe_holder()
        end
        if past or for_others >= most
           or (is_start(purpose) and holder.sequence == vm.stuck) then
            vm.stuck = sequence
            return false, describe_holder()
        end
        -- In a master this is the channel of the worker that it started last.
        if limit == huge and vm.id then
            vm.terminated, heard = channel.says_terminate(heard)
            limit = vm.terminated and now + LAST_MS or huge
        end
    end
end

-- Acquires the lock as the VM is closed, where no function of ngx may be called
-- (log.lua): so without a warning, or a look whether nginx ends the process.
function _M.acquire_at_close(purpose, wait_ms)
    options.purpose = purpose
    options.hold_ms, options.wait_ms = wait_ms, wait_ms
    local rc = lib.wm_lock_acquire(vm.node, options)
    return rc >= 0 or rc == -EDEADLK
end

-- A callback may have kept the real ngx.exit() from before, and so may end the
-- light thread that has the lock. Then the end of the thread's request releases
-- the lock.
local has_base, base = pcall(require, "resty.core.base")
pcall(ffi.cdef, [[
typedef struct {
    void (*handler)(void *data);
    void *data;
    void *next;
} wm_ngx_cleanup;
wm_ngx_cleanup *wm_ngx_cleanup_add(void *r, size_t size)
    __asm__("ngx_http_cleanup_add");
]])

local function guard_hold()
    local request = base.get_request()
    if request == nil or ngx.config.subsystem ~= "http" then
        return
    end
    local cleanup = ffi.C.wm_ngx_cleanup_add(request,
                                             ffi.sizeof("struct wm_lock_hold"))
    if cleanup ~= nil then
        lib.wm_lock_hold_note(vm.node, ffi.cast("struct wm_lock_hold *",
                                                cleanup.data))
        cleanup.handler = lib.wm_lock_hold_release
    end
end

-- The seconds of a round, in which each worker of this generation looks once.
function _M.round()
    local _, waiting = counts.of(vm.generation)
    return max(waiting * EACH_SECONDS, SOON_SECONDS)
end

-- This worker's place in a round, from 0 to 1: when it looks first.
function _M.place()
    return ngx.worker.pid() * GOLDEN % 1
end

-- One look by a timer. moves: the lock passes on. Returns as wm_lock_try().
local function try(purpose, moves)
    if purpose == _M.WORKER_EXIT and moves then
        options.purpose = purpose
        options.hold_ms, options.wait_ms = 0, MOMENT_MS
        local rc = lib.wm_lock_acquire(vm.node, options)
        if rc ~= -ETIMEDOUT then
            return rc
        end
    end
    return lib.wm_lock_try(vm.node, purpose, 1)
end

local polled = 0 -- time of the last try by a timer of this process

-- Acquires the lock in a timer: the event loop goes on between two looks.
function _M.acquire_polling(purpose)
    local soon, round, part = SOON_SECONDS, nil, _M.place()
    local began, last = tonumber(lib.wm_now()), 0
    local past, sequence, since
    local moves = true
    while not vm.left do
        local now = tonumber(lib.wm_now())
        polled = now
        local rc = try(purpose, moves)
        if rc == -EUCLEAN then
            return false, strerror(rc), true
        end
        if rc >= 0 then
            warn_of_wait(purpose, began, last)
            if has_base then
                pcall(guard_hold) -- some build may hide the function
            end
            return true
        end
        if vm.worker then
            lib.wm_tick(vm.worker, vm.interval)
        end
        past, sequence, since = is_held_too_long(now, sequence, since)
        if past then
            return false, describe_holder()
        end
        moves = since == now
        last = holder.pid ~= 0 and holder.pid or last
        -- Most turns are short. A worker that waits for a long one looks less
        -- often, until the lock has passed on.
        if rc == -EINPROGRESS then
            ngx.sleep(soon)
            soon = min(soon * 1.5, SOON_MOST)
        else
            if moves or not round then
                round = _M.round()
            end
            ngx.sleep(min(round * part, POLL_MOST, vm.overdue / 2000))
            round, part = round * 1.5, 1
        end
    end
    return false, "this worker has left meanwhile"
end

-- Whether a light thread of this process has the lock, or polls for it.
function _M.is_in_use()
    lib.wm_lock_inspect(vm.node, holder)
    return holder.own == 1 or tonumber(lib.wm_now()) - polled < 1000
end

function _M.release()
    lib.wm_lock_release(vm.node)
end

return _M
