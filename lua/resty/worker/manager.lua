-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- Tracks the workers of an nginx: who runs, in which generation, how each one
-- ended; and runs callbacks, one at a time over all processes, as they start
-- and exit. All that is exact about it is done by libwm; this file binds it to
-- nginx's phases and timers.
--
-- Which path a life takes:
--   init_by_lua*          attach, begin a generation, master start
--   init_worker_by_lua*   join, worker start, heartbeat timer
--   timer, every interval beat; sweep if it is our turn; give what is owed
--   timer, premature      the shutdown begins: worker exit, master exit
--   exit_worker_by_lua*   what the timer could not give; leave
--   the VM is closed      what is left of it (a fast stop without the
--                         directive, a failed reload, the end of the node)

local ffi = require "ffi"
local libwm = require "resty.worker.manager.libwm"
local options = require "resty.worker.manager.options"

local lib, nginx, strerror = libwm.lib, libwm.nginx, libwm.strerror
local log, WARN, ERR = ngx.log, ngx.WARN, ngx.ERR
local tonumber, type, error, xpcall = tonumber, type, error, xpcall

local _M = { version = "1.0.0" }

-- Constants of wm.h.
local ADOPT, ANONYMOUS = 1, 2
local SAME = 2
local EDEADLK, ENOBUFS, ETIMEDOUT = 35, 105, 110
local ROLE_WORKER, ROLE_HELPER = 0, 1
local EVENT_MASTER_EXIT, EVENT_CRASHED = 1, 2
local REASONS = {
    [0] = "unknown", "start", "reload", "upgrade", "respawn", "rollback",
    "stop", "crash",
}

-- nginx's ngx_process.
local SIGNALLER = 2

-- What the lock's holder says it does.
local PURPOSES = {
    "master start", "worker start", "worker exit", "events of others",
}
local MASTER_START, WORKER_START, WORKER_EXIT, EVENTS = 1, 2, 3, 4

local POLL_SECONDS = 0.02
local FAST_STOP_MS = 500

local counts = ffi.new("struct wm_counts")
local event = ffi.new("struct wm_event")
local holder = ffi.new("struct wm_lock_holder")
local spell_out = ffi.new("uint32_t[1]")

-- This VM's part: set in init_by_lua*, inherited by the workers. `node` is
-- nil before, and in processes that must not take part; `worker` is nil in
-- the master and after the worker has left.
local self = {}

local function warn(...)
    log(WARN, "worker manager: ", ...)
end

local function complain(...)
    log(ERR, "worker manager: ", ...)
end

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

-- -1 of the library is "there is none".
local function count(n)
    if n >= 0 then
        return tonumber(n)
    end
    return nil
end

local function worker_id(generation, pid)
    return tonumber(generation) .. "-" .. tonumber(pid)
end

-- What the four seed arguments cannot say, from `counts` as just filled.
local function facts(what, generation, reason)
    return {
        event = what,
        reason = REASONS[reason or tonumber(counts.reason)],
        generation = tonumber(generation),
        spell = math.max(tonumber(counts.spell), 1),
        pid = ngx.worker.pid(),
    }
end

-- Runs one callback with what `counts` says; false and the error if it raised.
local function run(fn, id, info)
    if not fn then
        return true
    end
    local ok, err = xpcall(fn, function(err)
        complain("the ", info.event, " callback of ", id, " raised: ",
                 debug.traceback(tostring(err), 2))
        return err
    end, id, count(counts.previous), count(counts.mine), count(counts.next),
       info)
    return ok, err
end

---------------------------------------------------------------------- lock

-- Who keeps us waiting, in words.
local function describe_holder()
    lib.wm_lock_inspect(self.node, holder)
    if holder.pid == 0 then
        return "the lock was free again by then"
    end
    return ("pid %d has held the lock for %.1f s (%s)"):format(
        tonumber(holder.pid), tonumber(holder.held_ms) / 1000,
        PURPOSES[tonumber(holder.purpose)] or "it has not said for what")
end

-- Asleep in the kernel: for phases in which no event loop waits for us.
-- Returns true, or false and why not.
local function lock_asleep(purpose, wait_ms)
    local opts = ffi.new("struct wm_lock_options", {
        size = ffi.sizeof("struct wm_lock_options"), purpose = purpose,
        hold_ms = self.lock_timeout, wait_ms = wait_ms,
    })
    local rc = lib.wm_lock(self.node, opts)
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

