"""Every text a person is sent, in zh-CN and English, short enough for a lock screen and free of personal data.

A placeholder may name only what `PLACEHOLDERS` lists: never a phone number, a plate, or a person (domain.md, PIPL: no
personal data in push payloads). Texts that are still too long after filling are cut with an ellipsis.
Everyone may add templates; keep them in alphabetical order.
"""

import string
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from backend.notifications.rules.texts_booking import BOOKING_TEXTS
from backend.notifications.rules.texts_safety import SAFETY_TEXTS

TITLE_WIDTH = 40
"""Columns of a title; a Chinese character takes two."""
BODY_WIDTH = 178
"""Columns of a body: about four lines of a locked phone."""

PLACEHOLDERS = frozenset(
    {
        "area",
        "bay",
        "before_yuan",
        "code",
        "connector",
        "count",
        "day",
        "device",
        "difference_yuan",
        "energy_kwh",
        "kind",
        "level",
        "minutes",
        "reason",
        "seconds",
        "starts",
        "station",
        "total_yuan",
        "until",
    }
)


@dataclass(frozen=True)
class Template:
    """One message: title and body per language; `{names}` are filled in."""

    title_zh: str
    body_zh: str
    title_en: str
    body_en: str

    def placeholders(self) -> frozenset[str]:
        """Return the names that must be given."""
        texts = (self.title_zh, self.body_zh, self.title_en, self.body_en)
        return frozenset(name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name)


@dataclass(frozen=True)
class Text:
    """A template filled in."""

    title: str
    body: str


