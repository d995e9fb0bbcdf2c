-- SPDX-License-Identifier: Apache-2.0

-- One function for each kind of event: it gets the facts of the event, and
-- calls the user's function for it. The caller has the lock, and sees to it
-- that each event is told once.

local callback = require "resty.worker.manager.callback"
local counts = require "resty.worker.manager.counts"
local libwm = require "resty.worker.manager.libwm"
local log = require "resty.worker.manager.log"
local vm = require "resty.worker.manager.vm"

local lib = libwm.lib
local tonumber = tonumber

local _M = {}

-- The fifth argument of a callback: facts that the first four do not tell.
local function make_info(event, generation, reason, spell)
    return {
        event = event, reason = reason,
        generation = tonumber(generation), spell = math.max(spell, 1),
        pid = ngx.worker.pid(),
    }
end

-- The same for an event of this very worker.
local function make_own_info(event, reason, spell)
    local info = make_info(event, vm.generation, reason, spell)
    info.slot = vm.worker and lib.wm_worker_slot(vm.worker)
    info.role = not vm.counted and "helper" or nil
    return info
end

local function run(fn, id, n_prev, n_mine, n_next, info)
    return callback.run(fn, info.event .. " callback of " .. id,
                        id, n_prev, n_mine, n_next, info)
end

-- unclean: how the node's former life ended, if nobody was told. late: true if
-- a worker tells of it. Returns as callback.run.
function _M.master_start(start_cb, unclean, late)
    local n_prev, _, n_next = counts.of(vm.generation)
    local info = make_info("master_start", vm.generation, vm.reason, 1)
    info.unclean, info.late = unclean, late
    return run(start_cb, info.generation, n_prev, 0, n_next, info)
end

-- A generation's spell has ended. crashed: its workers were killed, and a
-- worker of another generation tells of it.
function _M.master_exit(generation, spell, crashed)
    local n_prev, _, n_next, reason = counts.of(generation)
    if vm.retires and reason == "stop" then
        reason = "retire" -- its replacement goes on
    end
    local info = make_info("master_exit", generation,
                           crashed and "crash" or reason, spell)
    run(vm.master_exit, info.generation, n_prev, 0, n_next, info)
end

-- late: true if the worker serves by now. Returns as callback.run.
function _M.worker_start(start_cb, late, n_prev, n_mine, n_next, reason, spell)
    local info = make_own_info("worker_start", reason, spell)
    info.late = late
    return run(start_cb, vm.id, n_prev, n_mine, n_next, info)
end

function _M.worker_exit(n_prev, n_mine, n_next, reason, spell)
    run(vm.worker_exit, vm.id, n_prev, n_mine, n_next,
        make_own_info("worker_exit", reason, spell))
end

-- failure: id, generation, pid, slot, spell, reason, role, was_draining, cause,
-- witness, signal, exit_code and note of the worker that crashed or stalled.
function _M.worker_failed(failure)
    local n_prev, n_mine, n_next = counts.of(failure.generation)
    local info = make_info("worker_failed", failure.generation,
                           failure.reason, failure.spell)
    info.pid, info.slot, info.role = failure.pid, failure.slot, failure.role
    info.was_draining, info.note = failure.was_draining, failure.note
    info.cause, info.witness = failure.cause, failure.witness
    info.signal, info.exit_code = failure.signal, failure.exit_code
    run(vm.on_worker_failed, failure.id, n_prev, n_mine, n_next, info)
end

-- This worker has come back from a stall.
function _M.worker_recovered()
    log.warn("worker ", vm.id, " recovered")
    local n_prev, n_mine, n_next, _, spell = counts.of(vm.generation)
    run(vm.on_worker_recovered, vm.id, n_prev, n_mine, n_next,
        make_own_info("worker_recovered", "recovered", spell))
end

local function run_with_term(name, term)
    callback.run(vm[name], name .. " callback of term " .. term, term)
end

-- This worker leads from now on.
function _M.leader(term)
    run_with_term("on_leader", term)
end

-- This worker leads no more.
function _M.leader_lost(term)
    run_with_term("on_leader_lost", term)
end

return _M
