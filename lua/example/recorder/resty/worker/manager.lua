-- SPDX-License-Identifier: Apache-2.0

-- The example's recorder. It is found as "resty.worker.manager", loads the
-- real module from the rest of the path, and hands everything through; each
-- callback logs its arguments in one line before it runs.

local name = ...
local rest = package.path:match(";(.*)")
local file = assert(package.searchpath(name, rest))
local manager = assert(loadfile(file))(name, file)


local function recorded(callback)
    return function(id, n_prev, n_mine, n_next, info)
        ngx.update_time()
        ngx.log(ngx.NOTICE, "recorder:",
                " time=", ("%.3f"):format(ngx.now()),
                " event=", info.event,
                " id=", id,
                " n_prev=", n_prev,
                " n_mine=", n_mine,
                " n_next=", n_next,
                " reason=", info.reason,
                " phase=", ngx.get_phase())
        return callback(id, n_prev, n_mine, n_next, info)
    end
end


local recorder = {}


function recorder.on_init_by_lua(opts, start_callback, exit_callback)
    return manager.on_init_by_lua(opts, recorded(start_callback),
                                  recorded(exit_callback))
end


function recorder.on_init_worker_by_lua(start_callback, exit_callback)
    return manager.on_init_worker_by_lua(recorded(start_callback),
                                         recorded(exit_callback))
end


return setmetatable(recorder, { __index = manager })
