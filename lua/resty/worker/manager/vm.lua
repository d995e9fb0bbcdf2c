-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

-- What this VM knows of its node and of its own worker: one table, filled in
-- init_by_lua*, inherited by the workers with the VM, shared by all files.
--
--   node          the library's handle; nil where this process takes no part
--   generation    number (uint64_t), begun in this VM
--   reason        what that generation is: "start", "reload", "upgrade"
--   interval, overdue, lock_timeout   in ms
--   master_exit, on_worker_failed, on_worker_recovered, on_leader,
--   on_leader_lost   callbacks or nil
--   privileged_agent  it runs worker callbacks, too
--
-- and in a worker:
--
--   id            "<generation>-<pid>"
--   worker        the library's handle; nil where it is untracked or has left
--   host          in a VM that lua_code_cache off makes for one request: the
--                 handle of the worker that it runs in, which is not its own
--   counted       it is a worker, not a helper
--   called_back   its start and exit are told: a worker, or a helper that was
--                 asked for
--   worker_exit   callback or nil
--   exit_given    its exit callback was begun, or cannot be
--   left          exit_worker_by_lua* has ended it

return {}
