-- SPDX-License-Identifier: Apache-2.0

-- Waits for the lifecycle lock, in a timer of a worker. To be required before
-- the module, so that functions of the library can be replaced.

local ffi = require "ffi"

ffi.cdef [[
int wmt_socketpair(int domain, int type, int protocol, int *fds)
    __asm__("socketpair");
long wmt_send(int fd, const void *message, size_t size, int flags)
    __asm__("send");
int ngx_channel;
]]

local AF_UNIX, SOCK_STREAM, EBUSY, ETIMEDOUT = 1, 1, 16, 110

-- luacheck: globals ngx.sleep ngx.worker.pid
local libwm = require "resty.worker.manager.libwm"
local real = libwm.lib
local lib = setmetatable({}, { __index = real })
libwm.lib = lib
local lock = require "resty.worker.manager.lock"
local vm = require "resty.worker.manager.vm"

local slices, before, after = 0, nil, nil

-- To be called in each slice of a wait. Returns whether to end the wait.
local function is_last_slice()
    slices = slices + 1
    if slices == 2000 then
        before = collectgarbage("count")
    elseif slices == 12000 then
        after = collectgarbage("count")
        return true
    end
    return false
end

-- How many bytes the 10,000 slices after the first 2,000 allocate. This process
-- has the lock.
local function measure(acquire, ...)
    assert(real.wm_lock_try(vm.node, 1, 0) >= 0)
    collectgarbage()
    collectgarbage("stop")
    assert(acquire(...))
    collectgarbage("restart")
    real.wm_lock_release(vm.node)
    return (after - before) * 1024
end

local M = {}

-- nginx's channel has a message in it that is no order to end.
function M.asleep()
    local fds, message = ffi.new("int[2]"), ffi.new("uintptr_t[4]", 1)
    assert(ffi.C.wmt_socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0)
    assert(ffi.C.wmt_send(fds[1], message, ffi.sizeof(message), 0) == 32)
    local channel = ffi.C.ngx_channel
    ffi.C.ngx_channel = fds[0]
    lib.wm_lock_acquire = function(_, options)
        assert(options.wait_ms <= 500
               and options.purpose == lock.WORKER_EXIT)
        return is_last_slice() and 0 or -ETIMEDOUT
    end
    local bytes = measure(lock.acquire_asleep, lock.WORKER_EXIT, 0)
    lib.wm_lock_acquire, ffi.C.ngx_channel = nil, channel
    return bytes
end

function M.polling()
    local sleep = ngx.sleep
    ngx.sleep = function()
        if is_last_slice() then
            real.wm_lock_release(vm.node)
        end
    end
    local bytes = measure(lock.acquire_polling, lock.EVENTS)
    ngx.sleep = sleep
    return bytes
end

-- The longest time in a round of 256 workers, one after the other by their
-- pids, in which none of them looks for the first time, in 256ths.
function M.places()
    local pid, places, longest = ngx.worker.pid, { 0, 1 }, 0
    for i = 1, 256 do
        ngx.worker.pid = function() return 30000 + i end
        places[#places + 1] = lock.place()
    end
    ngx.worker.pid = pid
    table.sort(places)
    for i = 2, #places do
        longest = math.max(longest, places[i] - places[i - 1])
    end
    return longest * 256
end

-- Two timers poll in turn. The clock is ours, and one holder, who has not said
-- since when, has the lock for ever. The second wait begins later: it is later,
-- too, that it ends.
function M.interleaved()
    local now, ended = 5000ULL, {}
    local sleep, worker, timeout = ngx.sleep, vm.worker, vm.lock_timeout
    vm.worker, vm.lock_timeout = nil, 1000
    lib.wm_now = function() return now end
    lib.wm_lock_try = function() return -EBUSY end
    lib.wm_lock_inspect = function(_, holder)
        holder.pid, holder.sequence, holder.held_ms = 1, 7, 0
    end
    ngx.sleep = coroutine.yield
    local function waiter(name)
        return coroutine.create(function()
            assert(not lock.acquire_polling(lock.EVENTS))
            ended[#ended + 1] = name .. " after " .. tostring(now - 5000)
        end)
    end
    local first, second = waiter("first"), waiter("second")
    while #ended < 2 do
        coroutine.resume(first)
        if now >= 5500 then
            coroutine.resume(second)
        end
        now = now + 100
    end
    lib.wm_now, lib.wm_lock_try, lib.wm_lock_inspect = nil, nil, nil
    ngx.sleep, vm.worker, vm.lock_timeout = sleep, worker, timeout
    return table.concat(ended, ", ")
end

return M
