-- SPDX-License-Identifier: Apache-2.0

-- Membership and heartbeats without libwm: all workers lie in one entry of a
-- shared dictionary, as JSON, which is read and written as a whole under a lock
-- that is an entry, too.

local ffi = require("ffi")
local json = require("cjson")

ffi.cdef("int usleep(unsigned int us);")

local _M = {}

-- A worker that starts or exits cannot yield: it sleeps.
local function lock(dict)
    while not dict:add("lock", true, 5) do
        ffi.C.usleep(1000)
    end
end

local function change(dict, how)
    lock(dict)
    local workers = json.decode(dict:get("workers") or "{}")
    how(workers)
    dict:set("workers", json.encode(workers))
    dict:delete("lock")
end

local function worker(pid)
    return {
        id = pid - 1000, pid = pid, master = 1, beat = ngx.now(),
        started = ngx.now(), failed = false,
    }
end

-- A table of so many workers, as the workers would have made it.
function _M.fill(dict, count)
    local workers = {}
    for pid = 1001, 1000 + count do
        workers["1-" .. pid] = worker(pid)
    end
    dict:set("workers", json.encode(workers))
end

function _M.beat(dict, id)
    change(dict, function(workers)
        workers[id].beat = ngx.now()
    end)
end

-- The calling worker's start, and its exit.
function _M.join(dict)
    local pid = ngx.worker.pid()
    change(dict, function(workers)
        workers["1-" .. pid] = worker(pid)
    end)
end

function _M.leave(dict)
    change(dict, function(workers)
        workers["1-" .. ngx.worker.pid()] = nil
    end)
end

return _M
