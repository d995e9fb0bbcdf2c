-- SPDX-License-Identifier: Apache-2.0

-- The name of the instance: what tells the node of this nginx from those of
-- others.

local ffi = require "ffi"

local C = ffi.C
local pcall = pcall

for _, declaration in ipairs {
    "extern int wm_ngx_argc __asm__(\"ngx_argc\");",
    "extern char **wm_ngx_argv __asm__(\"ngx_argv\");",
    "char *wm_getcwd(char *, size_t) __asm__(\"getcwd\");",
} do
    pcall(ffi.cdef, declaration)
end

-- The last letter of an argument may have a value, in the same argument or in
-- the next one.
local OPTION = "^%-[^pecgs]*([pecgs])(.*)"

-- The file that -c names; nil if there is none, or if this build hides what
-- nginx was called with.
local function option_c()
    local ok, argc, argv = pcall(function()
        return C.wm_ngx_argc, C.wm_ngx_argv
    end)
    local found, i = nil, 1
    while ok and i < argc do
        local letter, value = ffi.string(argv[i]):match(OPTION)
        if letter and value == "" then
            i = i + 1
            value = i < argc and ffi.string(argv[i]) or nil
        end
        if letter == "c" then
            found = value
        end
        i = i + 1
    end
    return found
end

-- The whole path, without dots. Links stay as they are: one may lead elsewhere
-- at the next reload, and the node is the same.
local PATH_MAX = 4096
local function full(path)
    if path:sub(1, 1) ~= "/" then
        local buffer = ffi.new("char[?]", PATH_MAX)
        if C.wm_getcwd(buffer, PATH_MAX) ~= nil then
            path = ffi.string(buffer) .. "/" .. path
        end
    end
    local parts = {}
    for part in path:gmatch("[^/]+") do
        if part == ".." then
            parts[#parts] = nil
        elseif part ~= "." then
            parts[#parts + 1] = part
        end
    end
    return "/" .. table.concat(parts, "/")
end

local _M = {}

-- http and stream may share a configuration, and so a name. Each has a node of
-- its own. Two servers may share a prefix, or be called with the same relative
-- one.
function _M.of(opts)
    local subsystem = ngx.config.subsystem
    if opts.name then
        return subsystem == "http" and opts.name
               or opts.name .. "-" .. subsystem
    end
    local prefix, file = ngx.config.prefix(), option_c()
    if file and file:sub(1, 1) ~= "/" then
        file = prefix .. file
    end
    local key = table.concat({ full(prefix), file and full(file) or "",
                               opts.shm, subsystem }, "\0")
    return ("%s-%s-%s"):format(opts.shm:gsub("[^%w_-]", "_"):sub(1, 24),
                               subsystem, ngx.md5(key):sub(1, 12))
end

return _M
