"""Papers as PDF: Typst with Noto Serif and Sans SC from a package, so that every machine prints the same."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pylopdf_fonts_zh_cn
import typst

FONTS = Path(pylopdf_fonts_zh_cn.serif_path()).parent


def typeset(template: Path, inputs: Mapping[str, str]) -> bytes:
    """Return the PDF of a template and its inputs; takes about half a second, so keep it off the event loop."""
    made = typst.compile(
        str(template), font_paths=[str(FONTS)], ignore_system_fonts=True, sys_inputs=dict(inputs), format="pdf"
    )
    if not isinstance(made, bytes):
        raise TypeError("Typst gives one PDF as bytes")
    return made


async def typeset_in_thread(template: Path, inputs: Mapping[str, str]) -> bytes:
    """Return the PDF without holding up the event loop."""
    return await asyncio.to_thread(typeset, template, inputs)
