"""Keeps what a process has in memory, forget sets among it, out of core dumps."""

from __future__ import annotations

import resource

#: Bytes. Too small for a file, and the one limit under which Linux gives no dump to a program either, where
#: `core_pattern` is a pipe: it stands for a crash of that program itself. A limit of 0 does not bind a pipe.
_LIMIT = 1


def forbid_core_dumps() -> None:
    """Of this process, and of those that it starts from now on."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    limit = _LIMIT if most == resource.RLIM_INFINITY else min(_LIMIT, most)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
