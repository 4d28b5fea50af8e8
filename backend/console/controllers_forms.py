"""The forms of the console about prices, agreements, bookings and safety: each calls a service as the acting person.

A form answers with a sentence; what a service refuses is shown with the service's own words and code.
"""

from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

from piccolo_admin.endpoints import FileResponse, FormConfig
from pydantic import BaseModel
from starlette.requests import Request

from backend.agreements.service import apply, packages, review, texts
from backend.alerts.service import thresholds
from backend.charging.service import tariff_corrections
from backend.console import schemas
from backend.console.service import acting
from backend.console.tables import asked_at
from backend.core.auth import Staff
from backend.core.errors import DomainError
from backend.core.problems import choose_locale
from backend.reservations.service import on_site
from backend.tariffs import service as tariffs
from backend.tariffs.service import lifecycle

PRICES, AGREEMENTS, BOOKINGS, SAFETY = "价格 Prices", "协议 Agreements", "预约 Bookings", "安全 Safety"
Work = Callable[[Staff, Any], Awaitable[str]]


def told(error: DomainError, request: Request) -> ValueError:
    """Return what Piccolo Admin shows under a form: the problem in the reader's language, with its code."""
    locale = choose_locale(request.headers.get("accept-language"))
    return ValueError(f"{error.title(locale)}. {error.detail(locale)} [{error.code}]".replace("。.", "。"))


def form(*, name: str, group: str, description: str, model: type[BaseModel], work: Work) -> FormConfig:
    """Return a form whose `work` is done for the person signed in, all or nothing, once."""

    async def submit(request: Request, data: Any) -> str:
        person = request.user.user
        try:
            return await acting.act(
                account_id=person.account_id,
                may_act=person.may_act,
                form=name.replace(" ", "_").lower(),
                filled=data.model_dump_json(),
                now=asked_at.get(),
                work=lambda staff: work(staff, data),
            )
        except DomainError as error:
            raise told(error, request) from error

    return FormConfig(
        name=name,
        pydantic_model=model,
        endpoint=submit,
        description=description,
        form_group=group,
    )


async def _approve_tariff(staff: Staff, data: schemas.TariffForm) -> str:
    version = await tariffs.approve_version(
        version_id=data.version_id,
        company_ids=staff.company_ids("operator"),
        actor_id=staff.account_id,
        now=asked_at.get(),
    )
    return f"已批准 Approved: {version.name}"


async def _publish_tariff(staff: Staff, data: schemas.TariffForm) -> str:
    version = await tariffs.publish_version(
        version_id=data.version_id,
        company_ids=staff.company_ids("operator"),
        actor_id=staff.account_id,
        now=asked_at.get(),
    )
    return f"已发布 Published: {version.name}, {version.effective_from.isoformat()}"


async def _retire_tariff(staff: Staff, data: schemas.TariffForm) -> str:
    version = await lifecycle.retire_version(
        version_id=data.version_id,
        company_ids=staff.company_ids("operator"),
        actor_id=staff.account_id,
        now=asked_at.get(),
    )
    return f"已停用 Retired: {version.name}"


async def _correct_tariff(staff: Staff, data: schemas.TariffCorrectionForm) -> str:
    made = await tariff_corrections.propose(
        company_ids=staff.company_ids("operator"),
        version_id=data.version_id,
        replacement_id=data.replacement_id,
        reason=data.reason,
        actor_id=staff.account_id,
        role="platform",
        now=asked_at.get(),
    )
    touched = await tariff_corrections.estimate(correction=made)
    return f"待第二人复核 waits for a second person: {touched.orders} orders, {touched.difference_fen} fen ({made.id})"


async def _approve_tariff_correction(staff: Staff, data: schemas.DecideTariffCorrectionForm) -> str:
    made = await tariff_corrections.approve(
        correction_id=data.correction_id,
        company_ids=staff.company_ids("operator"),
        actor_id=staff.account_id,
        role="platform",
        now=asked_at.get(),
    )
    return f"已批准，开始重新计费 Approved, orders are billed anew: {made.id}"


