"""Problems in the OpenAPI text: which errors an operation answers, by status, with their codes."""

from collections import defaultdict
from typing import Annotated, cast

import msgspec
from litestar.enums import MediaType
from litestar.openapi.datastructures import ResponseSpec

from backend.core.errors import DomainError
from backend.core.problems import MEDIA_TYPE, TYPE_BASE


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457); further members depend on the code."""

    type: Annotated[str, msgspec.Meta(description="A URI that stands for the code", examples=[TYPE_BASE + "not-found"])]
    title: Annotated[str, msgspec.Meta(description="Short text in the caller's language")]
    status: Annotated[int, msgspec.Meta(description="The HTTP status", examples=[404])]
    detail: Annotated[str, msgspec.Meta(description="What to do, in the caller's language")]
    code: Annotated[str, msgspec.Meta(description="Stable name of the problem; branch on this", examples=["not_found"])]
    instance: Annotated[str, msgspec.Meta(description="The path that was called")]
    request_id: Annotated[str | None, msgspec.Meta(description="Quote it when you ask about it")] = None


def answers(*errors: type[DomainError]) -> dict[int, ResponseSpec]:
    """Return the `responses=` of a handler for the errors it answers; several of one status share one entry."""
    by_status: dict[int, list[type[DomainError]]] = defaultdict(list)
    for error in errors:
        by_status[error.status].append(error)
    return {
        status: ResponseSpec(
            data_container=Problem,
            generate_examples=False,
            media_type=cast(MediaType, MEDIA_TYPE),
            description="; ".join(f"`{kind.code}`: {kind.title_en}" for kind in kinds),
        )
        for status, kinds in sorted(by_status.items())
    }
