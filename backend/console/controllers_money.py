"""The forms of the console about money: refunds, corrections, disputes; limits and second persons are the services'."""

from piccolo_admin.endpoints import FormConfig

from backend.accounts import service as accounts
from backend.charging.rules.words import yuan
from backend.charging.service import corrections, orders
from backend.charging.service.orders import OrderView
from backend.console import schemas
from backend.console.controllers_forms import Work, form
from backend.console.tables import asked_at
from backend.core.auth import Staff
from backend.payments.service import limits, refunds

MONEY = "资金 Money"
ROLE = "platform"


async def _order(staff: Staff, order_id: object) -> OrderView:
    return await orders.get_company_order(order_id=order_id, company_ids=staff.company_ids("operator"))  # type: ignore[arg-type]


async def _request_refund(staff: Staff, data: schemas.RefundForm) -> str:
    made = await refunds.request_refund(
        company_ids=staff.company_ids("operator"),
        amount_fen=data.amount_fen,
        reason=data.reason,
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
        order_id=data.order_id,
    )
    waits = made.state == "pending"
    return f"¥{yuan(made.amount_fen)}: " + ("待第二人复核 waits for a second person" if waits else "已发起 on its way")


async def _approve_refund(staff: Staff, data: schemas.RequestForm) -> str:
    made = await refunds.approve(
        request_id=data.request_id,
        company_ids=staff.company_ids("operator"),
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
    )
    return f"¥{yuan(made.amount_fen)}: 已批准 approved"


async def _reject_refund(staff: Staff, data: schemas.RequestNoteForm) -> str:
    await refunds.reject(
        request_id=data.request_id,
        company_ids=staff.company_ids("operator"),
        note=data.note,
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
    )
    return "已驳回 Rejected"


async def _correct_energy(staff: Staff, data: schemas.CorrectionForm) -> str:
    bands = {"sharp": data.sharp_wh, "peak": data.peak_wh, "flat": data.flat_wh, "valley": data.valley_wh}
    made = await corrections.propose(
        order=await _order(staff, data.order_id),
        reason=data.reason,
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
        energy_wh={band: energy for band, energy in bands.items() if energy},
    )
    return _corrected(made)


async def _correct_overstay(staff: Staff, data: schemas.OverstayForm) -> str:
    made = await corrections.propose(
        order=await _order(staff, data.order_id),
        reason=data.reason,
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
        overstay_fee_fen=data.overstay_fee_fen,
    )
    return _corrected(made)


def _corrected(made: corrections.CorrectionView) -> str:
    state = "待第二人复核 waits for a second person" if made.state == "pending" else "已执行 applied"
    return f"{made.before.total_fen} → {made.after.total_fen} fen: {state} ({made.id})"


async def _approve_correction(staff: Staff, data: schemas.DecideCorrectionForm) -> str:
    made = await corrections.approve(
        order=await _order(staff, data.order_id),
        correction_id=data.correction_id,
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
    )
    return _corrected(made)


async def _reject_correction(staff: Staff, data: schemas.RejectCorrectionForm) -> str:
    await corrections.reject(
        order=await _order(staff, data.order_id),
        correction_id=data.correction_id,
        note=data.note,
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
    )
    return "已驳回 Rejected"


async def _answer_dispute(staff: Staff, data: schemas.OrderTextForm) -> str:
    await orders.answer_dispute(
        order=await _order(staff, data.order_id),
        answer=data.text,
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
    )
    return "已答复 Answered"


async def _write_off(staff: Staff, data: schemas.OrderTextForm) -> str:
    await orders.write_off(
        order=await _order(staff, data.order_id),
        reason=data.text,
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
    )
    return "已免收 Closed without charge"


async def _propose_limit(staff: Staff, data: schemas.LimitForm) -> str:
    company = await accounts.get_operator_company(company_id=data.operator_company_id)
    made = await limits.propose_limit(
        operator_company_id=company.id,
        amount_fen=data.amount_fen,
        reason=data.reason,
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
    )
    waits = "待第二人复核 waits for a second person" if made.state == "pending" else "已生效 in force"
    return f"{company.name}: ¥{yuan(data.amount_fen)}: {waits} ({made.id})"


async def _approve_limit(staff: Staff, data: schemas.LimitChangeForm) -> str:
    made = await limits.approve_limit(
        change_id=data.change_id,
        company_ids=staff.company_ids("operator"),
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
    )
    return f"¥{yuan(made.second_person_above_fen)}: 已生效 in force"


async def _reject_limit(staff: Staff, data: schemas.LimitChangeForm) -> str:
    await limits.reject_limit(
        change_id=data.change_id,
        company_ids=staff.company_ids("operator"),
        actor_id=staff.account_id,
        role=ROLE,
        now=asked_at.get(),
    )
    return "已驳回 Rejected"


def forms() -> list[FormConfig]:
    """Return the forms about money."""
    decides = "须由发起人以外的人员操作。A second person: not who asked."
    rows: list[tuple[str, str, type[schemas.Form], Work]] = [
        (
            "Request refund",
            "退回原支付渠道；超过限额须第二人复核。To the channel that paid; above the limit a second person decides.",
            schemas.RefundForm,
            _request_refund,
        ),
        ("Approve refund", decides, schemas.RequestForm, _approve_refund),
        ("Reject refund", "退款申请不予通过。Say no to a request.", schemas.RequestNoteForm, _reject_refund),
        (
            "Correct energy of order",
            "填写各时段正确电量，按订单原价重新计费。The right energy of each band; priced as the order was.",
            schemas.CorrectionForm,
            _correct_energy,
        ),
        (
            "Correct overstay fee",
            "更正占位费。Another overstay fee for a bill.",
            schemas.OverstayForm,
            _correct_overstay,
        ),
        ("Approve correction", decides, schemas.DecideCorrectionForm, _approve_correction),
        (
            "Reject correction",
            "更正不予通过。Say no to a correction.",
            schemas.RejectCorrectionForm,
            _reject_correction,
        ),
        ("Answer dispute", "答复居民异议。The resident reads the answer.", schemas.OrderTextForm, _answer_dispute),
        (
            "Write order off",
            "无法计量的订单免收费用。A bill under review that cannot be measured: no charge.",
            schemas.OrderTextForm,
            _write_off,
        ),
        (
            "Propose second person limit",
            "退款与更正的复核限额：调低立即生效，调高须第二人复核。"
            "The amount above which refunds and corrections need a second person: lower at once, higher by two people.",
            schemas.LimitForm,
            _propose_limit,
        ),
        ("Approve second person limit", decides, schemas.LimitChangeForm, _approve_limit),
        ("Reject second person limit", "限额变更不予通过。Say no to it.", schemas.LimitChangeForm, _reject_limit),
    ]
    return [form(name=name, group=MONEY, description=text, model=model, work=work) for name, text, model, work in rows]
