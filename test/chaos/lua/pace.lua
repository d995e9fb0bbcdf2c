-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- Of wrk: milliseconds between two requests of a connection. nginx and the
-- tests that run beside this one want their share of the machine.

-- luacheck: globals delay
function delay()
    return 3
end
