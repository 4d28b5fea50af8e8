"""What a month's workbook has on its sheets: names and columns in Chinese and English; amounts are whole fen."""

from typing import Literal, TypeAlias

SheetName: TypeAlias = Literal[
    "summary", "orders", "lines", "packages", "corrections", "payments", "refunds", "ledger", "days"
]

TITLES: dict[SheetName, tuple[str, str]] = {
    "summary": ("概要", "Summary"),
    "orders": ("订单", "Orders"),
    "lines": ("订单明细", "Order lines"),
    "packages": ("月度账单", "Statements"),
    "corrections": ("订单更正", "Corrections"),
    "payments": ("收款", "Payments"),
    "refunds": ("退款", "Refunds"),
    "ledger": ("分录", "Ledger"),
    "days": ("对账", "Reconciliation"),
}

COLUMNS: dict[SheetName, tuple[tuple[str, str, str], ...]] = {
    "orders": (
        ("order_id", "订单号", "Order"),
        ("session_id", "充电会话", "Session"),
        ("station", "充电站", "Station"),
        ("charger_code", "充电桩", "Charger"),
        ("connector_number", "枪号", "Connector"),
        ("agreement_id", "协议号", "Agreement"),
        ("user_class", "价格类别", "User class"),
        ("status", "状态", "Status"),
        ("accepted_at", "启动确认时间", "Start acknowledged at"),
        ("started_at", "开始时间", "Started at"),
        ("ended_at", "结束时间", "Ended at"),
        ("start_meter_wh", "起始电表示数(Wh)", "Start meter (Wh)"),
        ("end_meter_wh", "结束电表示数(Wh)", "End meter (Wh)"),
        ("energy_wh", "电量(Wh)", "Energy (Wh)"),
        ("energy_fee_fen", "电费(分)", "Energy fee (fen)"),
        ("service_fee_fen", "服务费(分)", "Service fee (fen)"),
        ("overstay_fee_fen", "占位费(分)", "Overstay fee (fen)"),
        ("parking_fee_fen", "停车费(分)", "Parking fee (fen)"),
        ("discount_fen", "优惠(分)", "Discount (fen)"),
        ("total_fen", "合计(分)", "Total (fen)"),
        ("closed_at", "出账时间", "Closed at"),
        ("paid_at", "支付时间", "Paid at"),
        ("payment_id", "支付记录", "Payment"),
    ),
    "lines": (
        ("order_id", "订单号", "Order"),
        ("band", "时段", "Band"),
        ("energy_wh", "电量(Wh)", "Energy (Wh)"),
        ("included_wh", "套餐内电量(Wh)", "Included by package (Wh)"),
        ("energy_e4", "电价(万分之一元/kWh)", "Energy price (1/10000 yuan/kWh)"),
        ("service_e4", "服务费单价(万分之一元/kWh)", "Service price (1/10000 yuan/kWh)"),
        ("energy_fee_fen", "电费(分)", "Energy fee (fen)"),
        ("service_fee_fen", "服务费(分)", "Service fee (fen)"),
    ),
    "packages": (
        ("statement_id", "账单号", "Statement"),
        ("status", "状态", "Status"),
        ("agreement_id", "协议号", "Agreement"),
        ("kind", "套餐类型", "Package kind"),
        ("name", "套餐", "Package"),
        ("starts_at", "周期起", "Period from"),
        ("ends_at", "周期止", "Period to"),
        ("orders_count", "订单数", "Orders"),
        ("energy_wh", "电量(Wh)", "Energy (Wh)"),
        ("included_wh", "包含电量(Wh)", "Included (Wh)"),
        ("used_wh", "已用包含电量(Wh)", "Included and used (Wh)"),
        ("service_fee_fen", "服务费(分)", "Service fees (fen)"),
        ("cap_fen", "服务费上限(分)", "Cap (fen)"),
        ("price_fen", "套餐价(分)", "Package price (fen)"),
        ("package_fee_fen", "套餐费(分)", "Package fee (fen)"),
        ("made_at", "出账时间", "Made at"),
        ("paid_at", "支付时间", "Paid at"),
        ("payment_id", "支付记录", "Payment"),
    ),
    "corrections": (
        ("id", "更正号", "Correction"),
        ("order_id", "订单号", "Order"),
        ("difference_fen", "差额(分)", "Difference (fen)"),
        ("reason", "原因", "Reason"),
        ("decided_at", "生效时间", "Applied at"),
    ),
    "payments": (
        ("id", "支付记录", "Payment"),
        ("paid_for", "订单或账单号", "Order or statement"),
        ("provider", "支付渠道", "Provider"),
        ("merchant_no", "商户号", "Merchant"),
        ("channel", "支付方式", "Channel"),
        ("number", "商户订单号", "Our number"),
        ("transaction_no", "渠道交易号", "Provider's number"),
        ("amount_fen", "金额(分)", "Amount (fen)"),
        ("paid_at", "支付时间", "Paid at"),
        ("booked_at", "记账时间", "Booked at"),
    ),
    "refunds": (
        ("id", "退款记录", "Refund"),
        ("payment_id", "支付记录", "Payment"),
        ("provider", "支付渠道", "Provider"),
        ("merchant_no", "商户号", "Merchant"),
        ("number", "商户退款单号", "Our number"),
        ("provider_no", "渠道退款单号", "Provider's number"),
        ("amount_fen", "金额(分)", "Amount (fen)"),
        ("reason", "原因", "Reason"),
        ("asked_at", "申请时间", "Asked at"),
        ("booked_at", "记账时间", "Booked at"),
    ),
    "ledger": (
        ("entry_id", "凭证号", "Entry"),
        ("kind", "业务", "Kind"),
        ("reference_id", "业务单号", "Reference"),
        ("posted_at", "记账时间", "Posted at"),
        ("account_code", "科目", "Account"),
        ("amount_fen", "借方为正(分)", "Debit positive (fen)"),
    ),
    "days": (
        ("day", "账单日", "Day"),
        ("provider", "支付渠道", "Provider"),
        ("merchant_no", "商户号", "Merchant"),
        ("state", "结果", "Outcome"),
        ("bill_payments_fen", "渠道收款(分)", "Provider's payments (fen)"),
        ("our_payments_fen", "我方收款(分)", "Our payments (fen)"),
        ("bill_refunds_fen", "渠道退款(分)", "Provider's refunds (fen)"),
        ("our_refunds_fen", "我方退款(分)", "Our refunds (fen)"),
        ("bill_fees_fen", "渠道手续费(分)", "Provider's fees (fen)"),
        ("differences", "差异笔数", "Differences"),
    ),
}


def title_of(sheet: SheetName, locale: str) -> str:
    """Return the sheet's name."""
    return TITLES[sheet][0 if locale == "zh-CN" else 1]


def headings_of(sheet: SheetName, locale: str) -> list[str]:
    """Return the headings of the sheet's columns."""
    return [column[1 if locale == "zh-CN" else 2] for column in COLUMNS[sheet]]


def fields_of(sheet: SheetName) -> list[str]:
    """Return the fields of the sheet's columns."""
    return [column[0] for column in COLUMNS[sheet]]
