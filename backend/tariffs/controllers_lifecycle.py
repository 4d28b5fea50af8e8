"""A version from month to month: copied, compared, thrown away, retired, and read from a price table."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, Parameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from backend.accounts.service.staff import CompanyUnclear
from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.problem_docs import answers
from backend.stations.service.operate import own_company
from backend.tariffs import service as tariffs
from backend.tariffs.rules.diff import compare
from backend.tariffs.rules.versions import TariffVersionView
from backend.tariffs.schemas import ChangeOut, CopyBody, DiffOut
from backend.tariffs.service import TARIFF_FAULTS, TariffNotDraft, importing, lifecycle
from backend.tariffs.service.importing import MAX_BYTES, TariffFileUnreadable, TariffImportRefused
from backend.tariffs.service.lifecycle import TariffInForce


class ImportOut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a price table."""

    rows: Annotated[int, Meta(description="Rows with text, without the header")]
    versions_found: Annotated[int, Meta(description="Versions in the table")]
    drafted: Annotated[list[TariffVersionView], Meta(description="The drafts; none in a dry run")]


class OperatorTariffLife(Controller):
    """What happens to tariff versions beside writing, approving and publishing them."""

    path = "/v1/operator/tariffs"
    tags = ("operator",)

    @post(
        "/{tariff_id:uuid}/copy",
        operation_id="copyTariff",
        summary="Copy a version into a draft",
        description="Of any state; for the next Beijing month unless told. The copy is a draft like any other.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, *TARIFF_FAULTS),
    )
    async def copy(self, staff: Staff, tariff_id: UUID, data: CopyBody, now: datetime) -> TariffVersionView:
        """Copy a version."""
        return await lifecycle.copy_version(
            version_id=tariff_id,
            company_ids=staff.company_ids("operator"),
            effective_from=data.effective_from,
            effective_to=data.effective_to,
            name=data.name,
            actor_id=staff.account_id,
            now=now,
        )

    @post(
        "/{tariff_id:uuid}/retire",
        operation_id="retireTariff",
        summary="Retire a version",
        description=(
            "One that has not begun is taken back, and the version before it goes on. One in force ends now where"
            " another version takes its place (a station's own over its group's or company's); otherwise publish its"
            " successor. What is over is retired by itself within the hour."
        ),
        status_code=200,
        responses=answers(Unauthenticated, StaffOnly, NotFound, TariffNotDraft, TariffInForce),
    )
    async def retire(self, staff: Staff, tariff_id: UUID, now: datetime) -> TariffVersionView:
        """Retire a version."""
        return await lifecycle.retire_version(
            version_id=tariff_id, company_ids=staff.company_ids("operator"), actor_id=staff.account_id, now=now
        )

    @get(
        "/{tariff_id:uuid}/diff",
        operation_id="diffTariff",
        summary="What a version changes",
        description="Against `against`, or against the version that holds before it in the same scope; in words.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def diff(
        self,
        staff: Staff,
        tariff_id: UUID,
        locale: str,
        against: Annotated[UUID | None, Parameter(description="The version to compare with")] = None,
    ) -> DiffOut:
        """Compare two versions."""
        companies = staff.company_ids("operator", "lead", "inspector")
        version = await tariffs.get_version(version_id=tariff_id, company_ids=companies)
        if against is None:
            other = await tariffs.find_before(version)
        else:
            other = await tariffs.get_version(version_id=against, company_ids=companies)
        items = [] if other is None else compare(other, version)
        return DiffOut(
            tariff_id=version.id,
            against_id=None if other is None else other.id,
            items=[
                ChangeOut(
                    field=change.field,
                    before=change.before,
                    after=change.after,
                    text=change.text_en if locale == "en" else change.text_zh,
                )
                for change in items
            ],
        )

    @post(
        "/import",
        operation_id="importTariffs",
        summary="Draft versions from a price table",
        description=(
            "multipart/form-data with `file`: CSV (UTF-8 or GB18030) or XLSX, one row for each span of a band, one"
            " header row with supply_class, station, group, effective_from, effective_to, months, from, to, band,"
            " energy, agreement_service, market_service (yuan/kWh, at most four decimals), name,"
            " parking_free_min, parking_yuan_per_hour, parking_day_cap_yuan, or their Chinese names. All or nothing:"
            " `rows` of the problem tells every wrong cell and what would be right. `dry_run=true` only checks."
        ),
        request_max_body_size=MAX_BYTES + 64 * 1024,
        responses=answers(
            Unauthenticated, StaffOnly, CompanyUnclear, TariffFileUnreadable, TariffImportRefused, *TARIFF_FAULTS
        ),
    )
    async def import_table(
        self,
        staff: Staff,
        data: Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
        now: datetime,
        dry_run: Annotated[bool, Parameter(description="Check, and write nothing")] = False,
        operator_company_id: Annotated[
            UUID | None, Parameter(description="Needed only by staff of several companies")
        ] = None,
    ) -> ImportOut:
        """Import a price table."""
        company_id = own_company(staff, operator_company_id)
        file = data.get("file")
        if file is None:
            raise TariffFileUnreadable(field="file", problem="send it as multipart/form-data under the name `file`")
        report = await importing.import_table(
            content=await file.read(),
            operator_company_id=company_id,
            actor_id=staff.account_id,
            now=now,
            dry_run=dry_run,
        )
        return ImportOut(rows=report.rows, versions_found=report.versions_found, drafted=report.drafted)


LIFECYCLE_ROUTES: list[ControllerRouterHandler] = [OperatorTariffLife]