TEMPLATES: dict[str, Template] = {
    "action_failed": Template(
        "请立即人工处置：{station}",
        "{station}：自动措施未生效（{kind}），请立即人工处置。",
        "Act by hand: {station}",
        "{station}: an automatic action had no effect ({kind}). Act by hand now.",
    ),
    "agreement_approved": Template(
        "惠民充电协议已通过审核",
        "请在应用内阅读协议全文并签署，签署后享受协议价。",
        "Agreement approved",
        "Read and sign it in the app to charge at the agreement price.",
    ),
    "agreement_driver_named": Template(
        "您已被登记为驾驶人",
        "登录应用即可按惠民充电协议的价格为该车充电。",
        "You are named as a driver",
        "Log in to charge this car at the agreement price.",
    ),
    "agreement_driver_removed": Template(
        "您不再是登记驾驶人",
        "协议持有人已将您移除；您以该协议预约的后续时段将被取消，不计爽约。",
        "You are no longer a named driver",
        "The holder took you off; what you booked ahead under the agreement is given back, not as a no-show.",
    ),
    "agreement_expiring": Template(
        "惠民充电协议将于{until}到期",
        "可在应用内续签；到期后按市场价计费。",
        "Agreement ends on {until}",
        "Renew it in the app; afterwards charging is at the market price.",
    ),
    "agreement_more_wanted": Template(
        "惠民充电协议申请需补充材料",
        "请在应用内查看服务商的要求，补充后重新提交。",
        "More is wanted for your application",
        "Read in the app what the company asks for, add it and hand in again.",
    ),
    "agreement_rejected": Template(
        "惠民充电协议未通过审核",
        "请在应用内查看原因，可补充材料后重新提交。",
        "Agreement not approved",
        "Read the reason in the app; you may add evidence and apply again.",
    ),
    "agreement_signed": Template(
        "惠民充电协议已生效",
        "充电服务费不超过0.5元/度，可预约居民专区。",
        "Agreement signed",
        "Your service fee is at most 0.5 yuan/kWh and you may book the resident zone.",
    ),
    "agreement_terminated": Template(
        "惠民充电协议已终止",
        "请在应用内查看原因；此后的充电按市场价计费。",
        "Agreement ended",
        "Read the reason in the app; charging is at the market price from now on.",
    ),
    "battery_critical": Template(
        "充电已停止：电池异常",
        "{station}检测到您的车辆电池异常，已停止充电。请勿靠近车辆，工作人员正在处理。",
        "Charging stopped: battery alarm",
        "{station} found a battery fault in your car and stopped charging. Keep away; staff are on it.",
    ),
    "battery_warning": Template(
        "电池温度偏高",
        "{station}：您的车辆电池数据异常，请留意，必要时请停止充电。",
        "Battery warning",
        "{station}: your car's battery readings are unusual. Keep an eye on it; stop charging if needed.",
    ),
    "bay_blocked": Template(
        "您的车位被占用",
        "{station} {bay}号车位被其他车辆占用，正在为您处理。",
        "Your bay is blocked",
        "{station}: another car stands in bay {bay}. We are dealing with it.",
    ),
    "bill_differs": Template(
        "对账有差异",
        "{day}的渠道账单有{count}笔差异，请在对账页面核对。",
        "A bill differs",
        "The provider's bill of {day} has {count} differences. See the reconciliation of that day.",
    ),
    "bill_unreadable": Template(
        "账单无法核对",
        "{day}的渠道账单内容异常，未能对账，请联系平台。",
        "A bill cannot be read",
        "The provider's bill of {day} is not what it should be and was not compared. Ask the platform.",
    ),
    "bind_code": Template(
        "绑定验证码",
        "您的手机绑定验证码为{code}，5分钟内有效，请勿告知他人。",
        "Binding code",
        "Your code to bind this phone is {code}, valid for 5 minutes. Do not share it.",
    ),
    "charge_interrupted": Template(
        "充电已中断",
        "{station}：充电中断，原因：{reason}。",
        "Charging interrupted",
        "{station}: charging was interrupted: {reason}.",
    ),
    "charge_slow": Template(
        "充电功率偏低",
        "{station}：功率低于可用功率的一半已超过10分钟。",
        "Charging is slow",
        "{station}: power has been below half of the offer for 10 minutes.",
    ),
    "charge_stopped_for_safety": Template(
        "充电已停止：安全原因",
        "{station}因安全原因停止了充电，请留意后续通知。",
        "Charging stopped for safety",
        "{station} stopped charging for safety. Watch for further messages.",
    ),
    "charge_target_reached": Template(
        "充电目标已达到",
        "{station}：已充{energy_kwh}度，请及时驶离车位。",
        "Charging target reached",
        "{station}: {energy_kwh} kWh charged. Please free the bay soon.",
    ),
    "compensation": Template(
        "等候补偿",
        "让您久等了，下次账单将减免{total_yuan}元。",
        "Compensation for waiting",
        "Sorry for the wait: {total_yuan} yuan will be taken off your next bill.",
    ),
    "device_fault_task": Template(
        "新任务：设备异常",
        "{station} {device}：{reason}，请前往查看。",
        "New task: device fault",
        "{station} {device}: {reason}. Please have a look.",
    ),
    "drill_page": Template(
        "【演练】{station}",
        "【演练】{station}：{reason}。请按预案到场并确认，非真实险情。",
        "DRILL: {station}",
        "DRILL at {station}: {reason}. Respond as for a real alarm; nothing has happened.",
    ),
    "finding_overdue": Template(
        "整改逾期：{station}",
        "{station}有一项整改已超过期限，请尽快处理并登记。",
        "Rectification overdue: {station}",
        "A finding at {station} is past its deadline. Put it right and record it.",
    ),
    "incident_escalated": Template(
        "事件升级：{station}",
        "{station}的{level}级事件尚无人确认，请立即处理。",
        "Escalated: {station}",
        "Nobody has acknowledged the {level} incident at {station}. Act now.",
    ),
    "incident_page": Template(
        "紧急：{station}",
        "{station}发生紧急事件：{reason}。请立即核实，火情请拨打119，并在应用内确认。",
        "Emergency: {station}",
        "Emergency at {station}: {reason}. Verify at once, call 119 in case of fire, acknowledge in the app.",
    ),
    "inspection_overdue": Template(
        "巡检逾期：{station}",
        "{station}的定期巡检已超过期限，请尽快安排。",
        "Inspection overdue: {station}",
        "A regular inspection of {station} is past its date. Have it done.",
    ),
    "login_code": Template(
        "登录验证码",
        "您的登录验证码为{code}，5分钟内有效，请勿告知他人。",
        "Login code",
        "Your login code is {code}, valid for 5 minutes. Do not share it.",
    ),
    "move_your_car": Template(
        "请移走您的车辆",
        "您的车辆占用了{station}的充电车位，请尽快驶离。",
        "Please move your car",
        "Your car blocks a charging bay at {station}. Please move it soon.",
    ),
    "order_corrected": Template(
        "充电账单已更正",
        "{station}：账单由{before_yuan}元更正为{total_yuan}元，更正前后明细可在应用内查看。",
        "Your bill was corrected",
        "{station}: {total_yuan} instead of {before_yuan} yuan. The app shows the bill before and after.",
    ),
    "order_corrected_back": Template(
        "账单已更正，差额退回",
        "{station}：账单更正为{total_yuan}元，多收的{difference_yuan}元将原路退回。",
        "Bill corrected: money comes back",
        "{station}: the bill is {total_yuan} yuan now. {difference_yuan} yuan go back the way you paid.",
    ),
    "order_corrected_more": Template(
        "账单已更正，需补缴",
        "{station}：账单更正为{total_yuan}元，请在应用内补缴{difference_yuan}元，明细可查看。",
        "Bill corrected: more is to be paid",
        "{station}: the bill is {total_yuan} yuan now. Please pay the other {difference_yuan} yuan in the app.",
    ),
    "order_paid": Template(
        "支付成功",
        "您的充电订单已支付{total_yuan}元，可在应用内查看明细。",
        "Payment received",
        "Your charging order of {total_yuan} yuan is paid. See the lines in the app.",
    ),
    "order_ready": Template(
        "充电账单已生成",
        "{station}：充电{energy_kwh}度，共{total_yuan}元，请在应用内支付。",
        "Your bill is ready",
        "{station}: {energy_kwh} kWh, {total_yuan} yuan. Please pay in the app.",
    ),
    "overstay_started": Template(
        "占位费开始计费",
        "{station}：充电已结束，占位费开始计算，请尽快驶离。",
        "Overstay fee has started",
        "{station}: charging is over and the overstay fee is running. Please move your car.",
    ),
    "overstay_warning": Template(
        "请及时驶离",
        "{station}：充电已结束，{minutes}分钟后开始收取占位费。",
        "Please free the bay",
        "{station}: charging is over. The overstay fee starts in {minutes} minutes.",
    ),
    "package_withdrawn": Template(
        "套餐将停止提供",
        "您的套餐“{kind}”用至{until}，之后转为按量计费，可在应用内另选套餐。",
        "Your package ends",
        "“{kind}” is yours until {until}; then you pay as you go. Choose another one in the app.",
    ),
    "refund_done": Template(
        "退款成功",
        "{total_yuan}元已原路退回。",
        "Refund made",
        "{total_yuan} yuan went back to the channel that paid.",
    ),
    "refund_failed": Template(
        "退款失败",
        "一笔{total_yuan}元的退款未被支付渠道执行，请在退款列表中处理。",
        "A refund failed",
        "The provider did not carry out a refund of {total_yuan} yuan. See the list of refunds.",
    ),
    "refund_waits": Template(
        "退款等待中",
        "一笔{total_yuan}元的退款未被支付渠道受理，系统每小时重试，请检查商户账户余额。",
        "A refund waits",
        "The provider does not take a refund of {total_yuan} yuan. It is tried hourly; check the balance.",
    ),
    "reservation_cancelled": Template(
        "预约已取消",
        "{station} {starts}的预约已取消。",
        "Booking cancelled",
        "Your booking at {station}, {starts}, is cancelled.",
    ),
    "reservation_confirmed": Template(
        "预约成功",
        "{station} {starts}，车位{bay}，请按时到达。",
        "Booking confirmed",
        "{station}, {starts}, bay {bay}. See you there.",
    ),
    "session_ended": Template(
        "充电已结束",
        "{station}：已充{energy_kwh}度，请拔枪并驶离车位。",
        "Charging has ended",
        "{station}: {energy_kwh} kWh charged. Please unplug and free the bay.",
    ),
    "session_started": Template(
        "充电已开始",
        "{station} {connector}号枪开始充电。",
        "Charging has started",
        "{station}: connector {connector} is charging.",
    ),
    "sign_code": Template(
        "签署验证码",
        "您的协议签署验证码为{code}，5分钟内有效，请勿告知他人。",
        "Signing code",
        "Your signing code is {code}, valid for 5 minutes. Do not share it.",
    ),
    "signing_limit_reached": Template(
        "签约数已到上限：{station}",
        "签约数已达承载上限，再签约将使排队超过5分钟，请考虑增加充电枪。",
        "Signing limit reached: {station}",
        "It carries as many agreements as it can. With more, people wait longer than 5 minutes.",
    ),
    "statement_corrected": Template(
        "月度账单已更正",
        "因订单更正，套餐费由{before_yuan}元变为{total_yuan}元，多收将退回，少收请在应用内补缴。",
        "Your monthly statement was corrected",
        "An order in it was corrected: the package fee is {total_yuan} instead of {before_yuan} yuan.",
    ),
    "statement_ready": Template(
        "充电月度账单已出",
        "本月套餐费{total_yuan}元，应用内可查看明细与服务费上限计算。",
        "Your monthly statement is ready",
        "Package fee {total_yuan} yuan. The app shows every order and how the fee cap was applied.",
    ),
    "task_assigned": Template(
        "新任务：{station}",
        "{station}：{reason}，请及时处理。",
        "New task: {station}",
        "{station}: {reason}. Please take care of it.",
    ),
    "wait_fallback": Template(
        "等候方案更新",
        "{station}：预计等候超过5分钟，已为您安排：{reason}。",
        "A better way to charge",
        "{station}: the wait would pass 5 minutes. We arranged: {reason}.",
    ),
}

