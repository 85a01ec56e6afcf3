"""When a report says no longer what the service does: something that can change an answer has changed, or time passed.

What is stale stays so until there is a new report: a change that was taken back may have been in force meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.evidence.report.manifest import SCOPE

#: Beside the names of a manifest: another request came to apply where it may interfere, and the date.
INTERFERENCE: Final = "interference"
VALID_UNTIL: Final = "valid_until"


def changed_names(manifest: Mapping[str, str], now: Mapping[str, str], *, matched: bool = True) -> tuple[str, ...]:
    """Names of a manifest that has changed, in order; what is in one of both alone has changed.

    manifest: of a report. now: the same of the service as it is. matched: whether the request applies to some prompts
    alone. What told them decides nothing once it applies to all.
    """
    names = {*manifest, *now} - (set() if matched else {SCOPE})
    return tuple(name for name in sorted(names) if manifest.get(name) != now.get(name))
