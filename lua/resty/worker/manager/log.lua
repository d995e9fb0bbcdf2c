-- SPDX-License-Identifier: Apache-2.0

-- Lines for nginx's error log.

local log, NOTICE, WARN, ERR = ngx.log, ngx.NOTICE, ngx.WARN, ngx.ERR

local _M = {}

function _M.note(...)
    log(NOTICE, "worker manager: ", ...)
end

function _M.warn(...)
    log(WARN, "worker manager: ", ...)
end

function _M.complain(...)
    log(ERR, "worker manager: ", ...)
end

-- Text of a user for a line of the log: a byte that is no printable ASCII
-- stands as \xHH there, as nginx writes it.
function _M.quote(text)
    return '"' .. text:gsub('[%c"\\\127-\255]', function(c)
        return ("\\x%02X"):format(c:byte())
    end) .. '"'
end

-- No callback will be told of this event; says why.
function _M.not_given(what, id, why)
    log(ERR, "worker manager: not given: ", what, " of ", tostring(id), ": ",
        why)
end

-- The same while the VM is closed. No ngx.* function may be called there: the
-- request that it would use is gone. nginx leads standard error into its log.
-- The line is one write, so that the lines of two processes do not mix.
function _M.not_given_at_close(what, id)
    io.stderr:write(("worker manager: not given: %s of %s: the process ended"
                     .. " without a chance to\n"):format(what, tostring(id)))
end

return _M