TEMPLATES |= {name: Template(*words) for name, words in (BOOKING_TEXTS | SAFETY_TEXTS).items()}


class UnknownTemplate(KeyError):
    """No template of that name: add it to TEMPLATES."""


class MissingParams(ValueError):
    """A template was used without all of its placeholders, or with one that is not allowed."""


def get(name: str) -> Template:
    """Return the template called `name`; raises UnknownTemplate."""
    try:
        return TEMPLATES[name]
    except KeyError:
        raise UnknownTemplate(name) from None


def check_params(name: str, params: Mapping[str, str | int]) -> None:
    """Refuse params that leave a placeholder open or carry a name that is not in PLACEHOLDERS."""
    if missing := get(name).placeholders() - params.keys():
        raise MissingParams(f"{name} needs {', '.join(sorted(missing))}")
    if foreign := params.keys() - PLACEHOLDERS:
        raise MissingParams(f"{name}: {', '.join(sorted(foreign))} must not go into a message")


def width(text: str) -> int:
    """Return the columns `text` takes; wide and full-width characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def fit(text: str, limit: int) -> str:
    """Return `text` cut to `limit` columns, with an ellipsis where something was left out."""
    if width(text) <= limit:
        return text
    kept, used = [], 0
    for char in text:
        used += width(char)
        if used > limit - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def render(name: str, *, locale: str, params: Mapping[str, str | int]) -> Text:
    """Return the filled texts of template `name` in `locale`, cut to the lock screen."""
    template = get(name)
    title, body = (template.title_en, template.body_en) if locale == "en" else (template.title_zh, template.body_zh)
    return Text(
        title=fit(title.format_map(params), TITLE_WIDTH),
        body=fit(body.format_map(params), BODY_WIDTH),
    )


def provider_code(kind: str, name: str, locale: str) -> str:
    """Return the default code of a template at the SMS ("SMS") or voice ("TTS") provider."""
    return f"{kind}_{name}_{'en' if locale == 'en' else 'zh'}"


def provider_contents() -> dict[str, str]:
    """Return every template as the SMS and voice provider approves it: code → text with ${names}."""
    contents: dict[str, str] = {}
    for name, template in TEMPLATES.items():
        for locale, body in (("zh-CN", template.body_zh), ("en", template.body_en)):
            for kind in ("SMS", "TTS"):
                contents[provider_code(kind, name, locale)] = body.replace("{", "${")
    return contents
