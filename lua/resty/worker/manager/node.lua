-- SPDX-License-Identifier: Apache-2.0

-- The master's part: it attaches to the node, begins a generation, reports what
-- an operator should know, and tells of its start. This file also has the last
-- acts of any process, as its VM is closed.

local ffi = require "ffi"
local constants = require "resty.worker.manager.constants"
local file = require "resty.worker.manager.file"
local libwm = require "resty.worker.manager.libwm"
local lock = require "resty.worker.manager.lock"
local log = require "resty.worker.manager.log"
local name = require "resty.worker.manager.name"
local start = require "resty.worker.manager.start"
local tell = require "resty.worker.manager.tell"
local vm = require "resty.worker.manager.vm"

local lib, nginx, strerror = libwm.lib, libwm.nginx, libwm.strerror
local sized, MOST = libwm.sized, libwm.MOST
local tonumber, error = tonumber, error

local ADOPT, ANONYMOUS = constants.NODE_ADOPT, constants.NODE_ANONYMOUS
local CLOSED, IS_WORKER = constants.CLOSED, constants.IS_WORKER
local ENOENT = constants.errno.ENOENT

-- A reload that has another name for its node, or another directory, goes on in
-- the node that nginx has for this subsystem.
local TAGS = { http = 1, stream = 2 }

local LAST_WAIT_MS = 200 -- for the lock, as the VM is closed

local event = sized("struct wm_event")

local _M = {}

local function attach(opts)
    local flags = ANONYMOUS
    if nginx("ngx_inherited") ~= 0 then
        flags = flags + ADOPT
    end
    local instance = name.of(opts)
    local node = ffi.new("wm_node *[1]")
    local rc = lib.wm_node_attach(sized("struct wm_node_options", {
        flags = flags, instance = instance, directory = opts.directory,
        capacity = opts.capacity, mode = opts.mode,
        log_entries = opts.log_entries, tag = TAGS[ngx.config.subsystem],
    }), node)
    if rc < 0 then
        return nil, "cannot make the segment in "
                    .. (opts.directory or "/dev/shm") .. ": " .. strerror(rc)
    end
    return node[0]
end

-- Under the lock: another worker that holds it may be about to tell of these
-- ends.
local function ends_not_given()
    for _ = 1, MOST do
        if lib.wm_generation_take_exit(vm.node, vm.generation, nil) ~= 1 then
            return
        end
        log.not_given_at_close("master_exit", tonumber(vm.generation))
    end
end

-- Runs as the VM is closed. There, a function of ngx may use a request that is
-- gone; and a compiled pairs() loop may never end in some LuaJITs, Debian 12's
-- too (its trace leaves at its own start, is entered anew, and leaves). So this
-- code has none of either.
local function close_worker()
    if vm.id and vm.called_back and not vm.exit_told then
        log.not_given_at_close("worker_exit", vm.id)
    end
    if not vm.worker then
        start.not_given(false)
        return
    end
    if vm.leading and vm.on_leader_lost then
        log.not_given_at_close("leader_lost", vm.leading)
    end
    -- Without events: it drains, and closes its generation if it is the last.
    start.not_given(lib.wm_exit_begin(vm.worker, 0) == 0
                    and lib.wm_exit_next(vm.worker, event) == CLOSED)
    if lock.acquire_at_close(lock.WORKER_EXIT, LAST_WAIT_MS) then
        ends_not_given()
        lock.release()
    end
    lib.wm_worker_leave(vm.worker)
    vm.worker = nil
end

-- Runs in the master after a reload or at its end, in a worker at its end.
local function close()
    close_worker()
    if lib.wm_generation_abandon(vm.node, vm.generation) == CLOSED then
        start.not_given(true)
    end
    lib.wm_node_release(vm.node)
    vm.node = nil
end

-- The registry keeps the anchor: a user who unloads this module does not end
-- the node.
local function on_vm_close(fn)
    local anchor = ffi.gc(ffi.new("char[1]"), fn)
    debug.getregistry()[anchor] = anchor
end

-- Begins a generation. Returns true; false if this process is a worker already
-- (lua_code_cache off, a reload of a single process), and then none begins; or
-- nil and an error.
function _M.begin(opts)
    local err
    vm.node, err = attach(opts)
    if not vm.node then
        return nil, err
    end
    local id, reason = ffi.new("uint64_t[1]"), ffi.new("uint32_t[1]")
    local rc = lib.wm_generation_begin(vm.node, id, reason)
    vm.generation, vm.reason = id[0], libwm.reason(reason[0])
    on_vm_close(close)
    if rc < 0 then
        return nil, "cannot begin a generation: " .. strerror(rc)
    end
    if rc == IS_WORKER then
        local host = lib.wm_node_worker(vm.node)
        vm.host = host ~= nil and host or nil
        return false
    end
    return true
