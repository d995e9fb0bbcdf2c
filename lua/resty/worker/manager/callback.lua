-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- What a callback is called with, and how it is run.

local ffi = require "ffi"
local libwm = require "resty.worker.manager.libwm"
local log = require "resty.worker.manager.log"
local vm = require "resty.worker.manager.vm"

local lib = libwm.lib
local tonumber, xpcall, tostring = tonumber, xpcall, tostring

local REASONS = {
    [0] = "unknown", "start", "reload", "upgrade", "respawn", "rollback",
    "stop", "crash",
}

-- The one set of counts: whoever fills it runs its callback at once.
local counts = ffi.new("struct wm_counts")

local _M = { counts = counts }

function _M.reason(number)
    return REASONS[tonumber(number)] or REASONS[0]
end

-- -1 of the library is "there is none".
local function or_nil(n)
    if n >= 0 then
        return tonumber(n)
    end
    return nil
end

function _M.worker_id(generation, pid)
    return tonumber(generation) .. "-" .. tonumber(pid)
end

-- What the four arguments before it cannot say, from `counts`.
function _M.facts(what, generation)
    return {
        event = what,
        reason = _M.reason(counts.reason),
        generation = tonumber(generation),
        spell = math.max(tonumber(counts.spell), 1),
        pid = ngx.worker.pid(),
    }
end

-- Runs one with what `counts` says; false and the error if it raised.
function _M.run(fn, id, info)
    if not fn then
        return true
    end
    local function complain(err)
        log.complain("the ", info.event, " callback of ", id, " raised: ",
                     debug.traceback(tostring(err), 2))
        return err
    end
    return xpcall(fn, complain, id, or_nil(counts.previous),
                  or_nil(counts.mine), or_nil(counts.next), info)
end

-- The two that take a term. An error ends here.
function _M.run_leader(name, term)
    local fn = vm[name]
    if not fn then
        return
    end
    xpcall(fn, function(err)
        log.complain("the ", name, " callback of term ", term, " raised: ",
                     debug.traceback(tostring(err), 2))
    end, term)
end

-- The end of a generation's spell. reason: nil for what `counts` says.
function _M.run_master_exit(generation, spell, reason)
    lib.wm_generation_counts(vm.node, generation, counts)
    counts.mine, counts.spell = 0, spell
    local info = _M.facts("master_exit", generation)
    info.reason = reason or info.reason
    _M.run(vm.master_exit, info.generation, info)
end

return _M
