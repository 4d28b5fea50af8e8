"""Which tables and columns the console shows, by name: an allow-list, so that a new column is hidden until it is here.

Never here: what is encrypted or hashed, keys, tokens, addresses in a store. People are shown by the id of their account
only; who needs a name or a plate reads it where the reading is audited.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shown:
    """One table: its group in the menu, its columns in order, those of the list, and what names a row elsewhere."""

    group: str
    columns: str
    listed: str
    named_by: str = "id"
    order: str = ""
    """Column by which the list is sorted, newest first; empty: as it comes, by id."""


COMPANIES = "1 公司与站点 Companies and stations"
PRICES = "2 价格 Prices"
AGREEMENTS = "3 协议与套餐 Agreements and packages"
BOOKINGS = "4 预约与等待 Bookings and waits"
CHARGING = "5 充电与订单 Charging and orders"
MONEY = "6 资金 Money"
SAFETY = "7 安全 Safety"
WORKS = "8 巡检与维护 Inspection and works"
RECORD = "9 留痕 Record"

TABLES: dict[str, Shown] = {
    "operator_company": Shown(COMPANIES, "id code name hotline created_at", "id code name hotline", "name"),
    "account": Shown(COMPANIES, "id locale created_at erased_at", "id locale created_at erased_at", order="created_at"),
    "staff_grant": Shown(
        COMPANIES,
        "id account_id role operator_company_id station_id granted_by granted_at revoked_at",
        "account_id role operator_company_id granted_at revoked_at",
        order="granted_at",
    ),
    "community": Shown(COMPANIES, "id name district lat lng source updated_at", "name district lat lng", "name"),
    "station": Shown(
        COMPANIES,
        "id code name operator_company_id pilot lat lng address property_owner commissioned_on construction"
        " supply_class transformer_limit_w parking opening_hours has_devices settings source created_at updated_at",
        "code name operator_company_id pilot supply_class address",
        "name",
    ),
    "charger": Shown(
        COMPANIES,
        "id station_id code kind model maker max_power_w area commissioned_on active",
        "code station_id kind max_power_w active",
        "code",
    ),
    "connector": Shown(
        COMPANIES,
        "id station_id charger_id number qr max_power_w in_service",
        "qr station_id charger_id number max_power_w in_service",
        "qr",
    ),
    "bay": Shown(COMPANIES, "id station_id code area active", "code station_id area active", "code"),
    "device": Shown(
        COMPANIES,
        "id code kind station_id charger_id bay_id role area lane report_interval_s model credentials_issued_at"
        " revoked_at revoked_reason active created_at updated_at",
        "code kind station_id model active revoked_at",
        "code",
    ),
    "tariff_version": Shown(
        PRICES,
        "id operator_company_id station_id supply_class name status effective_from effective_to spans parking"
        " created_by created_at approved_by approved_at published_by published_at",
        "id name operator_company_id station_id status effective_from effective_to",
        "name",
        "created_at",
    ),
    "tariff_correction": Shown(
        PRICES,
        "id operator_company_id version_id replacement_id reason state requested_by requested_at decided_by decided_at"
        " decision_note",
        "id operator_company_id version_id state reason requested_at",
        order="requested_at",
    ),
    "tariff_correction_order": Shown(
        PRICES,
        "id tariff_correction_id order_id state order_correction_id difference_fen problem tries settled_at",
        "tariff_correction_id order_id state difference_fen problem settled_at",
    ),
    "grid_price": Shown(
        PRICES,
        "id operator_company_id supply_class month bands source entered_by entered_at",
        "operator_company_id supply_class month source entered_at",
        order="entered_at",
    ),
    "station_group": Shown(
        PRICES, "id operator_company_id name created_by created_at", "name operator_company_id created_at", "name"
    ),
    "tariff_price": Shown(
        PRICES,
        "id version_id user_class band energy_e4 service_e4",
        "version_id user_class band energy_e4 service_e4",
    ),
    "package": Shown(
        AGREEMENTS,
        "id operator_company_id code name_zh name_en description_zh description_en price_fen included_wh kind status"
        " bands max_periods available_from available_until drafted_by drafted_at approved_by approved_at",
        "id name_zh operator_company_id kind status price_fen included_wh",
        "name_zh",
    ),
    "agreement_text": Shown(
        AGREEMENTS,
        "id operator_company_id code version title body effective_from",
        "title operator_company_id version effective_from",
        "title",
        "effective_from",
    ),
    "agreement_text_draft": Shown(
        AGREEMENTS,
        "id operator_company_id title body effective_from status drafted_by drafted_at decided_by decided_at text_id",
        "id title operator_company_id status effective_from drafted_at",
        "title",
        "drafted_at",
    ),
    "agreement": Shown(
        AGREEMENTS,
        "id account_id operator_company_id vehicle_id community_id community_name distance_m declaration status"
        " waiting_for submitted_at asked_at decided_at decided_by decision_reason ended_at ended_reason renews_id"
        " applied_through applied_by",
        "id operator_company_id community_name status waiting_for submitted_at decided_at",
        order="submitted_at",
    ),
    "agreement_evidence": Shown(
        AGREEMENTS,
        "id agreement_id kind media_type size_bytes uploaded_at",
        "id agreement_id kind media_type size_bytes uploaded_at",
        order="uploaded_at",
    ),
    "agreement_signature": Shown(
        AGREEMENTS,
        "agreement_id text_id signed_at method acted_by stations",
        "agreement_id text_id signed_at method",
        "agreement_id",
        "signed_at",
    ),
    "agreement_package": Shown(
        AGREEMENTS,
        "id agreement_id package_id chosen_at effective_from chosen_by",
        "agreement_id package_id chosen_at effective_from",
        order="chosen_at",
    ),
    "reservation": Shown(
        BOOKINGS,
        "id account_id agreement_id operator_company_id station_id connector_id bay_id power status starts_at ends_at"
        " hold_until checked_in_at checked_in_by fulfilled_at closed_at closed_reason counts_as_no_show sequence"
        " stranded_at changes relocated_to created_at updated_at",
        "id station_id connector_id status starts_at ends_at",
        order="created_at",
    ),
    "zone_change": Shown(
        BOOKINGS,
        "id station_id operator_company_id bay_id zone_from zone_to wanted_at effective_at reason status proposed_by"
        " proposed_at approved_by approved_at closed_by closed_at",
        "station_id bay_id zone_from zone_to status effective_at",
        order="proposed_at",
    ),
    "reservation_move": Shown(
        BOOKINGS,
        "id reservation_id station_id outcome reason actor from_connector_id to_connector_id at",
        "reservation_id station_id outcome reason at",
        order="at",
    ),
    "connector_claim": Shown(
        BOOKINGS,
        "id connector_id station_id bay_id kind reference_id starts_at ends_at held_until created_at",
        "connector_id station_id kind starts_at ends_at",
        order="starts_at",
    ),
    "booking_suspension": Shown(
        BOOKINGS,
        "id account_id agreement_id operator_company_id starts_at ends_at caused_by lifted_at lifted_by lift_reason",
        "id account_id operator_company_id starts_at ends_at lifted_at",
        order="starts_at",
    ),
    "suspension_appeal": Shown(
        BOOKINGS,
        "id suspension_id account_id operator_company_id made_at decided_at lifted",
        "suspension_id operator_company_id made_at decided_at lifted",
        order="made_at",
    ),
    "queue_entry": Shown(
        BOOKINGS,
        "id station_id account_id power user_class on_site_since status joined_at offer_connector_id offer_expires_at"
        " closed_at",
        "station_id user_class status joined_at on_site_since closed_at",
        order="joined_at",
    ),
    "wait": Shown(
        BOOKINGS,
        "id arrival_id station_id operator_company_id connector_id user_class from_at usable_at wait_s predicted_s"
        " recorded_at",
        "station_id user_class from_at usable_at wait_s predicted_s",
        order="recorded_at",
    ),
    "fallback_plan": Shown(
        BOOKINGS,
        "id station_id operator_company_id account_id reservation_id arrival_id cause status step offer_station_id"
        " offer_connector_id due_at opened_at closed_at",
        "station_id cause status step opened_at closed_at",
        order="opened_at",
    ),
    "fallback_step": Shown(
        BOOKINGS,
        "id plan_id step outcome station_id connector_id due_at at",
        "plan_id step outcome at",
        order="at",
    ),
    "charging_session": Shown(
        CHARGING,
        "id account_id operator_company_id station_id connector_id charger_code connector_number kind claim_id"
        " reservation_id agreement_id user_class status target_soc_pct target_energy_wh departs_at requested_at"
        " accepted_at started_at start_meter_wh ended_at end_meter_wh end_reason end_unclear left_at",
        "id station_id connector_id status user_class started_at ended_at end_reason",
        order="requested_at",
    ),
    "charge_order": Shown(
        CHARGING,
        "id session_id account_id operator_company_id station_id user_class tariff status energy_wh energy_fee_fen"
        " service_fee_fen overstay_fee_fen parking_fee_fen discount_fen total_fen review_reasons starts_at ends_at"
        " overstay_from_at opened_at closed_at paid_at payment_id",
        "id station_id status energy_wh service_fee_fen total_fen opened_at paid_at",
        order="opened_at",
    ),
    "charge_order_line": Shown(
        CHARGING,
        "id order_id position band energy_wh energy_e4 service_e4 energy_fee_fen service_fee_fen included_wh",
        "order_id position band energy_wh energy_fee_fen service_fee_fen",
    ),
    "order_dispute": Shown(
        CHARGING,
        "id order_id account_id status reason opened_at answer answered_by answered_at",
        "order_id status reason opened_at answered_at",
        order="opened_at",
    ),
    "order_correction": Shown(
        CHARGING,
        "id order_id operator_company_id tariff_correction_id state reason before after difference_fen requested_by"
        " requested_at decided_by decided_at decision_note",
        "id order_id state difference_fen reason requested_at",
        order="requested_at",
    ),
    "order_supplement": Shown(
        CHARGING,
        "id order_id statement_id amount_fen status created_at paid_at payment_id",
        "id order_id amount_fen status created_at paid_at",
        order="created_at",
    ),
    "statement": Shown(
        CHARGING,
        "id account_id operator_company_id starts_at ends_at status orders_count energy_wh energy_fee_fen"
        " service_fee_fen overstay_fee_fen parking_fee_fen discount_fen orders_total_fen package_fee_fen made_at"
        " paid_at payment_id",
        "id operator_company_id starts_at ends_at status orders_count orders_total_fen package_fee_fen",
        order="made_at",
    ),
    "statement_correction": Shown(
        CHARGING,
        "id statement_id order_correction_id agreement_id before after difference_fen corrected_at",
        "statement_id agreement_id difference_fen corrected_at",
        order="corrected_at",
    ),
    "statement_package": Shown(
        CHARGING,
        "id statement_id position agreement_id package_id kind name_zh starts_at ends_at orders_count energy_wh"
        " included_wh used_wh service_fee_fen cap_fen price_fen package_fee_fen",
        "statement_id package_id energy_wh service_fee_fen cap_fen package_fee_fen",
    ),
    "discount_credit": Shown(
        CHARGING,
        "id account_id operator_company_id reference amount_fen remaining_fen granted_at expires_at last_order_id",
        "account_id operator_company_id amount_fen remaining_fen granted_at expires_at",
        order="granted_at",
    ),
    "merchant_account": Shown(
        MONEY,
        "id operator_company_id provider merchant_no app_id active created_at",
        "operator_company_id provider merchant_no active",
        "merchant_no",
    ),
    "payment": Shown(
        MONEY,
        "id order_id operator_company_id account_id merchant_account_id channel amount_fen description state"
        " transaction_no checks check_at created_at expires_at paid_at closed_at",
        "id order_id operator_company_id channel amount_fen state created_at paid_at",
        order="created_at",
    ),
    "refund": Shown(
        MONEY,
        "id payment_id operator_company_id amount_fen reason state provider_no checks check_at created_at settled_at",
        "id payment_id operator_company_id amount_fen state created_at settled_at",
        order="created_at",
    ),
    "refund_request": Shown(
        MONEY,
        "id operator_company_id payment_id order_id amount_fen reason state requested_by requested_at decided_by"
        " decided_at decision_note refund_id",
        "id operator_company_id order_id amount_fen reason state requested_at",
        order="requested_at",
    ),
    "refund_rule": Shown(
        MONEY,
        "id operator_company_id second_person_above_fen",
        "operator_company_id second_person_above_fen",
    ),
    "refund_limit_change": Shown(
        MONEY,
        "id operator_company_id second_person_above_fen reason state proposed_by proposed_at decided_by decided_at",
        "id operator_company_id second_person_above_fen state reason proposed_at",
        order="proposed_at",
    ),
    "ledger_entry": Shown(
        MONEY,
        "id operator_company_id kind reference_id posted_at",
        "id operator_company_id kind reference_id posted_at",
        order="posted_at",
    ),
    "ledger_leg": Shown(MONEY, "id entry_id account_code amount_fen", "entry_id account_code amount_fen"),
    "reconciliation": Shown(
        MONEY,
        "id operator_company_id merchant_account_id day state bill_payments_fen bill_refunds_fen bill_fees_fen"
        " our_payments_fen our_refunds_fen checked_at",
        "day operator_company_id state bill_payments_fen our_payments_fen checked_at",
        "day",
        "day",
    ),
    "bill_difference": Shown(
        MONEY,
        "id reconciliation_id what kind number provider_no ours_fen bill_fen our_state bill_state",
        "reconciliation_id what kind number ours_fen bill_fen",
    ),
    "incident": Shown(
        SAFETY,
        "id station_id operator_company_id kind level code area connector_id device_id status confirmed escalated"
        " opened_at acknowledged_at on_site_at resolved_at reported_at drill",
        "id station_id kind level code status confirmed drill opened_at",
        order="opened_at",
    ),
    "incident_step": Shown(
        SAFETY,
        "id incident_id at kind what actor_id detail",
        "incident_id at kind what actor_id",
        order="at",
    ),
    "incident_action": Shown(
        SAFETY,
        "id incident_id kind target_id status attempts asked_at settled_at",
        "incident_id kind status attempts asked_at settled_at",
        order="asked_at",
    ),
    "alert": Shown(
        SAFETY,
        "id device_id connector_id bay_id station_id operator_company_id code source level value limit_value"
        " session_id incident_id first_at last_at raised_at repeats cleared_at cleared_by",
        "station_id device_id code level value limit_value raised_at cleared_at",
        order="raised_at",
    ),
    "task": Shown(
        SAFETY,
        "id operator_company_id station_id kind level status incident_id alert_id device_id bay_id assignee_id"
        " created_at accepted_at arrived_at resolved_at resolution drill",
        "station_id kind level status created_at resolved_at",
        order="created_at",
    ),
    "safety_hold": Shown(
        SAFETY,
        "id station_id incident_id set_at lifted_at lifted_by",
        "station_id incident_id set_at lifted_at",
        order="set_at",
    ),
    "safety_log": Shown(
        SAFETY,
        "id at station_id operator_company_id device_id connector_id incident_id what code level occurred_at"
        " clock_flagged",
        "at station_id what code level occurred_at",
        order="at",
    ),
    "alert_rule_version": Shown(
        SAFETY,
        "id operator_company_id station_id number rules reason status proposed_by proposed_at decided_by decided_at",
        "id operator_company_id station_id number status reason proposed_at",
        order="proposed_at",
    ),
    "duty_shift": Shown(
        SAFETY,
        "id operator_company_id station_id account_id role starts_at ends_at signed_on_at signed_off_at handed_to",
        "station_id account_id role starts_at ends_at signed_on_at",
        order="starts_at",
    ),
    "command": Shown(
        SAFETY,
        "id device_id device_code station_id name args actor created_at expires_at status sent_at timed_out_at"
        " acked_at ok error",
        "device_code station_id name status created_at acked_at error",
        order="created_at",
    ),
    "outage": Shown(
        SAFETY,
        "id subject device_id connector_id station_id reason started_at ended_at",
        "station_id subject device_id reason started_at ended_at",
        order="started_at",
    ),
    "inspection": Shown(
        WORKS,
        "id plan_id station_id operator_company_id name items due_at status started_at started_by completed_at"
        " completed_by created_at",
        "name station_id status due_at completed_at",
        "name",
        "due_at",
    ),
    "finding": Shown(
        WORKS,
        "id inspection_id item station_id connector_id operator_company_id severity text due_at status found_at"
        " found_by rectified_at rectified_by rectified_note verified_at verified_by",
        "station_id severity text status due_at found_at",
        order="found_at",
    ),
    "maintenance_work": Shown(
        WORKS,
        "id station_id connector_id operator_company_id finding_id reason starts_at ends_at status created_at"
        " created_by ended_at ended_by",
        "station_id connector_id reason starts_at ends_at status",
        order="starts_at",
    ),
    "delivery": Shown(
        RECORD,
        "id event_key recipient_id channel template safety state attempts created_at due_at settled_at provider_id",
        "recipient_id channel template safety state attempts created_at",
        order="created_at",
    ),
    "audit_entry": Shown(
        RECORD,
        "id at actor_id actor_role operator_company_id action object_kind object_id detail",
        "at actor_role actor_id action object_kind object_id",
        order="at",
    ),
    "domain_event": Shown(RECORD, "id name occurred_at", "occurred_at name id", order="occurred_at"),
    "dead_letter": Shown(
        RECORD,
        "id received_at cause topic device_id size replayed_at replay_outcome",
        "received_at cause topic size replayed_at",
        order="received_at",
    ),
    "console_action": Shown(RECORD, "id account_id form at", "at account_id form", order="at"),
}

LINKS = {
    "operator_company_id": "operator_company",
    "account_id": "account",
    "station_id": "station",
    "charger_id": "charger",
    "connector_id": "connector",
    "bay_id": "bay",
    "device_id": "device",
    "agreement_id": "agreement",
    "package_id": "package",
    "session_id": "charging_session",
    "reservation_id": "reservation",
    "incident_id": "incident",
    "payment_id": "payment",
    "version_id": "tariff_version",
    "statement_id": "statement",
    "reconciliation_id": "reconciliation",
    "suspension_id": "booking_suspension",
    "text_id": "agreement_text",
    "entry_id": "ledger_entry",
}
"""Columns whose rows the console links to, with the name of the row beside the id; where the table comes earlier."""
