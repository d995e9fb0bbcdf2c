-- SPDX-License-Identifier: Apache-2.0

-- Asks whether nginx has told this worker to end at once, while the worker
-- waits asleep and cannot listen. The master tells each worker through a
-- socket, and kills those that do not listen. So this peeks at the messages
-- that wait in the socket, and leaves them to nginx. If a build of nginx hides
-- the socket, the answer is no.

local ffi = require "ffi"
local constants = require "resty.worker.manager.constants"

local C = ffi.C
local tonumber, pcall = tonumber, pcall

-- struct ngx_channel_t begins with the command.
local MESSAGE_SIZE = constants.nginx.MESSAGE_SIZE
local TERMINATE = constants.nginx.CMD_TERMINATE
local SOL_SOCKET = constants.system.SOL_SOCKET
local SO_PEEK_OFF = constants.system.SO_PEEK_OFF
local PEEK = constants.system.MSG_PEEK + constants.system.MSG_DONTWAIT

for _, declaration in ipairs {
    "int ngx_channel;",
    "long wm_recv(int, void *, size_t, int) __asm__(\"recv\");",
    "int wm_setsockopt(int, int, int, const void *, uint32_t)"
    .. " __asm__(\"setsockopt\");",
} do
    pcall(ffi.cdef, declaration)
end

-- This is tried once only, since each failure makes an error message.
local is_visible = pcall(function()
    return C.ngx_channel
end)

local message = ffi.new("uintptr_t[?]", MESSAGE_SIZE / ffi.sizeof("uintptr_t"))
local offset = ffi.new("int[1]")

local function peek_from(fd, at)
    offset[0] = at
    return C.wm_setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, offset, 4) == 0
end

local function peek(at)
    local fd = C.ngx_channel
    if fd <= 0 or not peek_from(fd, at) then
        return false, at
    end
    local found = false
    while not found
          and C.wm_recv(fd, message, MESSAGE_SIZE, PEEK) == MESSAGE_SIZE do
        found = tonumber(message[0]) == TERMINATE
        at = at + MESSAGE_SIZE
    end
    peek_from(fd, -1)
    return found, at
end

local _M = {}

-- at: 0, or where the last look of the same wait has ended: each worker that
-- starts is told of to all others, and nginx reads nothing meanwhile. Returns
-- whether the worker is to end, and where this look has ended.
function _M.says_terminate(at)
    if not is_visible then
        return false, at
    end
    return peek(at)
end

return _M
