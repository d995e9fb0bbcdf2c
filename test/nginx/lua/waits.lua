-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- Waits for the lifecycle lock outside nginx, on a node of its own: what is
-- nginx's has a stand-in here. Prints what the test with the name in arg[1]
-- compares.

local ffi = require "ffi"

ffi.cdef [[
int wmt_socketpair(int domain, int type, int protocol, int *fds)
    __asm__("socketpair");
long wmt_send(int fd, const void *message, size_t size, int flags)
    __asm__("send");
int ngx_channel;
]]

local AF_UNIX, SOCK_STREAM, EBUSY, ETIMEDOUT = 1, 1, 16, 110

-- luacheck: globals ngx
ngx = {
    log = print, config = { subsystem = "http" },
}

local libwm = require "resty.worker.manager.libwm"
local vm = require "resty.worker.manager.vm"
local real = libwm.lib

-- The library, of whose functions a test may replace some.
local lib = setmetatable({}, { __index = real })
libwm.lib = lib

local function check(rc)
    if rc < 0 then
        error(libwm.strerror(rc), 2)
    end
end

-- This process is a worker of a node of its own, and has the lock.
local function make_node()
    local node, id = ffi.new("wm_node *[1]"), ffi.new("uint64_t[1]")
    local worker = ffi.new("wm_worker *[1]")
    check(real.wm_node_attach(ffi.new("struct wm_node_options", {
        size = ffi.sizeof("struct wm_node_options"), instance = "waits",
        directory = ".", capacity = 8,
    }), node))
    check(real.wm_generation_begin(node[0], id, nil))
    check(real.wm_worker_join(node[0], id[0],
                              ffi.new("struct wm_join_options", {
        size = ffi.sizeof("struct wm_join_options"), overdue_ms = 1000000,
    }), worker))
    check(real.wm_lock_try(node[0], 1, 0))
    vm.node, vm.worker, vm.interval = node[0], worker[0], 1000
    vm.lock_timeout = 4000000000
end

local function release_node()
    check(real.wm_worker_leave(vm.worker))
    check(real.wm_node_release(vm.node))
end

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

-- Prints how many bytes the 10,000 slices after the first 2,000 allocate.
local function measure(acquire, ...)
    collectgarbage()
    collectgarbage("stop")
    assert(acquire(...))
    print((after - before) * 1024)
end

local tests = {}

-- nginx's channel has a message in it that is no order to end.
function tests.asleep()
    make_node()
    local fds, message = ffi.new("int[2]"), ffi.new("uintptr_t[4]", 1)
    check(ffi.C.wmt_socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
    assert(ffi.C.wmt_send(fds[1], message, ffi.sizeof(message), 0) == 32)
    ffi.C.ngx_channel = fds[0]
    local lock = require "resty.worker.manager.lock"
    lib.wm_lock_acquire = function(_, options)
        assert(options.wait_ms == 100 and options.purpose == 3)
        return is_last_slice() and 0 or -ETIMEDOUT
    end
    measure(lock.acquire_asleep, lock.WORKER_EXIT, 0)
    release_node()
end

function tests.polling()
    make_node()
    local lock = require "resty.worker.manager.lock"
    ngx.sleep = function()
        if is_last_slice() then
            real.wm_lock_release(vm.node)
        end
    end
    measure(lock.acquire_polling, lock.EVENTS)
    release_node()
end

-- Two timers poll in turn. The clock is ours, and one holder, who has not said
-- since when, has the lock for ever. The second wait begins later: it is later,
-- too, that it ends.
function tests.interleaved()
    local now, ended = 5000ULL, {}
    vm.node, vm.lock_timeout = nil, 1000
    lib.wm_now = function() return now end
    lib.wm_lock_try = function() return -EBUSY end
    lib.wm_lock_inspect = function(_, holder)
        holder.pid, holder.sequence, holder.held_ms = 1, 7, 0
    end
    ngx.sleep = coroutine.yield
    local lock = require "resty.worker.manager.lock"
    local function waiter(name)
        return coroutine.create(function()
            assert(not lock.acquire_polling(lock.EVENTS))
            ended[#ended + 1] = name .. " after " .. tostring(now - 5000)
        end)
    end
    local waits = { waiter("first"), waiter("second") }
    while now < 8000ULL do
        for i, co in ipairs(waits) do
            if now >= 5000 + 500 * (i - 1)
               and coroutine.status(co) == "suspended" then
                assert(coroutine.resume(co))
            end
        end
        now = now + 100
    end
    print(table.concat(ended, ", "))
end

tests[arg[1]]()
