"""What the console's forms ask for; Piccolo Admin draws a form from each of these."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Form(BaseModel):
    """What all forms have in common: unknown fields are refused, text comes without blanks around it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class TariffForm(Form):
    version_id: UUID = Field(title="价格版本 Tariff version id")


class TariffCorrectionForm(TariffForm):
    replacement_id: UUID = Field(title="正确的价格版本 Id of the version that is right")
    reason: str = Field(title="理由（居民可见）Reason, which residents read", min_length=2, max_length=500)


class DecideTariffCorrectionForm(Form):
    correction_id: UUID = Field(title="价格更正 Tariff correction id")


class RejectTariffCorrectionForm(DecideTariffCorrectionForm):
    note: str = Field(title="说明 Note", min_length=2, max_length=500)


class PackageForm(Form):
    package_id: UUID = Field(title="套餐 Package id")


class TextForm(Form):
    draft_id: UUID = Field(title="文本草稿 Text draft id")


class AgreementForm(Form):
    agreement_id: UUID = Field(title="协议 Agreement id")


class AgreementReasonForm(AgreementForm):
    reason: str = Field(title="理由（居民可见）Reason, which the resident reads", min_length=2, max_length=500)


class EvidenceForm(AgreementForm):
    evidence_id: UUID = Field(title="证明材料 Evidence id")


class RefundForm(Form):
    order_id: UUID = Field(title="订单 Order id")
    amount_fen: int = Field(title="金额（分；1250 = 12.50 元）Amount in fen (1250 = ¥12.50)", ge=1)
    reason: str = Field(title="理由（居民可见）Reason, which the resident reads", min_length=2, max_length=80)


class RequestForm(Form):
    request_id: UUID = Field(title="退款申请 Refund request id")


class RequestNoteForm(RequestForm):
    note: str = Field(title="说明 Note", min_length=2, max_length=200)


class CorrectionForm(Form):
    order_id: UUID = Field(title="订单 Order id")
    sharp_wh: int = Field(default=0, title="尖峰电量 Energy in the sharp band, Wh", ge=0, le=2_000_000)
    peak_wh: int = Field(default=0, title="高峰电量 Energy in the peak band, Wh", ge=0, le=2_000_000)
    flat_wh: int = Field(default=0, title="平段电量 Energy in the flat band, Wh", ge=0, le=2_000_000)
    valley_wh: int = Field(default=0, title="低谷电量 Energy in the valley band, Wh", ge=0, le=2_000_000)
    reason: str = Field(title="理由（居民可见）Reason, which the resident reads", min_length=2, max_length=500)


class OverstayForm(Form):
    order_id: UUID = Field(title="订单 Order id")
    overstay_fee_fen: int = Field(title="占位费（分）Overstay fee in fen", ge=0, le=100_000)
    reason: str = Field(title="理由（居民可见）Reason, which the resident reads", min_length=2, max_length=500)


class DecideCorrectionForm(Form):
    order_id: UUID = Field(title="订单 Order id")
    correction_id: UUID = Field(title="更正 Correction id")


class RejectCorrectionForm(DecideCorrectionForm):
    note: str = Field(title="说明 Note", min_length=2, max_length=500)


class OrderTextForm(Form):
    order_id: UUID = Field(title="订单 Order id")
    text: str = Field(title="内容 Text", min_length=2, max_length=500)


class LimitChangeForm(Form):
    change_id: UUID = Field(title="限额变更 Limit change id")


class LimitForm(Form):
    operator_company_id: UUID = Field(title="公司 Operator company id")
    reason: str = Field(title="理由 Reason", min_length=2, max_length=200)
    amount_fen: int = Field(title="限额（分；10000 = 100 元）Limit in fen (10000 = ¥100)", ge=0, le=10_000_000)


class RulesForm(Form):
    version_id: UUID = Field(title="告警阈值版本 Rule version id")


class SuspensionForm(Form):
    suspension_id: UUID = Field(title="暂停 Suspension id")
    reason: str = Field(title="理由 Reason", min_length=2, max_length=500)
