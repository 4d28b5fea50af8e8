"""Who may call which operation of the API, on which of the world's objects, and with which body.

One line for each operation: `resident` (alice only), `staff` (these roles of alice's operator company: G guard, L lead,
O operator, I inspector), `anyone`, and `EXEMPT` with the reason. An operation that is in none of them fails the test.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.cast import BOB
from tests.factories.agreements import DECLARATION, PNG
from tests.house.world import HOUR, MAY, PACKAGE, TARIFF, World

DAY = timedelta(days=1)
Made = Callable[[World], Any]


@dataclass(frozen=True)
class Case:
    """How an operation is called on what is not the caller's."""

    operation: str
    who: str
    """Letters of the roles that may call it at the owner's company; "resident" or "anyone"."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """Path parameters by the name of the world's object; a name the world does not know stands for itself."""
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    by_station: bool = True
    """Whether a guard of another station of the same company is kept out too."""
    lists: bool = False
    """Whether it lists what is behind its id: for strangers the list is empty."""


def _case(operation: str, who: str, more: dict[str, Any]) -> Case:
    named = {key: more.pop(key) for key in ("body", "query", "by_station", "lists") if key in more}
    return Case(operation, who, more, **named)


def resident(operation: str, **more: Any) -> Case:
    """What alice alone may do."""
    return _case(operation, "resident", more)


def staff(operation: str, roles: str, **more: Any) -> Case:
    """What these roles of alice's operator company may do."""
    return _case(operation, roles, more)


def anyone(operation: str, **more: Any) -> Case:
    """What everybody may call, and where nothing of alice may be seen; or where each sees only what is their own."""
    return _case(operation, "anyone", more)


PHOTO = {"file": ("a.png", PNG, "image/png")}
SHEET = {"file": ("a.csv", b"code,kind\nX9,smoke\n", "text/csv")}
WHY = {"reason": "to be sure"}


def at(w: World, days: float) -> str:
    """An instant from the world's now, as clients write it."""
    return (w.now + timedelta(days=days)).isoformat()


def slot(w: World) -> dict[str, str]:
    return {"starts_at": at(w, 1), "ends_at": (w.now + DAY + HOUR).isoformat()}


def of(**names: str) -> Made:
    """A body of ids, by the names of the world's objects."""
    return lambda w: {key: w.ids.get(name, name) for key, name in names.items()}


def plus(made: Made, **more: Any) -> Made:
    return lambda w: {**made(w), **more}


def shift(w: World) -> dict[str, Any]:
    return {
        "account_id": str(w.accounts["wang"]),
        "starts_at": at(w, 3),
        "ends_at": at(w, 3.3),
        "operator_company_id": str(w.scene.company_id),
    }


DEVICE = {"report_interval_s": 60, "model": "x"}
STATION = {"name": "东直门站", "lat": 39.94, "lng": 116.42}
COMPANY: Made = lambda w: {"operator_company_id": str(w.scene.company_id)}  # noqa: E731
GRID = {"prices": [{"band": "valley", "energy_e4": 5000}]}
FIXED = {"reason": "电表读数更正", "energy": [{"band": "flat", "energy_wh": 10}]}

