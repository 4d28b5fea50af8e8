"""The contract as a PDF: Chinese typesetting by Typst, Noto Serif and Sans SC from a package, QR by segno."""

import asyncio
import io
from pathlib import Path

import msgspec
import segno

from backend.core.typeset import typeset

TEMPLATE = Path(__file__).parents[1] / "texts" / "contract.typ"


class StationLine(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the annex."""

    name: str
    code: str
    address: str
    distance_m: int


class ContractPaper(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is printed, as text ready to print."""

    title: str
    number: str
    resident: str
    phone: str
    plate: str
    community: str
    company: str
    hotline: str
    starts: str
    ends: str
    signed: str
    method: str
    client_address: str
    text_version: int
    text_sha256: str
    record_sha256: str
    verify_url: str
    articles: list[tuple[str, list[str]]]
    stations: list[StationLine]


def split_articles(body: str) -> list[tuple[str, list[str]]]:
    """Split the text into (heading, paragraphs): a line that begins with 第…条 begins an article."""
    articles: list[tuple[str, list[str]]] = []
    for line in filter(None, (line.strip() for line in body.splitlines())):
        if line.startswith("第") and "条" in line[:5]:
            articles.append((line, []))
        elif articles:
            articles[-1][1].append(line)
    return articles


def qr_svg(text: str) -> str:
    """Return a QR code (error correction M) as SVG."""
    buffer = io.BytesIO()
    segno.make(text, error="m", micro=False).save(buffer, kind="svg", border=0, xmldecl=False)
    return buffer.getvalue().decode()


def render(paper: ContractPaper) -> bytes:
    """Return the PDF; takes about half a second, so keep it off the event loop."""
    return typeset(TEMPLATE, {"paper": msgspec.json.encode(paper).decode(), "qr": qr_svg(paper.verify_url)})


async def render_in_thread(paper: ContractPaper) -> bytes:
    """Return the PDF without holding up the event loop."""
    return await asyncio.to_thread(render, paper)