-- Polling, for timers: the event loop goes on meanwhile.
local function lock_yielding(purpose)
    local sequence, since
    while true do
        if not self.worker then
            return false, "left meanwhile"
        end
        local rc = lib.wm_trylock(self.node, purpose, 1)
        if rc >= 0 then
            return true
        end
        lib.wm_tick(self.worker, self.interval)
        lib.wm_lock_inspect(self.node, holder)
        local now = ngx.now()
        if holder.pid == 0 or holder.sequence ~= sequence then
            sequence, since = tonumber(holder.sequence), now
        elseif math.max((now - since) * 1000, tonumber(holder.held_ms))
               > self.lock_timeout then
            return false, describe_holder()
        end
        ngx.sleep(POLL_SECONDS)
    end
end

local function unlock()
    lib.wm_unlock(self.node)
end

-------------------------------------------------------------- master start

local function instance_name(opts)
    if opts.name then
        return opts.name
    end
    local subsystem = ngx.config.subsystem
    local key = table.concat({ ngx.config.prefix(), opts.shm, subsystem },
                             "\0")
    return ("%s-%s-%s"):format(opts.shm:gsub("[^%w_-]", "_"):sub(1, 24),
                               subsystem, ngx.md5(key):sub(1, 12))
end

local function attach(opts)
    local flags = ANONYMOUS
    if nginx("ngx_inherited") ~= 0 then
        flags = flags + ADOPT
    end
    local name = instance_name(opts)
    local node = ffi.new("wm_node *[1]")
    local o = ffi.new("struct wm_node_options", {
        size = ffi.sizeof("struct wm_node_options"), flags = flags,
        instance = name, capacity = opts.capacity, mode = opts.mode,
    })
    local rc = lib.wm_node_attach(o, node)
    if rc < 0 then
        return nil, "cannot make the segment: " .. strerror(rc)
    end
    return node[0]
end

-- What an operator should know of how the node came to be. Returns what the
-- first start callback is told of an unclean end.
local function report_node(opts, reason)
    local info = ffi.new("struct wm_node_info",
                         { size = ffi.sizeof("struct wm_node_info") })
    lib.wm_node_describe(self.node, info)
    if info.capacity ~= opts.capacity then
        warn("capacity stays ", tonumber(info.capacity), ", not ",
             opts.capacity, ": it takes effect at the next start of nginx")
    end
    if REASONS[reason] ~= "start" then
        return nil
    end
    if info.anonymous ~= 0 then
        warn("no segment in /dev/shm (", strerror(-info.anonymous),
             "): using anonymous memory, which tools cannot see")
    end
    local p = info.postmortem
    if p.damaged > 0 then
        warn(tonumber(p.damaged), " damaged file(s) found in the place of a",
             " former segment, /dev/shm/wm.", ffi.string(info.instance),
             ".*: this start is as good as without; remove what is left")
    end
    if p.foreign > 0 then
        warn(tonumber(p.foreign), " segment(s) of another user left alone,",
             " /dev/shm/wm.", ffi.string(info.instance),
             ".*: set the option 'name' if two servers share this one")
    end
    if p.segments == 0 then
        return nil
    end
    local unclean = {
        workers = tonumber(p.workers), exits_owed = tonumber(p.exits_owed),
        pid = tonumber(p.pid), generation = tonumber(p.generation),
    }
    complain("not given: the former life of this node ended uncleanly, ",
             unclean.exits_owed, " master exits and ", unclean.workers,
             " worker exits were never told")
    return unclean
end

-- The end of this VM. No ngx.* function may be called here: the request that
-- it would use is gone. nginx leads standard error into its error log.
local function close_vm()
    local node, worker = self.node, self.worker
    if worker then
        local function not_given(what, id)
            io.stderr:write("worker manager: not given: ", what, " of ", id,
                            ", the process ended without a chance to\n")
        end
        if not self.exit_given and self.counted then
            not_given("worker_exit", self.id)
        end
        lib.wm_worker_drain(worker)
        lib.wm_generation_retire(node, self.generation)
        while lib.wm_generation_take_exit(node, self.generation, nil) > 0 do
            not_given("master_exit", tostring(tonumber(self.generation)))
        end
        lib.wm_worker_leave(worker)
    end
    lib.wm_generation_end(node, self.generation)
    lib.wm_node_release(node)
    self.node, self.worker = nil, nil
end

-- Anchored in the registry: whoever unloads this module does not end the node.
local function on_vm_close(fn)
    local anchor = ffi.gc(ffi.new("char[1]"), fn)
    debug.getregistry()[anchor] = anchor
end

local function begin()
    local id, reason = ffi.new("uint64_t[1]"), ffi.new("uint32_t[1]")
    local rc = lib.wm_generation_begin(self.node, id, reason)
    self.generation = id[0]
    on_vm_close(close_vm)
    if rc < 0 then
        return nil, "cannot begin a generation: " .. strerror(rc)
    end
    return rc, tonumber(reason[0])