CASES = (
    # what is alice's
    resident("getAgreement", agreement_id="agreement"),
    resident("getAgreementDocument", agreement_id="agreement"),
    resident("listDrivers", agreement_id="agreement"),
    resident("addDriver", agreement_id="agreement", body={"phone": BOB.phone, "name": BOB.name}),
    resident("removeDriver", agreement_id="agreement", driver_id="driver"),
    resident("addEvidence", agreement_id="application", body=PHOTO),
    resident("readEvidence", agreement_id="application", evidence_id="evidence"),
    resident("getAgreementPackage", agreement_id="agreement"),
    resident("choosePackage", agreement_id="agreement", body=of(package_id="offer")),
    resident("endPackage", agreement_id="agreement"),
    resident("renewAgreement", agreement_id="agreement", body={"declaration": DECLARATION}),
    resident("resubmitApplication", agreement_id="application", body={}),
    resident("signAgreement", agreement_id="application", body={"text_sha256": "0" * 64, "code": "123456"}),
    resident("requestSigningCode", agreement_id="application"),
    resident("terminateAgreement", agreement_id="agreement"),
    resident("acceptFallback", plan_id="plan"),
    resident("declineFallback", plan_id="plan"),
    resident("readInboxMessage", message_id="message"),
    resident("removePushToken", token_id="push_token"),
    resident("removeVehicle", vehicle_id="vehicle"),
    resident("applyForAgreement", body=lambda w: {**of(vehicle_id="vehicle")(w), "declaration": DECLARATION}),
    resident("getOrder", order_id="order"),
    resident("listOrderCorrections", order_id="order"),
    resident("disputeOrder", order_id="order", body={"reason": "zu viel"}),
    resident("payOrder", order_id="order", body={"channel": "wechat_app"}),
    resident("getStatement", statement_id="statement"),
    resident("getStatementDocument", statement_id="statement"),
    resident("payStatement", statement_id="statement", body={"channel": "wechat_app"}),
    resident("getQueueEntry", entry_id="queue"),
    resident("leaveQueue", entry_id="queue"),
    resident("acceptOffer", entry_id="queue"),
    resident("joinQueue", body=of(station_id="station", vehicle_id="vehicle")),
    resident("getReservation", reservation_id="reservation"),
    resident("cancelReservation", reservation_id="reservation"),
    resident("changeReservation", reservation_id="reservation", body=slot),
    resident("checkIn", reservation_id="reservation", body={"lat": 39.9, "lng": 116.4, "coord": "gcj02"}),
    resident("reportBlockedBay", reservation_id="reservation"),
    resident("createReservation", body=lambda w: {**of(station_id="station", vehicle_id="vehicle")(w), **slot(w)}),
    resident("startSession", body=of(vehicle_id="vehicle", connector_id="connector")),
    resident("quoteSession", body=plus(of(vehicle_id="vehicle", connector_id="connector"), energy_wh=1000)),
    resident("getSession", session_id="session"),
    resident("stopSession", session_id="session"),
    resident("addBayReportPhoto", report_id="bay_report", body=PHOTO),
    # what is the operator company's
    staff("listAgreementTexts", "LOI", by_station=False),
    staff("approveAgreementText", "O", draft_id="text"),
    staff("withdrawAgreementText", "O", draft_id="text"),
    staff("listCompanyAgreements", "LOI"),
    staff("getCompanyAgreement", "LOI", agreement_id="application"),
    staff("approveAgreement", "LO", agreement_id="application"),
    staff("askForMore", "LO", agreement_id="application", body=WHY),
    staff("addCompanyEvidence", "LO", agreement_id="application", body=PHOTO),
    staff("readCompanyEvidence", "LOI", agreement_id="application", evidence_id="evidence"),
    staff("rejectAgreement", "LO", agreement_id="application", body=WHY),
    staff(
        "signOnPaper",
        "LO",
        agreement_id="application",
        body=lambda w: {"text_sha256": "0" * 64, **of(evidence_id="evidence")(w)},
    ),
    staff("terminateCompanyAgreement", "LO", agreement_id="agreement", body=WHY),
    staff("listChecklists", "GLOI", by_station=False),
    staff("createChecklist", "LO", body=plus(COMPANY, name="月检")),
    staff("listInspectionPlans", "GLOI", query={"station_id": "station"}),
    staff("retireChecklist", "LO", checklist_id="checklist"),
    staff(
        "planInspections",
        "LO",
        checklist_id="checklist",
        body=lambda w: {**of(station_id="station")(w), "period_days": 30, "first_due_at": at(w, 9)},
    ),
    staff(
        "listConnectorMinutes",
        "LOI",
        connector_id="connector",
        query={"since": MAY.isoformat(), "until": (MAY + HOUR).isoformat()},
    ),
    staff("listDeadLetters", "LOI"),
    staff("replayDeadLetter", "O", letter_id="letter"),
    staff("listDevices", "LOI"),
    staff("listSiteDevices", "GLOI"),
    staff("getDevice", "LOI", device_id="device"),
    staff("createDevice", "O", body=plus(of(station_id="station"), code="X1", kind="smoke")),
    staff("importDevices", "O", body=SHEET, query={"station_id": "station"}),
    staff("enrolScannedDevice", "O", body=plus(of(station_id="station"), qr="linli:device?v=1&kind=smoke&code=X2")),
    staff("replaceDevice", "O", device_id="device", body=DEVICE),
    staff("renewDevicePassword", "O", device_id="device"),
    staff("revokeDevice", "O", device_id="device", body=WHY),
    staff("listWaitArrivals", "LOI", lists=True, station_id="station", query={"day": "2026-06-10"}),
    staff("listCompanyOrders", "LOI"),
    staff("getCompanyOrder", "LOI", order_id="order"),
    staff("answerOrderDispute", "LO", order_id="order", body={"text": "es stimmt"}),
    staff("listCompanyOrderCorrections", "LOI", order_id="order"),
    staff("correctOrder", "O", order_id="order", body=FIXED),
    staff("approveCorrection", "O", order_id="order", correction_id="correction"),
    staff("rejectCorrection", "O", order_id="order", correction_id="correction", body={"text": "nein"}),
    staff("writeOffOrder", "O", order_id="order", body={"text": "nicht messbar"}),
    staff("listCompanyPackages", "LOI"),
    staff("getCompanyPackage", "LOI", package_id="package"),
    staff("replacePackageDraft", "O", package_id="package", body=PACKAGE),
    staff("deletePackageDraft", "O", package_id="package"),
    staff("approvePackage", "O", package_id="package"),
    staff("withdrawPackage", "O", package_id="offer"),
    staff("listReconciliations", "LOI"),
    staff("getReconciliation", "LOI", day="day"),
    staff("listRefunds", "LOI"),
    staff("requestRefund", "O", body=plus(of(order_id="paid_order"), amount_fen=1, reason="少充")),
    staff("getRefund", "LOI", request_id="refund"),
    staff("approveRefund", "O", request_id="refund"),
    staff("rejectRefund", "O", request_id="refund", body={"note": "ohne Grund"}),
    staff("getRefundLimit", "O", query={"operator_company_id": "company"}),
    staff("putRefundLimit", "O", body=plus(COMPANY, second_person_above_fen=0, reason="less")),
    staff("approveRefundLimit", "O", change_id="limit_change"),
    staff("rejectRefundLimit", "O", change_id="limit_change"),
    staff("listSettings", "LOI"),
    staff("listRules", "LOI", query={"station_id": "station"}),
    staff(
        "proposeRules",
        "O",
        body=plus(of(station_id="station"), rules={"battery_temp_high": {"warning": 44.0}}, reason="a hot summer"),
    ),
    staff("listRuleVersions", "LOI"),
    staff("approveRules", "O", version_id="rules"),
    staff("rejectRules", "O", version_id="rules"),
    staff("putSettings", "O", station_id="station", body={}),
    staff("listSharedPhones", "LOI"),
    staff("registerSharedPhone", "O", body=plus(COMPANY, phone="13800000079", label="西门")),
    staff("listStaff", "LOI"),
    staff("addStaff", "O", body=plus(COMPANY, phone="13800000080", name="新", role="guard")),
    staff("removeStaff", "O", grant_id="grant"),
    staff("listCompanyStatements", "LOI"),
    staff("getCompanyStatement", "LOI", statement_id="statement"),
    staff("listOwnStations", "LOI"),
    staff("createStation", "O", body=plus(COMPANY, **STATION, code="NEW-1")),
    staff("getOwnStation", "LOI", station_id="station"),
    staff("replaceStation", "O", station_id="station", body=STATION),
    staff("putBay", "O", station_id="station", code="bay_code", body={"zone": "resident"}),
    staff("putCharger", "O", station_id="station", code="charger_code", body={"kind": "ac", "max_power_w": 7000}),
    staff("putConnectorService", "O", station_id="station", connector_id="connector", body={"in_service": False}),
    staff("getDetectorMap", "LOI", station_id="station"),
    staff("listTariffs", "LOI"),
    staff("draftTariff", "O", body=plus(of(station_id="station"), **TARIFF)),
    staff("getTariff", "LOI", tariff_id="tariff"),
    staff("replaceTariff", "O", tariff_id="tariff", body=TARIFF),
    staff("approveTariff", "O", tariff_id="tariff"),
    staff("publishTariff", "O", tariff_id="tariff"),
    staff("discardTariff", "O", tariff_id="tariff"),
    staff("copyTariff", "O", tariff_id="tariff", body={}),
    staff("retireTariff", "O", tariff_id="tariff"),
    staff("diffTariff", "LOI", tariff_id="tariff"),
    staff("previewTariff", "LOI", tariff_id="tariff"),
    staff("listTariffCorrections", "LOI"),
    staff("getTariffCorrection", "LOI", correction_id="tariff_correction"),
    staff("listTariffCorrectionOrders", "LOI", correction_id="tariff_correction"),
    staff("approveTariffCorrection", "O", correction_id="tariff_correction"),
    staff("rejectTariffCorrection", "O", correction_id="tariff_correction", body={"text": "es stimmt"}),
    staff("resumeTariffCorrection", "O", correction_id="tariff_correction"),
    staff("proposeTariffCorrection", "O", body=plus(of(tariff_id="priced", replacement_id="tariff"), **WHY)),
    staff("exportMonth", "LOI", month="month", query={"operator_company_id": "company"}),
    staff("listStationGroups", "LOI"),
    staff("addStationGroup", "O", body=lambda w: {"name": "西城", "station_ids": [w.ids["station"]]}),
    staff(
        "replaceStationGroup",
        "O",
        group_id="group",
        body=lambda w: {"name": "西城", "station_ids": [w.ids["station"]]},
    ),
    staff("listGridPrices", "LOI"),
    staff("putGridPrice", "O", supply_class="supply_class", month="month", body=plus(COMPANY, **GRID)),
    staff("listZoneChanges", "GLOI", query={"station_id": "station"}),
    staff(
        "proposeZoneChange",
        "LO",
        body=lambda w: {
            **of(station_id="station", bay_id="bay")(w),
            "zone": "public",
            "effective_at": at(w, 40),
            "reason": "more demand",
        },
    ),
    staff("approveZoneChange", "LO", change_id="zone_change"),
    staff("cancelZoneChange", "LO", change_id="zone_change", body=WHY),
    # what is the people's on site
    staff("lowerBay", "GLO", bay_id="bay", body=WHY),
    staff("commandDevice", "GLO", device_id="lock", body={"name": "lower", "reason": "ambulance"}),
    staff("startDrill", "LO", body=of(station_id="station")),
    staff("listShifts", "GLOI", by_station=False, query={"since": MAY.isoformat(), "until": "2026-07-01T00:00:00Z"}),
    staff("planShift", "LO", body=shift),
    staff("dropShift", "LO", shift_id="shift"),
    staff("listFindings", "GLOI"),
    staff("addFinding", "GLO", body=plus(of(station_id="station"), severity="minor", text="焦痕")),
    staff("addFindingPhoto", "GLO", finding_id="finding", body=PHOTO),
    staff("rectifyFinding", "GLO", finding_id="finding", body={"note": "getan"}),
    staff("verifyFinding", "LO", finding_id="finding", body={"accepted": True}),
    staff("listIncidents", "GLOI"),
    staff("getIncident", "GLOI", incident_id="incident"),
    staff("readIncidentReport", "GLOI", incident_id="incident"),
    staff("readIncidentReportPdf", "GLOI", incident_id="incident"),
    staff("moveIncident", "GLO", incident_id="incident", step="acknowledge", body={}),
    staff("listInspections", "GLOI"),
    staff("getInspection", "GLOI", inspection_id="inspection"),
    staff("answerInspection", "GLO", inspection_id="inspection", body={"item": "signs", "result": "ok"}),
    staff("completeInspection", "GLO", inspection_id="inspection"),
    staff("addInspectionPhoto", "GLO", inspection_id="inspection", body=PHOTO),
    staff("startInspection", "GLO", inspection_id="inspection"),
    staff("listWorks", "GLOI"),
    staff("planWork", "GLO", body=lambda w: {**of(connector_id="connector")(w), **WHY, **slot(w)}),
    staff("endWork", "GLO", work_id="work"),
    staff("readMaintenancePhoto", "GLOI", photo_id="photo"),
    staff("checkInByStaff", "GLO", reservation_id="reservation", body=WHY),
    staff("moveReservation", "GLO", reservation_id="reservation", body=WHY),
    staff("listSuspensions", "GLOI"),
    staff("decideSuspension", "GLO", suspension_id="suspension", body=WHY),
    staff("listStaffBayReports", "GLOI"),
    staff("getBayReportPhoto", "GLOI", report_id="bay_report"),
    staff("decideBayReport", "GLO", report_id="bay_report", body={"verdict": "confirmed", "reason": "stood there"}),
    staff("listTasks", "GLOI"),
    staff("moveTask", "GLO", task_id="task", step="accept", body={}),
    # what everybody may read, and lists where each sees their own
    anyone("verifyAgreement", agreement_id="agreement", query={"record": "0" * 64}),
    anyone("searchCommunities", query={"q": "小区"}),
    anyone("searchStations", query={"lat": "39.942908", "lng": "116.426399", "coord": "gcj02"}),
    anyone("getStation", station_id="station"),
    anyone("listConnectors", station_id="station"),
    anyone("listPrices", station_id="station"),
    anyone("listSlots", station_id="station", query={"date": "2026-06-11"}),
    anyone("listAnnouncedZoneChanges", station_id="station"),
    anyone("listPackages"),
    anyone("listAgreements"),
    anyone("listFallbackPlans"),
    anyone("listInbox"),
    anyone("listBayReports"),
    anyone("listCredits"),
    anyone("getMe"),
    anyone("exportMe"),
    anyone("getNotificationPreferences"),
    anyone("getSuspension"),
    anyone("appealSuspension", body={"text": "not my fault"}),
    anyone("listVehicles"),
    anyone("listWechatConsents"),
    anyone("listOrders"),
    anyone("listStatements"),
    anyone("listReservations"),
    anyone("listSessions"),
    anyone("getCalendar", query={"token": "guessed"}),
    anyone("listWaits", query={"from": "2026-05-01", "to": "2026-06-30"}),
    anyone("countDevices"),
)