async def _reject_tariff_correction(staff: Staff, data: schemas.RejectTariffCorrectionForm) -> str:
    await tariff_corrections.reject(
        correction_id=data.correction_id,
        company_ids=staff.company_ids("operator"),
        note=data.note,
        actor_id=staff.account_id,
        role="platform",
        now=asked_at.get(),
    )
    return "已驳回 Rejected"


async def _approve_package(staff: Staff, data: schemas.PackageForm) -> str:
    package = await packages.approve_package(staff=staff, package_id=data.package_id, now=asked_at.get())
    return f"已批准 Approved: {package.name_zh}"


async def _withdraw_package(staff: Staff, data: schemas.PackageForm) -> str:
    package = await packages.withdraw_package(staff=staff, package_id=data.package_id, now=asked_at.get())
    return f"已下架 Withdrawn: {package.name_zh}"


async def _approve_text(staff: Staff, data: schemas.TextForm) -> str:
    draft = await texts.approve_text(staff=staff, draft_id=data.draft_id, now=asked_at.get())
    return f"已批准 Approved: {draft.title}"


async def _withdraw_text(staff: Staff, data: schemas.TextForm) -> str:
    draft = await texts.withdraw_text(staff=staff, draft_id=data.draft_id, now=asked_at.get())
    return f"已撤回 Withdrawn: {draft.title}"


async def _approve_agreement(staff: Staff, data: schemas.AgreementForm) -> str:
    found = await review.approve(staff=staff, agreement_id=data.agreement_id, now=asked_at.get())
    return f"已批准 Approved: {found.id}"


async def _reject_agreement(staff: Staff, data: schemas.AgreementReasonForm) -> str:
    found = await review.reject(staff=staff, agreement_id=data.agreement_id, reason=data.reason, now=asked_at.get())
    return f"已驳回 Rejected: {found.id}"


async def _ask_for_more(staff: Staff, data: schemas.AgreementReasonForm) -> str:
    found = await review.ask_for_more(staff=staff, agreement_id=data.agreement_id, text=data.reason, now=asked_at.get())
    return f"已要求补充 Asked for more: {found.id}"


async def _terminate_agreement(staff: Staff, data: schemas.AgreementReasonForm) -> str:
    found = await review.terminate(staff=staff, agreement_id=data.agreement_id, reason=data.reason, now=asked_at.get())
    return f"已终止 Terminated: {found.id}"


async def _approve_rules(staff: Staff, data: schemas.RulesForm) -> str:
    version = await thresholds.approve(staff=staff, version_id=data.version_id, now=asked_at.get())
    return f"已批准 Approved: #{version.number}"


async def _reject_rules(staff: Staff, data: schemas.RulesForm) -> str:
    version = await thresholds.reject(staff=staff, version_id=data.version_id, now=asked_at.get())
    return f"已驳回 Rejected: #{version.number}"


async def _lift_suspension(staff: Staff, data: schemas.SuspensionForm) -> str:
    await on_site.lift_suspension(
        staff=staff, suspension_id=data.suspension_id, reason=data.reason, lift=True, now=asked_at.get()
    )
    return "已解除 Lifted"


async def _keep_suspension(staff: Staff, data: schemas.SuspensionForm) -> str:
    await on_site.lift_suspension(
        staff=staff, suspension_id=data.suspension_id, reason=data.reason, lift=False, now=asked_at.get()
    )
    return "已维持 Upheld"


