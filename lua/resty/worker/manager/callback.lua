-- SPDX-License-Identifier: Apache-2.0

-- Calls a user's function: whatever the function does, its caller goes on.

local log = require "resty.worker.manager.log"

local pcall, xpcall, tostring, type = pcall, xpcall, tostring, type

local _M = {}

local has_base, base = pcall(require, "resty.core.base")
local request = has_base and base.get_request or coroutine.running

-- ngx.ctx in a timer, else nil: not every phase has one.
local function timer_ctx()
    if ngx.get_phase() == "timer" then
        return ngx.ctx
    end
    return nil
end

-- ngx.exit() would end the light thread, and with it the steps that have to
-- follow the callback. While the callback runs, ngx.exit() works in other
-- threads only; afterwards, it works in this one, too. If the thread was ended
-- all the same, nobody says that it is over, and another timer's request may
-- get the memory of its request. But no other request has its ngx.ctx, as long
-- as this reference keeps the table. (If the callback has assigned another
-- table to ngx.ctx, its own ngx.exit() ends the thread, too.)
-- luacheck: globals ngx.exit
local function refuse_exit()
    local own, ctx = request(), timer_ctx()
    local exit, active = ngx.exit, true
    local function refuse(...)
        if active and request() == own and timer_ctx() == ctx then
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

-- An error may be any value, also one with a broken __tostring.
local function text_of(err)
    local ok, text = pcall(tostring, err)
    if ok and type(text) == "string" then
        return text
    end
    return "a " .. type(err) .. " that cannot be made a text"
end

-- Calls the function in a light thread of its own: an error in a
-- coroutine.wrap() passes by every xpcall and ends the thread that it is in.
local function in_thread(fn, complain, ...)
    local ran, ok, err = ngx.thread.wait(ngx.thread.spawn(function(...)
        return xpcall(fn, complain, ...)
    end, ...))
    if not ran then
        return false, complain(ok or "its thread was ended, see above")
    end
    return ok, err
end

-- Calls fn with the arguments that follow. Returns true, or false and the error
-- that fn raised, which is logged with `name`.
function _M.run(fn, name, ...)
    if not fn then
        return true
    end
    local function complain(err)
        log.complain("the ", name, " raised: ",
                     debug.traceback(text_of(err), 2))
        return err
    end
    local restore = refuse_exit()
    local way = ngx.get_phase() == "timer" and in_thread or xpcall
    local ok, err = way(fn, complain, ...)
    restore()
    return ok, err
end

return _M
