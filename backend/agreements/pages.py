"""The page behind the QR code of a contract, for whoever scans it with a phone; apps get the same as JSON."""

from backend.agreements.rules.terms import BEIJING
from backend.agreements.schemas import VerificationAnswer

STATUS = {"signed": "有效 in force", "terminated": "已终止 terminated"}
PAGE = """<!DOCTYPE html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>协议核验</title>
<style>body{{font-family:system-ui,"PingFang SC",sans-serif;margin:2rem auto;max-width:34rem;padding:0 1rem;color:#222}}
h1{{font-size:1.4rem}}dt{{color:#666;margin-top:.8rem}}dd{{margin:0;overflow-wrap:anywhere}}</style></head>
<body><h1>{heading}</h1>{body}</body></html>
"""
GENUINE = "✔ 该协议由邻里充电签署 This agreement was signed here"
UNKNOWN = "✘ 未查到该协议 No such agreement was signed here"
WARNING = "<p>编号或签署记录不符，请勿采信该文件。Number and record do not match: do not rely on the document.</p>"


def verification_page(answer: VerificationAnswer) -> str:
    """Return the page: genuine or not, its term, and the hash that the PDF must have. Nothing in it is the caller's."""
    if not answer.genuine:
        return PAGE.format(heading=UNKNOWN, body=WARNING)
    ends = answer.ends_at
    rows = {
        "状态 Status": STATUS.get(answer.status or "", answer.status or ""),
        "签署时间 Signed": answer.signed_at and f"{answer.signed_at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
        "生效时间 From": answer.starts_at and f"{answer.starts_at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
        "到期时间 Until": ends and f"{ends.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
        "PDF SHA-256": answer.document_sha256,
    }
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows.items() if value)
    return PAGE.format(heading=GENUINE, body=f"<dl>{listed}</dl>")
