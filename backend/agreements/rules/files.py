"""What an uploaded file is, by its content: never by its name or by what the client calls it."""

from typing import Literal

MediaType = Literal["image/jpeg", "image/png", "image/webp", "image/heic", "application/pdf"]

MAX_BYTES = 10 * 1024 * 1024
"""A photograph of a phone has 3 to 8 MB."""

MAX_FILES = 20

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"})


def detect(content: bytes) -> MediaType | None:
    """Return the type of a whole image or PDF, or None: something else, or cut off.

    Beginning and end are checked, so that an upload that broke off, or a page of HTML called .jpg, is refused while the
    person is still there to send it again.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg" if b"\xff\xd9" in content[-64:] else None
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png" if b"IEND\xaeB`\x82" in content[-64:] else None
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp" if int.from_bytes(content[4:8], "little") + 8 <= len(content) else None
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS:
        return "image/heic" if {"meta", "mdat"} <= _whole_boxes(content) else None
    if content.startswith(b"%PDF-"):
        return "application/pdf" if b"%%EOF" in content[-1024:] else None
    return None


def _whole_boxes(content: bytes) -> set[str]:
    """Return the names of the top-level boxes of an ISO base media file (ISO/IEC 14496-12, 4.2); none when cut off."""
    names, at = set(), 0
    while at < len(content):
        size, header = int.from_bytes(content[at : at + 4], "big"), 8
        if size == 1:  # the size follows in 64 bits
            size, header = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        elif size == 0:  # the last box reaches to the end
            size = len(content) - at
        if size < header or at + size > len(content):
            return set()
        names.add(content[at + 4 : at + 8].decode("latin-1"))
        at += size
    return names


def agrees(claimed: str | None, found: MediaType) -> bool:
    """Say whether a claimed Content-Type is compatible with the type found; no claim, or a general one, always is."""
    if claimed is None:
        return True
    plain = claimed.partition(";")[0].strip().lower()
    if plain in ("", "application/octet-stream", "binary/octet-stream"):
        return True
    aliases = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/heif": "image/heic"}
    return aliases.get(plain, plain) == found
