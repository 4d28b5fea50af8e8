"""Tells the story against the stack that runs, or one of its own; exits 1 at the first step that is not right."""

import asyncio
import sys
from pathlib import Path

import httpx

from sandbox.story import booking, charging, danger, finding, paying
from sandbox.story.cast import STATION, Story
from sandbox.story.client import Sandbox
from sandbox.story.meters import Meters
from sandbox.story.stack import running_stack
from sandbox.story.telling import NotAsItShouldBe, Teller


async def tell(environment: dict[str, str], teller: Teller) -> None:
    """Tell all chapters."""
    sandbox_url = f"http://127.0.0.1:{environment['LINLI_SANDBOX_PORT']}"
    meters = Meters(environment["LINLI_MQTT_URL"], STATION)
    async with (
        httpx.AsyncClient(base_url=environment["LINLI_PUBLIC_URL"], timeout=20) as http,
        httpx.AsyncClient(base_url=sandbox_url, timeout=20) as outside,
    ):
        story = Story(
            teller=teller,
            http=http,
            sandbox=Sandbox(outside),
            meters=meters,
            tokens_file=Path(environment["LINLI_STATE_DIR"]) / "story-tokens.json",
        )
        try:
            await finding.find(story)
            await finding.sign(story)
            await booking.book(story)
            await charging.charge(story)
            await paying.pay(story)
            await danger.battery(story)
            await danger.smoke(story)
            await danger.fuel_car(story)
        finally:
            meters.close()
            await story.tidy()


def main() -> int:
    """Run the story."""
    teller = Teller()
    try:
        with running_stack(say=lambda text: teller.console.print(text, markup=False)) as environment:
            asyncio.run(tell(environment, teller))
    except NotAsItShouldBe as error:
        teller.console.print(f"\n[bold red]Not as it should be:[/] {error}", markup=True)
        return 1
    except httpx.HTTPError as error:
        teller.console.print(f"\n[bold red]The stack does not answer:[/] {error!r}")
        return 1
    teller.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
