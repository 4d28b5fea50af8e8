"""What packages read and answer over HTTP."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.agreements.rules.packages import Band, PackageKind
from backend.agreements.service.packages import ChosenView, PackageDraft, PackageStatus, PackageView

Aware = Annotated[datetime, Meta(tz=True, description="RFC 3339 with offset", examples=["2026-12-01T00:00:00+08:00"])]


class PackageBody(msgspec.Struct, frozen=True):
    """A choice of package."""

    package_id: Annotated[UUID, Meta(description="An item of GET /v1/packages")]


class PackageDraftBody(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of a package; a calendar month on the Beijing clock is its period."""

    code: Annotated[
        str, Meta(pattern=r"^[a-z][a-z0-9_]{1,38}$", description="Stable name in the company", examples=["valley_150"])
    ]
    name_zh: Annotated[str, Meta(min_length=1, max_length=40, description="Name, Chinese", examples=["谷段套餐"])]
    name_en: Annotated[str, Meta(min_length=1, max_length=60, description="Name, English", examples=["Valley package"])]
    description_zh: Annotated[str, Meta(max_length=500, description="What it is, Chinese")]
    description_en: Annotated[str, Meta(max_length=500, description="What it is, English")]
    kind: Annotated[
        PackageKind,
        Meta(description="valley (energy of the valley band), bundle (of a month), trial (for new residents, once)"),
    ]
    price_fen: Annotated[int, Meta(description="Price of a month in fen; a trial may be 0", examples=[3000])]
    included_wh: Annotated[
        int, Meta(description="Energy of a month that is free of service fee, in Wh", examples=[150_000])
    ]
    bands: Annotated[list[Band], Meta(description="Bands whose energy is included; empty: all")] = []
    max_periods: Annotated[int, Meta(description="Of a trial: how many months, 1 to 12")] | None = None
    available_from: Annotated[Aware | None, Meta(description="From when it can be chosen; null: at once")] = None
    available_until: Annotated[Aware | None, Meta(description="Its end, exclusive; null: none yet")] = None
    operator_company_id: Annotated[
        UUID | None, Meta(description="For which company; needed by operators of several")
    ] = None

    def draft(self) -> PackageDraft:
        """Return what the service takes."""
        values = {name: getattr(self, name) for name in PackageDraft.__struct_fields__}
        for name in ("available_from", "available_until"):
            if values[name] is not None:
                values[name] = values[name].astimezone(UTC)
        return PackageDraft(**values | {"bands": tuple(self.bands)})


class PackageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A priced plan on top of an agreement, billed in arrears: at most the cap on the month's energy."""

    id: Annotated[UUID, Meta(description="The package")]
    operator_company_id: Annotated[UUID | None, Meta(description="Offered by this company; null: by all")]
    code: Annotated[str, Meta(description="Stable name", examples=["pay_as_you_go"])]
    name: Annotated[str, Meta(description="Name in the caller's language")]
    description: Annotated[str, Meta(description="What it is, in the caller's language")]
    kind: Annotated[PackageKind, Meta(description="pay_as_you_go, valley, bundle or trial")]
    price_fen: Annotated[int, Meta(description="Price of a month in fen")]
    included_wh: Annotated[int, Meta(description="Energy of a month that is free of service fee, in Wh")]
    bands: Annotated[list[str], Meta(description="Bands whose energy is included; empty: all")]
    max_periods: Annotated[int | None, Meta(description="Months after which a trial ends by itself")]
    available_until: Annotated[datetime | None, Meta(description="Its end; null: none yet")]

    @classmethod
    def of(cls, view: PackageView, locale: str) -> "PackageAnswer":
        """Build the answer from the view."""
        return cls(
            id=view.id,
            operator_company_id=view.operator_company_id,
            code=view.code,
            name=view.name_en if locale == "en" else view.name_zh,
            description=view.description_en if locale == "en" else view.description_zh,
            kind=view.kind,
            price_fen=view.price_fen,
            included_wh=view.included_wh,
            bands=list(view.bands),
            max_periods=view.max_periods,
            available_until=view.available_until,
        )


class ChosenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The package of an agreement now, and the one that follows."""

    present: Annotated[PackageAnswer, Meta(description="In force now")]
    next: Annotated[PackageAnswer | None, Meta(description="What follows; null: it goes on")]
    next_from: Annotated[datetime | None, Meta(description="From when the next one counts")]

    @classmethod
    def of(cls, view: ChosenView, locale: str) -> "ChosenAnswer":
        """Build the answer from the view."""
        return cls(
            present=PackageAnswer.of(view.present, locale),
            next=None if view.next is None else PackageAnswer.of(view.next, locale),
            next_from=view.next_from,
        )


class CompanyPackageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A package as its company sees it."""

    id: Annotated[UUID, Meta(description="The package")]
    operator_company_id: Annotated[UUID | None, Meta(description="The company")]
    code: Annotated[str, Meta(description="Stable name in the company")]
    name_zh: Annotated[str, Meta(description="Name, Chinese")]
    name_en: Annotated[str, Meta(description="Name, English")]
    description_zh: Annotated[str, Meta(description="What it is, Chinese")]
    description_en: Annotated[str, Meta(description="What it is, English")]
    kind: Annotated[PackageKind, Meta(description="valley, bundle or trial")]
    status: Annotated[PackageStatus, Meta(description="draft, offered or withdrawn")]
    price_fen: Annotated[int, Meta(description="Price of a month in fen")]
    included_wh: Annotated[int, Meta(description="Energy of a month that is free of service fee, in Wh")]
    bands: Annotated[list[str], Meta(description="Bands whose energy is included; empty: all")]
    max_periods: Annotated[int | None, Meta(description="Of a trial: how many months")]
    available_from: Annotated[datetime | None, Meta(description="From when it can be chosen")]
    available_until: Annotated[datetime | None, Meta(description="Its end, exclusive")]
    drafted_by: Annotated[UUID | None, Meta(description="Who wrote it")]
    drafted_at: Annotated[datetime | None, Meta(description="When it was written")]
    approved_by: Annotated[UUID | None, Meta(description="Who approved it")]
    approved_at: Annotated[datetime | None, Meta(description="When it was approved")]

    @classmethod
    def of(cls, view: PackageView) -> "CompanyPackageAnswer":
        """Build the answer from the view."""
        return cls(**msgspec.structs.asdict(view) | {"bands": list(view.bands)})
