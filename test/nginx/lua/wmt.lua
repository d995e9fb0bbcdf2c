-- SPDX-License-Identifier: Apache-2.0

-- Lua that the tests run inside nginx: one JSON line per thing that happened,
-- appended to trace.jsonl by a single write(2). The file and the prefix are
-- opened by the master and inherited, so any worker's user can use them.
-- Every C name is aliased, so that nothing here meets another's cdef.

local ffi = require "ffi"

ffi.cdef [[
int wmt_open(const char *path, int flags, ...) __asm__("open");
long wmt_write(int fd, const void *buf, size_t len) __asm__("write");
int wmt_faccessat(int dir, const char *path, int mode, int flags)
    __asm__("faccessat");
int wmt_clock_gettime(int clock, int64_t *ts) __asm__("clock_gettime");
int wmt_usleep(unsigned us) __asm__("usleep");
int wmt_getpid(void) __asm__("getpid");
extern uintptr_t wmt_ngx_process __asm__("ngx_process");
]]

local C = ffi.C
local O_TRACE = 0x80441     -- O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC
local O_DIR = 0x90000       -- O_RDONLY | O_DIRECTORY | O_CLOEXEC
local CLOCK_MONOTONIC = 1

local M = {}

local folder, trace_fd, prefix_fd
local ts = ffi.new("int64_t[2]")
local calls = 0

local function clock()
    C.wmt_clock_gettime(CLOCK_MONOTONIC, ts)
    return tonumber(ts[0] * 1000000 + ts[1] / 1000)
end

local vm = clock()

local function json(v)
    local kind = type(v)
    if kind == "boolean" then
        return tostring(v)
    elseif kind == "number" then
        return ("%.17g"):format(v)
    elseif kind == "table" then
        local out = {}
        for i, x in ipairs(v) do
            out[i] = json(x)
        end
        if #out > 0 then
            return "[" .. table.concat(out, ",") .. "]"
        end
        for k, x in pairs(v) do
            out[#out + 1] = json(tostring(k)) .. ":" .. json(x)
        end
        return "{" .. table.concat(out, ",") .. "}"
    end
    return '"' .. tostring(v):gsub('[%c"\\\127-\255]', function(c)
        return ("\\u%04x"):format(c:byte())
    end) .. '"'
end

local function emit(row)
    row.t = clock()
    row.by = C.wmt_getpid()
    row.vm = vm
    local line = json(row) .. "\n"
    C.wmt_write(trace_fd, line, #line)
end

-- called first in init_by_lua*
function M.open(prefix, file)
    local mode = ffi.new("int", 438)        -- 0666
    folder = prefix
    trace_fd = C.wmt_open(prefix .. "/" .. file, O_TRACE, mode)
    prefix_fd = C.wmt_open(prefix, O_DIR)
    assert(trace_fd >= 0 and prefix_fd >= 0, "cannot open the trace")
    M.note("init")
end

-- process: 0 single, 1 master, 2 signaller, 3 worker, 4 helper
function M.note(name, facts)
    local row = facts or {}
    row.what = "note"
    row.note = name
    row.process = tonumber(C.wmt_ngx_process)
    emit(row)
end

M.usleep = C.wmt_usleep

function M.opened(gate)
    return C.wmt_faccessat(prefix_fd, "gate." .. gate, 0, 0) == 0
end

-- Blocks the process, or this light thread only.
local function pause(yields)
    if yields then
        ngx.sleep(0.002)
    else
        C.wmt_usleep(2000)
    end
end

-- until the test opens the gate
function M.gate(gate, yields)
    M.note("gate", { gate = gate })
    for _ = 1, 30000 do
        if M.opened(gate) then
            return
        end
        pause(yields)
    end
    error("gate " .. gate .. " was never opened")
end

-- A callback stays in here as long as the trap for its event is set. In a timer
-- it may yield meanwhile, so that its worker serves on, with the lock held.
function M.trap(event)
    local gate = "trap." .. event
    if not M.opened(gate) then
        return
    end
    M.note("trapped", { event = event })
    while M.opened(gate) do
        pause(ngx.get_phase() == "timer" and M.opened("yield"))
    end
end

-- Answers the test, which asks this very worker by a file of Lua. A timer
-- looks, so that the worker is idle or busy as it likes.
function M.answer()
    local asked = 0
    ngx.timer.every(0.005, function(premature)
        local chunk = not premature and loadfile(
            ("%s/ask.%d.%d"):format(folder, C.wmt_getpid(), asked))
        if chunk then
            asked = asked + 1
            M.note("answer", { answer = chunk() })
        end
    end)
end

-- a callback that traces its arguments, its end, and what `body` does
function M.callback(event, body)
    body = body or function() end
    return function(...)
        local id, n_prev, n_mine, n_next, info = ...
        calls = calls + 1
        local call = calls
        emit { what = "begin", call = call, event = event, id = id,
               n_prev = n_prev, n_mine = n_mine, n_next = n_next,
               info = info, nargs = select("#", ...) }
        local ok, err = pcall(body, ...)
        emit { what = ok and "end" or "raise", call = call, event = event }
        if not ok then
            error(err, 0)
        end
    end
end

local function result(what, name, ok, ...)
    emit { what = what, name = name, ok = ok, n = select("#", ...),
           first = (...), second = (select(2, ...)) }
    return ...
end

-- calls a function of the module and traces what it returned
function M.call(name, f, ...)
    return result("call", name, true, f(...))
end

-- the same, but an error is traced and goes no further
function M.try(name, f)
    result("try", name, pcall(f))
end

return M
