"""What a contract text must look like to be typeset and to hold what the pilot plan wants in it."""

import re

MAX_CHARACTERS = 30_000
ARTICLE = re.compile(r"^第.{1,3}条", re.MULTILINE)
CAP_WORDS = ("0.5元/千瓦时", "0.5元/度", "0.5 元/千瓦时", "0.5 元/度")


def wrong_text(*, title: str, body: str) -> tuple[str, str] | None:
    """Return the field that is wrong and what would be right, or None.

    The contract has articles (第…条, from which it is typeset), and names the cap of the service fee (P 8): a text
    without it would be no agreement of the pilot.
    """
    checks = (
        (not 2 <= len(title.strip()) <= 60, "title", "2 to 60 characters"),
        (len(body) > MAX_CHARACTERS, "body", f"at most {MAX_CHARACTERS} characters"),
        (
            len(ARTICLE.findall(body)) < 3,
            "body",
            "at least three articles, each heading 第…条 on its own line",
        ),
        (not any(words in body for words in CAP_WORDS), "body", "with the cap of the service fee, 0.5元/千瓦时"),
    )
    return next(((field, right) for wrong, field, right in checks if wrong), None)
