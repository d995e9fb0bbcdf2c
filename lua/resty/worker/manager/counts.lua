-- SPDX-License-Identifier: Apache-2.0

-- The numbers that a callback sees. Each function here returns n_prev, n_mine,
-- n_next, the name of the reason, and the spell.

local ffi = require "ffi"
local libwm = require "resty.worker.manager.libwm"
local vm = require "resty.worker.manager.vm"

local lib, reason_of = libwm.lib, libwm.reason

-- The library writes the numbers here. They are read before anything else runs.
local out = ffi.new("struct wm_counts")

local _M = {}

-- The library says -1 if there is no such generation.
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

-- The numbers as the callbacks of a generation see them now.
function _M.of(generation)
    lib.wm_generation_counts(vm.node, generation, out)
    return values(out)
end

-- The numbers that come with an event.
function _M.of_event(event)
    return values(event.counts)
end

-- The numbers as this worker sees them if the library does not count it,
-- because it is untracked or a helper. n_mine includes it, but is never 1: such
-- a worker is neither the first nor the last.
function _M.with_me()
    local n_prev, n_mine, n_next, reason, spell = _M.of(vm.generation)
    return n_prev, math.max(n_mine + 1, 2), n_next, reason, spell
end

return _M
