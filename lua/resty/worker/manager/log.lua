-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- Lines for nginx's error log.

local log, WARN, ERR = ngx.log, ngx.WARN, ngx.ERR

local _M = {}

function _M.warn(...)
    log(WARN, "worker manager: ", ...)
end

function _M.complain(...)
    log(ERR, "worker manager: ", ...)
end

-- An event that nobody will be told of, and why.
function _M.not_given(what, id, why)
    log(ERR, "worker manager: not given: ", what, " of ", tostring(id), ": ",
        why)
end

-- The same while the VM is closed, where no ngx.* function may be called: the
-- request that it would use is gone. nginx leads standard error into its log.
-- One write, so that the lines of two processes do not mix.
function _M.not_given_at_close(what, id)
    io.stderr:write(("worker manager: not given: %s of %s: the process ended"
                     .. " without a chance to\n"):format(what, tostring(id)))
end

return _M
