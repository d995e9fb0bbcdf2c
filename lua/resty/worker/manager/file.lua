-- SPDX-License-Identifier: Apache-2.0

-- The segment's file, and its directory. The processes of a node do not need
-- the file any more once they have it mapped, but tools find the node by it,
-- and the next start finds out by it how this life ended. So its loss is said
-- once.

local ffi = require "ffi"
local constants = require "resty.worker.manager.constants"
local libwm = require "resty.worker.manager.libwm"
local log = require "resty.worker.manager.log"
local vm = require "resty.worker.manager.vm"

local C, pcall = ffi.C, pcall
local ENOENT = constants.errno.ENOENT

pcall(ffi.cdef, "char *wm_realpath(const char *, char *)"
                .. " __asm__(\"realpath\");")

local info = libwm.sized("struct wm_node_info")
local lost = false

local _M = {}

-- The path without links; as it is if there is none.
local PATH_MAX = 4096
function _M.real_path(path)
    local buffer = ffi.new("char[?]", PATH_MAX)
    return C.wm_realpath(path, buffer) ~= nil and ffi.string(buffer) or path
end

-- The path of the node's file, nil if it is anonymous.
local function path()
    if libwm.lib.wm_node_describe(vm.node, info) ~= 0 or info.name[0] == 0 then
        return nil
    end
    return ffi.string(info.directory) .. "/" .. ffi.string(info.name)
end

-- Not everybody may open the file; only that it is not there matters.
local function is_gone(name)
    local file, _, code = io.open(name, "rb")
    if file then
        file:close()
    end
    return code == ENOENT
end

-- Called by the worker that leads, at each interval.
function _M.watch()
    if lost then
        return
    end
    local name = path()
    if name and is_gone(name) then
        lost = true
        log.warn("the segment's file ", name, " was removed: the node works on,"
                 .. " and a binary upgrade takes it along, but no tool finds"
                 .. " it, and the next start cannot tell how it ended; a"
                 .. " restart makes a file. systemd removes those of a user"
                 .. " who logs out (RemoveIPC=): see the option 'directory'")
    end
end

return _M