end

function _M.on_init_by_lua(opts, start_cb, exit_cb)
    check_phase("on_init_by_lua", "init")
    check_callback("master start", start_cb)
    check_callback("master exit", exit_cb)
    opts = options.check(opts, warn, 2)
    if self.initialized then
        error("worker manager: on_init_by_lua called twice", 2)
    end
    self.initialized = true
    self.interval, self.lock_timeout = opts.interval, opts.lock_timeout
    self.overdue = opts.interval + opts.failed
    self.master_exit = exit_cb

    local process, testing = nginx("ngx_process"), nginx("ngx_test_config")
    if process == SIGNALLER or (testing and testing ~= 0) then
        return true -- no server: only asked about, or sent a signal
    end

    local err
    self.node, err = attach(opts)
    if not self.node then
        complain(err)
        return nil, err
    end
    local rc, reason = begin()
    if not rc then
        complain(reason)
        return nil, reason
    end
    if rc == SAME then
        -- lua_code_cache off, or a reload of a single process: this process
        -- is a worker already, and no generation begins.
        return true
    end
    local unclean = report_node(opts, reason)

    local ok
    ok, err = lock_asleep(MASTER_START, 0)
    if not ok then
        complain("not given: master_start of ", tonumber(self.generation),
                 ": ", err)
        return nil, err
    end
    lib.wm_generation_counts(self.node, self.generation, counts)
    counts.spell = 1
    counts.mine = 0
    local info = facts("master_start", self.generation, reason)
    info.unclean = unclean
    ok, err = run(start_cb, info.generation, info)
    unlock()
    if not ok then
        error(err, 0)
    end
    return true
end

---------------------------------------------------------------- the others

-- Gives out what dead workers left: their crashes, and the end of generations
-- that nobody of is left. Without a function for it an end stays owed.
local function give_owed()
    local kinds = 2 ^ EVENT_CRASHED
    if self.master_exit then
        kinds = kinds + 2 ^ EVENT_MASTER_EXIT
    end
    if self.giving or lib.wm_events_owed(self.node, kinds) == 0 then
        return
    end
    self.giving = true
    local ok, err = lock_yielding(EVENTS)
    if not ok then
        complain("events of other workers stay owed: ", err)
    end
    while ok and lib.wm_event_take(self.node, kinds, event) > 0 do
        if event.kind == EVENT_CRASHED then
            complain("worker ", worker_id(event.generation, event.pid),
                     " crashed")
        else
            lib.wm_generation_counts(self.node, event.generation, counts)
            counts.mine, counts.spell = 0, event.spell
            local info = facts("master_exit", event.generation, 7)
            run(self.master_exit, info.generation, info)
        end
    end
    if ok then
        unlock()
    end
    self.giving = false
end

--------------------------------------------------------------- worker exit

local function give_worker_exit()
    if self.exit_given or not self.counted then
        return
    end
    -- The mark comes first: whatever the callback does, there is one only.
    self.exit_given = true
    if lib.wm_worker_exit(self.worker, counts) < 0 then
        lib.wm_generation_counts(self.node, self.generation, counts)
    end
    local info = facts("worker_exit", self.generation)
    info.slot = tonumber(lib.wm_worker_slot(self.worker))
    run(self.worker_exit, self.id, info)
end

-- Under the lock, after our own exit: are we the last? An end that an earlier
-- worker left owed is given here as well.
local function give_master_exit()
    lib.wm_worker_drain(self.worker)
    lib.wm_generation_retire(self.node, self.generation)
    while lib.wm_generation_take_exit(self.node, self.generation,
                                      spell_out) > 0 do
        lib.wm_generation_counts(self.node, self.generation, counts)
        counts.mine, counts.spell = 0, spell_out[0]
        local info = facts("master_exit", self.generation)
        run(self.master_exit, info.generation, info)
    end
end

-- Where the lock is not to be had: the states change all the same.
local function exit_without_lock(err)
    if not self.exit_given and self.counted then
        self.exit_given = true
        complain("not given: worker_exit of ", self.id, ": ", err)
    end
    lib.wm_worker_drain(self.worker)
    if lib.wm_generation_retire(self.node, self.generation) > 0 then
        complain("not given yet: master_exit of ",
                 tonumber(self.generation), ": ", err)
    end
end

local function on_shutdown()
    if not self.worker or self.shutting_down then
        return
    end
    self.shutting_down = true
    if not self.counted then
        return
    end
    local ok, err = lock_yielding(WORKER_EXIT)
    if not self.worker then
        return -- exit_worker_by_lua* has overtaken us
    end
    if not ok then
        exit_without_lock(err)
        return
    end
    give_worker_exit()
    if self.worker then
        give_master_exit()
        unlock()
    end
