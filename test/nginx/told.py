# SPDX-License-Identifier: Apache-2.0
"""Options whose callbacks note what they are told, and what they noted."""

from conf import Lua

# A worker that does not run is called stalled after 5 s: soon enough to be
# waited for, and late enough for one that a busy machine keeps waiting.
QUICK = {"interval": 0.1, "failed": 4.9}
JUDGED = "worker manager: worker .* (stalled|recovered)"


def failure(event, body=""):
    return Lua(f'''function(id, n_prev, n_mine, n_next, info)
        require("wmt").note("{event}", {{ id = id, n_prev = n_prev,
            n_mine = n_mine, n_next = n_next, info = info }})
        {body} end''')


def lead(event):
    return Lua(f'''function(...)
        require("wmt").note("{event}", {{ term = (...),
                                         nargs = select("#", ...) }}) end''')


def opts(**kw):
    """All of them, and further options."""
    return {"on_worker_failed": failure("failed"),
            "on_worker_recovered": failure("recovered"),
            "on_leader": lead("leader"), "on_leader_lost": lead("lost"), **kw}


def told(n, name):
    """The worker that was told, the one it was told of, and why."""
    return [(x["by"], x["id"], x["info"]["reason"]) for x in n.notes(name)]