def evidence_form() -> FormConfig:
    """Return the form that hands a piece of evidence out; the service writes down who looked."""

    async def submit(request: Request, data: schemas.EvidenceForm) -> FileResponse:
        person = request.user.user
        try:
            view, content = await review.open_evidence(
                staff=await acting.acting_staff(person.account_id),
                agreement_id=data.agreement_id,
                evidence_id=data.evidence_id,
                evidence=apply.store_of(acting.serving.get()),
                now=asked_at.get(),
            )
        except DomainError as error:
            raise told(error, request) from error
        kind = view.media_type.partition("/")[2]
        return FileResponse(BytesIO(content), f"{view.id}.{kind}", view.media_type)

    return FormConfig(
        name="Open evidence",
        pydantic_model=schemas.EvidenceForm,
        endpoint=submit,
        description="下载一份证明材料；查看行为将被记录。Hand out a piece of evidence; that you looked is audited.",
        form_group=AGREEMENTS,
    )


def forms() -> list[FormConfig]:
    """Return the forms about prices, agreements, bookings and safety."""
    second = "须由起草人以外的人员操作。A second person: not who drafted it."
    reads = "居民将看到理由。The resident reads the reason."
    rows: list[tuple[str, str, str, type[BaseModel], Work]] = [
        ("Approve tariff version", PRICES, second, schemas.TariffForm, _approve_tariff),
        (
            "Publish tariff version",
            PRICES,
            "发布已批准的价格版本；不可再修改。Publish an approved version; it is never edited after.",
            schemas.TariffForm,
            _publish_tariff,
        ),
        (
            "Retire tariff version",
            PRICES,
            "停用未生效的版本，或由其他版本接替的版本。One that has not begun, or whose place others take.",
            schemas.TariffForm,
            _retire_tariff,
        ),
        (
            "Correct orders of tariff",
            PRICES,
            "误发布的版本：其订单按另一版本重新计费，须第二人复核。"
            "For a mispublished version: its orders are billed by another one, once a second person says yes.",
            schemas.TariffCorrectionForm,
            _correct_tariff,
        ),
        ("Approve tariff correction", PRICES, second, schemas.DecideTariffCorrectionForm, _approve_tariff_correction),
        (
            "Reject tariff correction",
            PRICES,
            "价格更正不予通过。Say no to a correction.",
            schemas.RejectTariffCorrectionForm,
            _reject_tariff_correction,
        ),
        ("Approve package", AGREEMENTS, second, schemas.PackageForm, _approve_package),
        (
            "Withdraw package",
            AGREEMENTS,
            "不再提供；已选用者不受影响。No longer offered; who chose it keeps it.",
            schemas.PackageForm,
            _withdraw_package,
        ),
        ("Approve agreement text", AGREEMENTS, second, schemas.TextForm, _approve_text),
        ("Withdraw agreement text", AGREEMENTS, "撤回草稿。Withdraw a draft.", schemas.TextForm, _withdraw_text),
        (
            "Approve agreement",
            AGREEMENTS,
            "申请人有 30 天时间签署。The applicant has 30 days to sign.",
            schemas.AgreementForm,
            _approve_agreement,
        ),
        ("Reject agreement", AGREEMENTS, reads, schemas.AgreementReasonForm, _reject_agreement),
        ("Ask applicant for more", AGREEMENTS, reads, schemas.AgreementReasonForm, _ask_for_more),
        ("Terminate agreement", AGREEMENTS, reads, schemas.AgreementReasonForm, _terminate_agreement),
        (
            "Lift suspension",
            BOOKINGS,
            "解除预约暂停。End a suspension of bookings.",
            schemas.SuspensionForm,
            _lift_suspension,
        ),
        (
            "Uphold suspension",
            BOOKINGS,
            "驳回申诉，维持暂停。Refuse the appeal.",
            schemas.SuspensionForm,
            _keep_suspension,
        ),
        ("Approve safety rules", SAFETY, second, schemas.RulesForm, _approve_rules),
        ("Reject safety rules", SAFETY, "驳回提议。Turn a proposal down.", schemas.RulesForm, _reject_rules),
    ]
    return [
        form(name=name, group=group, description=text, model=model, work=work)
        for name, group, text, model, work in rows
    ]
