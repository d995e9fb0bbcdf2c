-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- The numbers that a callback sees. Each function here returns n_prev, n_mine,
-- n_next, the name of the reason, and the spell.

local ffi = require "ffi"
local libwm = require "resty.worker.manager.libwm"
local vm = require "resty.worker.manager.vm"

local lib, reason_of = libwm.lib, libwm.reason

-- Where the library writes them. They are read before anything else runs.
local out = ffi.new("struct wm_counts")

local _M = {}

-- The library says -1 where there is no such generation.
local function or_nil(n)
    if n >= 0 then
        return n
    end
    return nil
end

local function values(counts)
    return or_nil(counts.previous), counts.mine, or_nil(counts.next),
           reason_of(counts.reason), counts.spell
end

-- As the callbacks of a generation see it now.
function _M.of(generation)
    lib.wm_generation_counts(vm.node, generation, out)
    return values(out)
end

-- As an event says that its callback is to see it.
function _M.of_event(event)
    return values(event.counts)
end

-- As this worker sees its generation if the library does not count it, because
-- it is untracked or a helper. n_mine includes it, and is `least` or more.
function _M.with_me(least)
    local n_prev, n_mine, n_next, reason, spell = _M.of(vm.generation)
    return n_prev, math.max(n_mine + 1, least), n_next, reason, spell
end

return _M
