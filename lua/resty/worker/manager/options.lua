-- SPDX-License-Identifier: Apache-2.0

-- The options of on_init_by_lua: checked, and put into the library's units.

local limits = require("resty.worker.manager.constants").limits

local _M = {}

-- The options with their defaults. Times are in seconds.
local defaults = {
    shm = false,
    name = false,
    directory = false,
    interval = 10,
    failed = 5,
    lock_timeout = 30,
    start_timeout = 5,
    capacity = 1024,
    mode = 384, -- 0600
    log_entries = 1024,
    privileged_agent = false,
    record_end = true,
    on_worker_failed = false,
    on_worker_recovered = false,
    on_leader = false,
    on_leader_lost = false,
}

local SECONDS_MAX = 1e6
-- In stream{} the instance's name is longer than the option.
local NAME_LENGTH = limits.NAME_LENGTH - (ngx.config.subsystem == "http" and 0
                    or #ngx.config.subsystem + 1)

local function fail(level, ...)
    error("worker manager: " .. table.concat { ... }, level + 1)
end

local function seconds(opts, key, level, may_be_zero)
    local given = opts[key]
    if given == nil then
        given = defaults[key]
    end
    local value = tonumber(given)
    if not value or value ~= value or value < 0 or value > SECONDS_MAX
       or (value == 0 and not may_be_zero) then
        fail(level + 1, "option '", key, "' must be a number of seconds ",
             may_be_zero and "from 0" or "above 0", " to ", SECONDS_MAX,
             ", not ", tostring(given))
    end
    return math.max(math.floor(value * 1000 + 0.5), may_be_zero and 0 or 1)
end

local function whole(opts, key, max, level)
    local given = opts[key]
    if given == nil then
        given = defaults[key]
    end
    local value = tonumber(given)
    if not value or value < 1 or value > max or value % 1 ~= 0 then
        fail(level + 1, "option '", key, "' must be a whole number from 1 to ",
             max, ", not ", tostring(given))
    end
    return value
end

local function callback(opts, key, level)
    local given = opts[key]
    if given ~= nil and type(given) ~= "function" then
        fail(level + 1, "option '", key, "' must be a function, not ",
             type(given))
    end
    return given
end

local function boolean(opts, key, level)
    local given = opts[key]
    if given ~= nil and type(given) ~= "boolean" then
        fail(level + 1, "option '", key, "' must be true or false, not ",
             tostring(given))
    end
    if given == nil then
        return defaults[key]
    end
    return given
end

-- A number is the mode itself, a string its octal digits.
local function mode(opts, level)
    local given = opts.mode
    local value = given == nil and defaults.mode or given
    if type(value) == "string" then
        value = value:find("^[0-7]+$") and tonumber(value, 8)
    end
    if type(value) ~= "number" or value < 384 or value > 511
       or value % 1 ~= 0 then
        fail(level + 1, "option 'mode' must be a file mode from \"0600\" to",
             " \"0777\", not ", tostring(given))
    end
    return value
end

local function name(opts, level)
    local value = opts.name
    if value ~= nil
       and (type(value) ~= "string" or #value > NAME_LENGTH
            or not value:find("^[%w_-][%w_.-]*$")) then
        fail(level + 1, "option 'name' must be 1 to ", NAME_LENGTH,
             " letters, digits, '_', '-' or '.', not first a dot, not ",
             tostring(value))
    end
    return value
end

local function directory(opts, level)
    local value = opts.directory
    if value ~= nil
       and (type(value) ~= "string" or value:sub(1, 1) ~= "/"
            or value:find("\0", 1, true)) then
        fail(level + 1, "option 'directory' must be an absolute path, not ",
             tostring(value))
    end
    return value
end

-- Returns the checked options; `warn` gets a line about those unknown.
function _M.check(opts, warn, level)
    level = level + 1
    if type(opts) ~= "table" then
        fail(level, "the options must be a table, not ", type(opts))
    end
    if type(opts.shm) ~= "string" or opts.shm == "" then
        fail(level, "option 'shm' must be a name (a string), not ",
             opts.shm == "" and "an empty one" or type(opts.shm))
    end

    local unknown = {}
    for key in pairs(opts) do
        if defaults[key] == nil then
            unknown[#unknown + 1] = "'" .. tostring(key) .. "'"
        end
    end
    if #unknown > 0 then
        table.sort(unknown)
        warn("unknown option ", table.concat(unknown, ", "), " ignored")
    end

    return {
        shm = opts.shm,
        name = name(opts, level),
        directory = directory(opts, level),
        interval = seconds(opts, "interval", level),
        failed = seconds(opts, "failed", level, true),
        lock_timeout = seconds(opts, "lock_timeout", level),
        start_timeout = seconds(opts, "start_timeout", level, true),
        capacity = whole(opts, "capacity", limits.CAPACITY, level),
        mode = mode(opts, level),
        log_entries = whole(opts, "log_entries", limits.LOG_ENTRIES, level),
        privileged_agent = boolean(opts, "privileged_agent", level),
        record_end = boolean(opts, "record_end", level),
        on_worker_failed = callback(opts, "on_worker_failed", level),
        on_worker_recovered = callback(opts, "on_worker_recovered", level),
        on_leader = callback(opts, "on_leader", level),
        on_leader_lost = callback(opts, "on_leader_lost", level),
    }
end

return _M
