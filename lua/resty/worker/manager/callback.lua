-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- What a callback is called with, and how it is run.

local ffi = require "ffi"
local constants = require "resty.worker.manager.constants"
local libwm = require "resty.worker.manager.libwm"
local log = require "resty.worker.manager.log"
local vm = require "resty.worker.manager.vm"

local lib = libwm.lib
local tonumber, xpcall, tostring = tonumber, xpcall, tostring

local REASONS, REASON_NONE = constants.REASONS, constants.REASON_NONE

-- The one set of counts: whoever fills it runs its callback at once.
local counts = ffi.new("struct wm_counts")

local _M = { counts = counts }

function _M.reason(number)
    return number ~= REASON_NONE and REASONS[number] or "unknown"
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

local has_base, base = pcall(require, "resty.core.base")
local request = has_base and base.get_request or coroutine.running

-- ngx.exit() would end the light thread, and with it what has to follow on the
-- callback. Elsewhere it works meanwhile, and this one, too, afterwards.
-- luacheck: globals ngx.exit
local function refuse_exit()
    local own, exit, active = request(), ngx.exit, true
    local function refuse(...)
        if active and request() == own then
            error("ngx.exit() in a callback of the worker manager:"
                  .. " return instead", 2)
        end
        return exit(...)
    end
    ngx.exit = refuse
    return function()
        active = false
        if ngx.exit == refuse then
            ngx.exit = exit
        end
    end
end

-- In a light thread of its own: an error in a coroutine.wrap() passes by every
-- xpcall and ends the thread that it is in.
local function in_thread(fn, complain, ...)
    local ran, ok, err = ngx.thread.wait(ngx.thread.spawn(function(...)
        return xpcall(fn, complain, ...)
    end, ...))
    if not ran then
        return false, complain(ok or "its thread was ended, see above")
    end
    return ok, err
end

-- Returns true, or false and the error, whatever the function does.
local function call(fn, complain, ...)
    local restore = refuse_exit()
    local way = ngx.get_phase() == "timer" and in_thread or xpcall
    local ok, err = way(fn, complain, ...)
    restore()
    return ok, err
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
    return call(fn, complain, id, or_nil(counts.previous),
                or_nil(counts.mine), or_nil(counts.next), info)
end

-- The two that take a term. An error ends here.
function _M.run_leader(name, term)
    local fn = vm[name]
    if not fn then
        return
    end
    call(fn, function(err)
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
