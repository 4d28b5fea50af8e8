"""How the story is told: numbered steps, what came back, how long it took; it stops at the first that is not right."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape


class NotAsItShouldBe(Exception):
    """A step came out wrong; the message says what was expected and what came."""


class Told:
    """One step as it goes: `say` adds a line of what came back."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Note what came back."""
        self.lines.append(line)


class Teller:
    """Prints the steps and keeps their times."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.number = 0
        self.began = time.perf_counter()

    def chapter(self, title: str) -> None:
        """Open a chapter."""
        self.console.print(f"\n[bold]{escape(title)}[/]")

    @contextmanager
    def step(self, title: str) -> Iterator[Told]:
        """Run one step; prints it with its time, also when it fails."""
        self.number += 1
        told = Told()
        began = time.perf_counter()
        try:
            yield told
        except Exception:
            self._print("[bold red]✗[/]", title, told, began)
            raise
        self._print("[green]✓[/]", title, told, began)

    def _print(self, mark: str, title: str, told: Told, began: float) -> None:
        elapsed = time.perf_counter() - began
        shown = f"{elapsed * 1000:.0f} ms" if elapsed < 1 else f"{elapsed:.1f} s"
        self.console.print(f" {mark} {self.number:2d} {escape(title)} [dim]({shown})[/]")
        for line in told.lines:
            self.console.print(f"       [dim]{escape(line)}[/]")

    def end(self) -> None:
        """Print the last line."""
        seconds = time.perf_counter() - self.began
        self.console.print(f"\n[bold green]The whole story held: {self.number} steps in {seconds:.0f} s.[/]")


def expect(condition: bool, what: str, got: Any = None) -> None:
    """Raise NotAsItShouldBe unless `condition`."""
    if not condition:
        raise NotAsItShouldBe(what if got is None else f"{what}; got {got!r}")


def yuan(fen: int) -> str:
    """Show fen as yuan."""
    return f"{fen / 100:.2f} yuan"
