-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- A callback stays in here as long as the trap for its event is set. In a timer
-- it may yield meanwhile, so that its worker serves on, with the lock held.

local wmt = require "wmt"

return function(event)
    local gate = "trap." .. event
    if not wmt.opened(gate) then
        return
    end
    wmt.note("trapped", { event = event })
    while wmt.opened(gate) do
        if ngx.get_phase() == "timer" and wmt.opened("yield") then
            ngx.sleep(0.005)
        else
            wmt.usleep(2000)
        end
    end
end
