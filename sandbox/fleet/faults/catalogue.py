"""What a fault is, and the catalogue into which the functions of this package enter themselves.

A fault changes what is physically so (a loose cell connection heats under current) or how a device behaves (no
network, no answers); what the device then reports follows from that. `Fault.apply` returns a sentence for the tester.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from sandbox.fleet.link import Link


class FaultArgs(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a fault may be told beside its device; each fault names the ones it reads."""

    connector: int | None = None
    to_c: float | None = None
    within_s: float | None = None
    value: float | None = None
    bay: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One entry of the catalogue."""

    name: str
    kinds: tuple[str, ...]
    says: str
    args: tuple[str, ...]
    apply: Callable[[Any, Link, FaultArgs], str]


ALL: Final = ("charger", "lock", "camera", "smoke")
CATALOGUE: Final[dict[str, Fault]] = {}


def fault(
    name: str, *kinds: str, says: str, args: tuple[str, ...] = ()
) -> Callable[[Callable[[Any, Link, FaultArgs], str]], Callable[[Any, Link, FaultArgs], str]]:
    """Enter a function into the catalogue under `name`, for the device kinds given, or for all."""

    def add(apply: Callable[[Any, Link, FaultArgs], str]) -> Callable[[Any, Link, FaultArgs], str]:
        CATALOGUE[name] = Fault(name=name, kinds=kinds or ALL, says=says, args=args, apply=apply)
        return apply

    return add
