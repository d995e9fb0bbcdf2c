-- SPDX-License-Identifier: Apache-2.0

-- The costs of calls inside an nginx worker, in nanoseconds of its CPU: the
-- median of some rounds, after the compiler has seen the loop.

local ffi = require("ffi")

ffi.cdef([[
    struct bench_timespec { long tv_sec; long tv_nsec; };
    int clock_gettime(int id, struct bench_timespec *ts);
]])

local MONOTONIC = 1
local THREAD_CPUTIME = 3
local ROUNDS = 7

local _M = {}

local time = ffi.new("struct bench_timespec")

local function read(clock)
    ffi.C.clock_gettime(clock, time)
    return tonumber(time.tv_sec) * 1e9 + tonumber(time.tv_nsec)
end

function _M.now()
    return read(MONOTONIC)
end

-- run(calls): each has a loop of its own, which is then compiled for it.
local function cost(run, calls)
    local rounds = {}
    run(math.min(calls, 1000))
    for i = 1, ROUNDS do
        local began = read(THREAD_CPUTIME)
        run(calls)
        rounds[i] = (read(THREAD_CPUTIME) - began) / calls
    end
    table.sort(rounds)
    return rounds[(ROUNDS + 1) / 2]
end

function _M.beat()
    local beat = require("resty.worker.manager").beat
    return cost(function(calls)
        for _ = 1, calls do
            beat()
        end
    end, 1e6)
end

function _M.incr()
    local dict = ngx.shared.bench
    dict:set("number", 0)
    return cost(function(calls)
        for _ = 1, calls do
            dict:incr("number", 1)
        end
    end, 1e5)
end

function _M.old(workers)
    local dict, old = ngx.shared.bench, require("old")
    old.fill(dict, workers)
    return cost(function(calls)
        for _ = 1, calls do
            old.beat(dict, "1-1001")
        end
    end, math.max(20, math.floor(20000 / workers)))
end

return _M
