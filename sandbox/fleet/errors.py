"""What a tester did wrong, told so that the next try works. The control port renders these as problem+json."""

from __future__ import annotations

__all__ = ["CannotDo", "NotThere", "NotUnderstood", "SandboxError"]


class SandboxError(Exception):
    """An action that the simulated world refuses. ``hint`` says what to do instead."""

    status = 400
    title = "The sandbox refuses this"

    def __init__(self, *, code: str, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint


class NotThere(SandboxError):
    """No such station, device, bay, connector, car, order."""

    status = 404
    title = "There is no such thing in the sandbox"


class CannotDo(SandboxError):
    """The thing exists, but its present state does not allow the action."""

    status = 409
    title = "Not possible as things stand"


class NotUnderstood(SandboxError):
    """The request itself is wrong."""

    status = 422
    title = "The request cannot be understood"
