"""The report of an incident as a PDF: Chinese typesetting by Typst, Noto Serif and Sans SC from a package."""

import asyncio
from pathlib import Path

import msgspec
import pylopdf_fonts_zh_cn
import typst

TEMPLATE = Path(__file__).parents[1] / "texts" / "incident.typ"
FONTS = Path(pylopdf_fonts_zh_cn.serif_path()).parent


class ReportPaper(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is printed, as text ready to print."""

    title: str
    number: str
    drill: bool
    company: str
    made: str
    facts: list[tuple[str, str]]
    durations: list[tuple[str, str]]
    alerts: list[tuple[str, str, str, str]]
    actions: list[tuple[str, str, str, str]]
    messages: list[tuple[str, str, str, str]]
    readings: list[tuple[str, str, str, str, str]]
    timeline: list[tuple[str, str, str, str]]
    sha256: str


def render(paper: ReportPaper) -> bytes:
    """Return the PDF; takes about half a second, so keep it off the event loop."""
    made = typst.compile(
        str(TEMPLATE),
        font_paths=[str(FONTS)],
        ignore_system_fonts=True,
        sys_inputs={"paper": msgspec.json.encode(paper).decode()},
        format="pdf",
    )
    if not isinstance(made, bytes):
        raise TypeError("Typst gives one PDF as bytes")
    return made


async def render_in_thread(paper: ReportPaper) -> bytes:
    """Return the PDF without holding up the event loop."""
    return await asyncio.to_thread(render, paper)
