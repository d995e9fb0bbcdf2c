-- SPDX-License-Identifier: Apache-2.0

-- A heartbeat without libwm: all workers lie in one entry of a shared
-- dictionary, as JSON, which is read and written as a whole under a lock that
-- is an entry, too.

local json = require("cjson")

local _M = {}

local function lock(dict)
    while not dict:add("lock", true, 5) do
        ngx.sleep(0.001)
    end
end

-- A table of so many workers, as the workers would have made it.
function _M.fill(dict, count)
    local workers = {}
    for i = 1, count do
        workers["1-" .. 1000 + i] = {
            id = i, pid = 1000 + i, master = 1, beat = ngx.now(),
            started = ngx.now(), failed = false,
        }
    end
    dict:set("workers", json.encode(workers))
end

function _M.beat(dict, id)
    lock(dict)
    local workers = json.decode(dict:get("workers"))
    workers[id].beat = ngx.now()
    dict:set("workers", json.encode(workers))
    dict:delete("lock")
end

return _M
