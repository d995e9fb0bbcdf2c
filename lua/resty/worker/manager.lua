-- SPDX-License-Identifier: Apache-2.0

-- Tracks the workers of an nginx: which ones run, in which generation, and how
-- each one ended; and runs callbacks, one at a time over all processes, as they
-- start and exit. libwm does all that is exact about it; the files in manager/
-- bind it to nginx's phases and timers:
--
--   init_by_lua*          attach, begin a generation, master start  node.lua
--   init_worker_by_lua*   join, heartbeat timer                     worker.lua
--                         worker start                              start.lua
--   timer, every interval beat; sweep if it is this worker's turn   worker.lua
--                         tell the events of others                 owed.lua
--                         tell of recovery and lead                 own.lua
--   timer, premature      the shutdown begins: worker exit, master  exit.lua
--                         exit
--   exit_worker_by_lua*   tell what the timer could not; leave      exit.lua
--   the VM is closed      the same, less the callbacks (a fast stop node.lua
--                         without the directive, a failed reload,
--                         the end)
--   any                   workers(), leader(), events(), ...        view.lua
--
-- lua/README.md has the order of the files: none requires one above it.

-- A worker copies each page of the Lua heap that it writes to, and as it ends
-- nginx frees all that is in the heap. So the garbage of loading is collected
-- as it arises, and lies on no pages of its own. (If one of these raises, nginx
-- does not start.)
local pause = collectgarbage("setpause", 100)

local constants = require "resty.worker.manager.constants"
local exit = require "resty.worker.manager.exit"
local libwm = require "resty.worker.manager.libwm"
local log = require "resty.worker.manager.log"
local node = require "resty.worker.manager.node"
local options = require "resty.worker.manager.options"
local view = require "resty.worker.manager.view"
local vm = require "resty.worker.manager.vm"
local worker = require "resty.worker.manager.worker"

collectgarbage("setpause", pause)

local type, error = type, error

local SIGNALLER = constants.nginx.PROCESS_SIGNALLER

local _M = {
    version = "1.0.0",
    beat = view.beat,
    counts = view.counts,
    events = view.events,
    generations = view.generations,
    leader = view.leader,
    note = view.note,
    workers = view.workers,
}

local function check_phase(name, wanted)
    local phase = ngx.get_phase()
    if phase ~= wanted then
        error("worker manager: " .. name .. " belongs into " .. wanted
              .. "_by_lua*, not into " .. phase, 3)
    end
end

local function check_callback(what, fn)
    if fn ~= nil and type(fn) ~= "function" then
        error("worker manager: the " .. what
              .. " callback must be a function or nil, not " .. type(fn), 3)
    end
end

-- `nginx -s` is no server, nor is `nginx -t` of a version that runs
-- init_by_lua* for it.
local function is_server()
    return libwm.nginx("ngx_process") ~= SIGNALLER
           and (libwm.nginx("ngx_test_config") or 0) == 0
end

local initialized = false

function _M.on_init_by_lua(opts, start_cb, exit_cb)
    check_phase("on_init_by_lua", "init")
    check_callback("master start", start_cb)
    check_callback("master exit", exit_cb)
    opts = options.check(opts, log.warn, 2)
    if initialized then
        error("worker manager: on_init_by_lua called twice", 2)
    end
    initialized = true
    vm.interval, vm.lock_timeout = opts.interval, opts.lock_timeout
    vm.start_timeout = opts.start_timeout
    vm.overdue = opts.interval + opts.failed
    vm.master_exit = exit_cb
    vm.privileged_agent = opts.privileged_agent
    vm.record_end = opts.record_end
    for _, name in ipairs { "on_worker_failed", "on_worker_recovered",
                            "on_leader", "on_leader_lost" } do
        vm[name] = opts[name]
    end
    if not is_server() then
        return true
    end
    local begun, err = node.begin(opts)
    if begun == nil then
        log.complain(err)
        return nil, err
    end
    if not begun then
        return true
    end
    return node.start(start_cb, node.report(opts))
end

function _M.on_init_worker_by_lua(start_cb, exit_cb)
    check_phase("on_init_worker_by_lua", "init_worker")
    check_callback("worker start", start_cb)
    check_callback("worker exit", exit_cb)
    if not initialized then
        error("worker manager: on_init_worker_by_lua needs on_init_by_lua in"
              .. " init_by_lua* first", 2)
    end
    if vm.id then
        error("worker manager: on_init_worker_by_lua called twice", 2)
    end
    if not vm.node then
        return nil, "the node could not be made, see the log above"
    end
    return worker.start(start_cb, exit_cb)
end

function _M.on_exit_worker_by_lua()
    check_phase("on_exit_worker_by_lua", "exit_worker")
    if not vm.id or vm.left then
        return true
    end
    return exit.exit()
end

return _M
