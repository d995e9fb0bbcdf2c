-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- The lifecycle lock, asleep or polled. Both return true, or false and why
-- not: a holder that keeps it past lock_timeout, or an end of patience.

local ffi = require "ffi"
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

local EDEADLK, ETIMEDOUT = 35, 110
local POLL_SECONDS = 0.02

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

-- In the kernel: for phases in which no event loop waits for us.
-- wait_ms: gives up after so long, 0 never.
function _M.asleep(purpose, wait_ms)
    local rc = lib.wm_lock(vm.node, ffi.new("struct wm_lock_options", {
        size = ffi.sizeof("struct wm_lock_options"), purpose = purpose,
        hold_ms = vm.lock_timeout, wait_ms = wait_ms,
    }))
    if rc == -EDEADLK then
        -- Held by a coroutine of this very process that can never go on: in
        -- these phases no other light thread runs. Its turn is ours.
        return true
    end
    if rc < 0 then
        return false, rc == -ETIMEDOUT and describe_holder() or strerror(rc)
    end
    return true
end

-- For timers: the event loop goes on meanwhile.
function _M.yielding(purpose)
    local sequence, since
    while not vm.left do
        if lib.wm_trylock(vm.node, purpose, 1) >= 0 then
            return true
        end
        if vm.worker then
            lib.wm_tick(vm.worker, vm.interval)
        end
        lib.wm_lock_inspect(vm.node, holder)
        local now = ngx.now()
        if holder.pid == 0 or holder.sequence ~= sequence then
            sequence, since = tonumber(holder.sequence), now
        elseif math.max((now - since) * 1000, tonumber(holder.held_ms))
               > vm.lock_timeout then
            return false, describe_holder()
        end
        ngx.sleep(POLL_SECONDS)
    end
    return false, "this worker has left meanwhile"
end

function _M.release()
    lib.wm_unlock(vm.node)
end

return _M