end

-- nginx ends this process now. Fast: it kills us after a second or so.
local function is_fast_stop()
    local terminate = nginx("ngx_terminate")
    if terminate then
        return terminate ~= 0
    end
    return not ngx.worker.exiting()
end

function _M.on_exit_worker_by_lua()
    check_phase("on_exit_worker_by_lua", "exit_worker")
    if not self.worker then
        return true
    end
    local err, ok = nil, true
    if self.counted then
        ok, err = lock_asleep(WORKER_EXIT,
                              is_fast_stop() and FAST_STOP_MS or 0)
        if ok then
            give_worker_exit()
            give_master_exit()
            unlock()
        else
            exit_without_lock(err)
        end
    end
    lib.wm_worker_leave(self.worker)
    self.worker = nil
    if not ok then
        return nil, err
    end
    return true
end

-------------------------------------------------------------- worker start

local function heartbeat(premature)
    if premature then
        return on_shutdown()
    end
    if self.worker then
        lib.wm_tick(self.worker, self.interval)
        give_owed()
    end
end

local function role()
    local ok, process = pcall(require, "ngx.process")
    if ok and process.type() == "privileged agent" then
        return ROLE_HELPER
    end
    return ROLE_WORKER
end

local function join()
    local worker = ffi.new("wm_worker *[1]")
    local opts = ffi.new("struct wm_join_options", {
        size = ffi.sizeof("struct wm_join_options"), role = role(),
        overdue_ms = self.overdue, expected = ngx.worker.count(),
    })
    local rc = lib.wm_worker_join(self.node, self.generation, opts, worker)
    if rc < 0 then
        return nil, rc
    end
    self.worker = worker[0]
    self.counted = opts.role == ROLE_WORKER
    return true
end

-- `every` and not a chain of `at`: a chain ends for good when nginx once
-- drops a timer for lua_max_running_timers.
local function arm_timers()
    local ok, err = ngx.timer.every(self.interval / 1000, heartbeat)
    if ok then
        ok, err = ngx.timer.at(0, heartbeat)
    end
    if not ok then
        complain("no heartbeat timer: ", err)
        return nil, err
    end
    return true
end

-- The table is full: nobody tracks this worker, but its callback runs.
local function start_untracked(start_cb, rc)
    local reason = rc == -ENOBUFS
                   and "the table is full of living workers, raise the "
                       .. "option 'capacity' at the next start of nginx"
                   or strerror(rc)
    complain("worker ", self.id, " is not tracked: ", reason)
    local ok, err = lock_asleep(WORKER_START, 0)
    if not ok then
        complain("not given: worker_start of ", self.id, ": ", err)
        return nil, err
    end
    lib.wm_generation_counts(self.node, self.generation, counts)
    counts.mine = counts.mine + 1
    ok, err = run(start_cb, self.id,
                  facts("worker_start", self.generation, 0))
    unlock()
    if not ok then
        error(err, 0)
    end
    return nil, reason
end

local function start_tracked(start_cb)
    local armed, timer_err = arm_timers()
    if not self.counted then
        lib.wm_worker_start(self.worker, counts)
        return armed and true or nil, timer_err
    end
    local ok, err = lock_asleep(WORKER_START, 0)
    local rc = lib.wm_worker_start(self.worker, counts)
    if not ok then
        complain("not given: worker_start of ", self.id, ": ", err)
        return nil, err
    end
    if rc < 0 then
        complain("worker ", self.id, " lost its record: ", strerror(rc))
    end
    local info = facts("worker_start", self.generation)
    info.slot = tonumber(lib.wm_worker_slot(self.worker))
    ok, err = run(start_cb, self.id, info)
    unlock()
    if not ok then
        error(err, 0)
    end
    if not armed then
        return nil, timer_err
    end
    return true
end

function _M.on_init_worker_by_lua(start_cb, exit_cb)
    check_phase("on_init_worker_by_lua", "init_worker")
    check_callback("worker start", start_cb)
    check_callback("worker exit", exit_cb)
    if not self.initialized then
        error("worker manager: on_init_worker_by_lua needs on_init_by_lua in"
              .. " init_by_lua* first", 2)
    end
    if self.id then
        error("worker manager: on_init_worker_by_lua called twice", 2)
    end
    if not self.node then
        return nil, "the node could not be made, see the log above"
    end
    self.id = worker_id(self.generation, ngx.worker.pid())
    self.worker_exit = exit_cb
    local ok, rc = join()
    if not ok then
        return start_untracked(start_cb, rc)
    end
    return start_tracked(start_cb)
end

return _M
