-- SPDX-License-Identifier: Apache-2.0

-- What servers do beside their work, and the library is to bear: children that
-- outlive them, and descriptors that are closed behind its back.

local ffi = require "ffi"

ffi.cdef [[
int wmb_close(int fd) __asm__("close");
int wmb_execl(const char *path, const char *arg, ...) __asm__("execl");
void wmb_exit(int status) __asm__("_exit");
int wmb_fork(void) __asm__("fork");
long wmb_readlink(const char *path, char *to, size_t size) __asm__("readlink");
int wmb_waitpid(int pid, int *status, int options) __asm__("waitpid");
]]

local C = ffi.C

local M = {}

local function close(segments)
    local to = ffi.new("char[256]")
    for fd = 3, 255 do
        local n = C.wmb_readlink("/proc/self/fd/" .. fd, to, 255)
        local is_segment = n > 0 and ffi.string(to, n):find("wm.", 1, true)
        if n > 0 and (is_segment ~= nil) == segments then
            C.wmb_close(fd)
        end
    end
end

-- It keeps nothing of the server but the segment. Returns its pid.
function M.spawn(seconds)
    local pid = C.wmb_fork()
    if pid == 0 then
        close(false)
        C.wmb_execl("/bin/sleep", "sleep", seconds or "20",
                    ffi.cast("char *", nil))
        C.wmb_exit(1)
    end
    return pid
end

-- A child does it, and has ended as this returns.
function M.fork(act)
    local pid = C.wmb_fork()
    if pid == 0 then
        act()
        C.wmb_exit(0)
    end
    C.wmb_waitpid(pid, nil, 0)
end

function M.forget()
    close(true)
end

return M
