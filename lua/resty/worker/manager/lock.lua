-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- The lifecycle lock, asleep or polled. Both return true, or false and why
-- not: a holder that keeps it past lock_timeout, or an end of patience.

local ffi = require "ffi"
local channel = require "resty.worker.manager.channel"
local constants = require "resty.worker.manager.constants"
local libwm = require "resty.worker.manager.libwm"
local vm = require "resty.worker.manager.vm"

local lib, strerror = libwm.lib, libwm.strerror
local tonumber = tonumber

local _M = {
    -- What the holder does, as its holder record says.
    MASTER_START = 1, WORKER_START = 2, WORKER_EXIT = 3, EVENTS = 4,
    OWN_EVENTS = 5,
}
local PURPOSES = {
    "master start", "worker start", "worker exit", "events of others",
    "events of its own",
}

local EDEADLK, ETIMEDOUT = constants.errno.EDEADLK, constants.errno.ETIMEDOUT
local EINPROGRESS = constants.errno.EINPROGRESS
local EUCLEAN = constants.errno.EUCLEAN
local POLL_SECONDS = 0.02
local NEXT_SECONDS = 0.001 -- at first, where the next turn is ours
local SLICE_MS = 100 -- of a sleep, after which we look whether to end at once
local LAST_MS = 400 -- to wait from then on

local holder = ffi.new("struct wm_lock_holder")

-- Who keeps us waiting, in words.
local function describe_holder()
    lib.wm_lock_inspect(vm.node, holder)
    if holder.pid == 0 then
        return "the lock was free again by then"
    end
    return ("pid %d has held the lock for %.1f s (%s)"):format(
        tonumber(holder.pid), tonumber(holder.held_ms) / 1000,
        PURPOSES[tonumber(holder.purpose)] or "it has not said for what")
end

-- Whether one holder is past lock_timeout, asked from time to time. It is timed
-- from when it was first seen where it has not said since when.
local function patience()
    local sequence, since
    return function()
        lib.wm_lock_inspect(vm.node, holder)
        local now = tonumber(lib.wm_now())
        if holder.pid == 0 or holder.sequence ~= sequence then
            sequence, since = tonumber(holder.sequence), now
            return false
        end
        return math.max(now - since, tonumber(holder.held_ms))
               > vm.lock_timeout
    end
end

-- In the kernel: for phases in which no event loop waits for us.
-- wait_ms: gives up after so long, 0 never.
function _M.asleep(purpose, wait_ms)
    local is_past, now = patience(), tonumber(lib.wm_now())
    local limit = wait_ms > 0 and now + wait_ms or math.huge
    while true do
        local options = ffi.new("struct wm_lock_options", {
            size = ffi.sizeof("struct wm_lock_options"), purpose = purpose,
            hold_ms = vm.lock_timeout,
            wait_ms = math.min(SLICE_MS, math.max(limit - now, 1)),
        })
        local rc = lib.wm_lock_acquire(vm.node, options)
        if rc >= 0 or rc == -EDEADLK then
            -- The latter: held by a coroutine of this very process that can
            -- never go on: in these phases no other light thread runs. Its
            -- turn is ours.
            return true
        end
        if rc ~= -ETIMEDOUT then
            return false, strerror(rc)
        end
        now = tonumber(lib.wm_now())
        if now >= limit or is_past() then
            return false, describe_holder()
        end
        if limit == math.huge and channel.says_terminate() then
            limit = now + LAST_MS
            vm.terminated = true
        end
    end
end

-- ngx.exit() may end the light thread that has the lock, if it was kept by the
-- callback's author from before: the end of its request gives the lock back.
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

local polled = 0

-- For timers: the event loop goes on meanwhile.
function _M.yielding(purpose)
    local is_past, nap = patience(), NEXT_SECONDS
    while not vm.left do
        polled = tonumber(lib.wm_now())
        local rc = lib.wm_lock_try(vm.node, purpose, 1)
        if rc == -EUCLEAN then
            return false, strerror(rc)
        end
        if rc >= 0 then
            if has_base then
                pcall(guard_hold) -- some build may hide the function
            end
            return true
        end
        if vm.worker then
            lib.wm_tick(vm.worker, vm.interval)
        end
        if is_past() then
            return false, describe_holder()
        end
        -- Most turns are short; who waits for a long one looks less often.
        local is_next = rc == -EINPROGRESS
        ngx.sleep(is_next and nap or POLL_SECONDS)
        nap = is_next and math.min(nap * 1.5, POLL_SECONDS) or nap
    end
    return false, "this worker has left meanwhile"
end

-- Whether a light thread of this process has the lock, or is after it.
function _M.is_in_use()
    lib.wm_lock_inspect(vm.node, holder)
    return holder.own == 1 or tonumber(lib.wm_now()) - polled < 1000
end

function _M.release()
    lib.wm_lock_release(vm.node)
end

return _M