end

local function report_postmortem(instance, directory)
    local p = sized("struct wm_postmortem")
    lib.wm_node_postmortem(vm.node, p)
    local files = ("%s/wm.%s.*"):format(ffi.string(directory),
                                        ffi.string(instance))
    if p.damaged > 0 then
        log.warn(tonumber(p.damaged), " damaged file(s) found in the place of",
                 " a former segment, ", files, ": this start is as good as",
                 " without; remove what is left")
    end
    if p.foreign > 0 then
        log.warn(tonumber(p.foreign), " segment(s) of another user left",
                 " alone, ", files, ": set the option 'name' if two servers",
                 " share this one")
    end
    if p.living > 0 then
        log.note(tonumber(p.living), " other node(s) of this name live, ",
                 files, ": a former life's last processes, or a server that",
                 " shares the option 'name'")
    end
    if p.segments > 0 and p.generation == 0 then
        log.warn(tonumber(p.segments), " former segment(s), ", files,
                 ", could tell nothing, and were removed: of another version",
                 " of libwm, or left before a generation began")
    end
    if p.workers == 0 and p.exits_owed == 0 then
        return nil
    end
    vm.former = ("the former life of this node ended uncleanly, %d master exits"
                 .. " and %d worker exits were never told"):format(
                     tonumber(p.exits_owed), tonumber(p.workers))
    log.complain("not given: ", vm.former)
    return {
        workers = tonumber(p.workers), exits_owed = tonumber(p.exits_owed),
        pid = tonumber(p.pid), generation = tonumber(p.generation),
    }
end

-- Warns of what this configuration asks for and does not get, since the node
-- was made by an earlier one.
local function report_changes(opts, info)
    local function check(what, is, asked)
        if is ~= asked then
            log.warn(what, " stays ", is, ", not ", asked,
                     ": it takes effect at the next start of nginx")
        end
    end
    check("the node's name", ffi.string(info.instance), name.of(opts))
    check("capacity", tonumber(info.capacity), opts.capacity)
    check("log_entries", tonumber(info.log_entries), opts.log_entries)
    if info.name[0] ~= 0 then -- the node has a file
        check("directory", ffi.string(info.directory),
              file.real_path(opts.directory or "/dev/shm"))
        check("mode", ("%04o"):format(info.mode), ("%04o"):format(opts.mode))
    end
end

-- Warns of facts that an operator should know. Returns the facts of an unclean
-- end for the first start callback, or nil.
function _M.report(opts)
    local info = sized("struct wm_node_info")
    lib.wm_node_describe(vm.node, info)
    report_changes(opts, info)
    if vm.reason ~= "start" then
        return nil
    end
    if info.not_adopted == ENOENT then
        log.note("the environment names sockets to inherit, and no node came",
                 " with them: this one begins a node of its own")
    elseif info.not_adopted ~= 0 then
        log.warn("the former binary's node cannot be taken over (",
                 strerror(-info.not_adopted), "): this one begins a node of",
                 " its own")
    end
    if info.anonymous ~= 0 then
        log.warn("no segment in ", ffi.string(info.directory), " (",
                 strerror(-info.anonymous), "): using anonymous memory, which",
                 " tools cannot see")
    end
    return report_postmortem(info.instance, info.directory)
end

-- The master serves nobody, but it reaps and starts workers: so it does not
-- wait for long.
local function leave_start(start_cb, unclean, why)
    if lib.wm_generation_leave_start(vm.node, vm.generation) < 0 then
        return false
    end
    vm.master_start, vm.unclean = start_cb, unclean
    log.warn("the first worker of generation ", tonumber(vm.generation),
             " runs the master's start callback: ", why)
    return true
end

-- unclean: as report() returned it. An error of the callback is raised again.
function _M.start(start_cb, unclean)
    local held, why, hopeless = lock.acquire_asleep(lock.MASTER_START, 0)
    if not held then
        if not hopeless and leave_start(start_cb, unclean, why) then
            return true
        end
        log.not_given("master_start", tonumber(vm.generation), why)
        return nil, why
    end
    lib.wm_sweep(vm.node, nil) -- so that n_prev counts none of the dead
    local ok, err = tell.master_start(start_cb, unclean)
    lock.release()
    if not ok then
        error(err, 0)
    end
    return true
end

return _M