LIVE = {
    "streamSession": "/v1/sessions/{session}/live",
    "streamQueueEntry": "/v1/queue/{queue}/live",
    "streamInbox": "/v1/inbox/live",
    "streamBoard": "/v1/staff/live",
    "streamStation": "/v1/stations/{station}/live",
}
"""Live paths, over WebSocket and SSE; the last three are everybody's, and show each what is theirs."""

OPS = "of the process, without any person's data; behind the operator's own network"
OWN = "writes only to the caller's own account, which the token names"
LOGIN = "makes or ends the caller's own login, by what only the caller knows"
EXEMPT = {
    "livez": OPS,
    "readyz": OPS,
    "metrics": OPS,
    "requestLoginCode": "the same answer for every number; its limits are tests of accounts",
    "logInBySms": LOGIN,
    "logInByWechat": LOGIN,
    "refreshTokens": LOGIN,
    "logOut": LOGIN,
    "getTicket": "a ticket opens live paths as its owner only: the live tests here",
    "eraseMe": OWN,
    "putMe": OWN,
    "putConsent": OWN,
    "putHome": OWN,
    "putNotificationPreferences": OWN,
    "bindPhone": OWN,
    "requestBindCode": OWN,
    "bindWechat": OWN,
    "addPushToken": OWN,
    "addVehicle": OWN + "; a plate that others list gives no right to what is theirs (decision 010)",
    "addWechatConsents": OWN,
    "createCalendarAddress": OWN,
    "setPin": OWN,
    "reportBay": "anybody may report any bay; what comes of it is covered by its id",
    "signOn": "by a person's own PIN at a registered phone; tests of alerts",
    "signOff": "ends the caller's own shift",
    "handOver": "hands the caller's own shift over",
    "draftAgreementText": "a new draft of the caller's own company; another's is refused by tests of agreements",
    "draftPackage": "a new draft of the caller's own company; another's is refused by tests of agreements",
    "applyForResident": "makes an application in the caller's own company, for a phone that confirms it",
    "importStations": "each row names a code; rows of other companies are refused by tests of stations",
    "importTariffs": "drafts of the caller's own company; stations of others are refused by tests of tariffs",
    "draftGridMonth": "drafts of the caller's own company from the caller's own prices",
    "takeWeChatPaymentCallback": "signed by the provider; tests of payments forge it in every way",
    "takeWeChatRefundCallback": "signed by the provider; tests of payments forge it in every way",
}
