"""Tables of agreements: texts, applications and contracts, evidence, signature, document, drivers and packages.

What names a person stands apart (`agreement_party`), so that a signed contract can be kept by law after an erasure
while everything else forgets its resident. Exclusion, checks and foreign keys are in the migration.
"""

from piccolo.columns import JSONB, UUID, BigInt, Bytea, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class AgreementText(Table, tablename="agreement_text"):
    """One version of the contract text; append-only by grant, since signatures name it by its SHA-256.

    Without a company it is everybody's; a company's own text comes before it.
    """

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(null=True, default=None)
    code = Varchar(length=40)
    version = Integer()
    title = Text()
    body = Text()
    sha256 = Bytea()
    effective_from = Timestamptz()


class AgreementTextDraft(Table, tablename="agreement_text_draft"):
    """A text a company wants to use; approved by a second person it becomes a version, in force from later on."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID()
    title = Text()
    body = Text()
    effective_from = Timestamptz()
    status = Varchar(length=12, default="draft")
    drafted_by = UUID()
    drafted_at = Timestamptz()
    decided_by = UUID(null=True, default=None)
    decided_at = Timestamptz(null=True, default=None)
    text_id = UUID(null=True, default=None)


class Package(Table, tablename="package"):
    """A priced plan on top of an agreement, billed in arrears; without a company it is offered by all.

    `draft`, then `offered` by a second person's approval, then `withdrawn`; its terms are never edited after the draft.
    """

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(null=True, default=None)
    code = Varchar(length=40)
    name_zh = Text()
    name_en = Text()
    description_zh = Text()
    description_en = Text()
    price_fen = Integer(default=0)
    included_wh = BigInt(default=0)
    kind = Varchar(length=16, default="bundle")
    status = Varchar(length=12, default="offered")
    bands = JSONB(default="[]", help_text="bands whose energy is included; empty: all")
    max_periods = Integer(null=True, default=None)
    available_from = Timestamptz(null=True, default=None)
    available_until = Timestamptz(null=True, default=None)
    drafted_by = UUID(null=True, default=None)
    drafted_at = Timestamptz(null=True, default=None)
    approved_by = UUID(null=True, default=None)
    approved_at = Timestamptz(null=True, default=None)


class Agreement(Table, tablename="agreement"):
    """An application for, and then the contract of, beneficial charging (惠民充电服务协议).

    It is in force within `term` (tstzrange), whatever the status. That column, and the constraint that no two terms
    of one plate overlap, are in the migration.
    """

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID()
    operator_company_id = UUID()
    vehicle_id = UUID()
    plate_hash = Bytea(null=True, default=None)
    community_id = UUID()
    community_name = Text()
    distance_m = Integer()
    declaration = JSONB()
    status = Varchar(length=12)
    package_id = UUID()
    submitted_at = Timestamptz()
    decided_at = Timestamptz(null=True, default=None)
    decided_by = UUID(null=True, default=None)
    decision_reason = Text(null=True, default=None)
    ended_at = Timestamptz(null=True, default=None)
    ended_reason = Varchar(length=20, null=True, default=None)
    renews_id = UUID(null=True, default=None, help_text="the agreement this one follows")
    applied_through = Varchar(length=12, default="app")
    applied_by = UUID(null=True, default=None, help_text="who applied for the resident: an agent or the lead")
    waiting_for = Varchar(length=8, default="company")
    asked_at = Timestamptz(null=True, default=None)


class AgreementParty(Table, tablename="agreement_party"):
    """Who the resident of an agreement is: name, phone and plate, encrypted, apart from the contract."""

    agreement_id = UUID(primary_key=True)
    name_cipher = Bytea()
    plate_cipher = Bytea()
    phone_cipher = Bytea(null=True, default=None)


class AgreementEvidence(Table, tablename="agreement_evidence"):
    """One piece of proof; its content lies encrypted in the evidence store under `store_key`."""

    id = UUID(primary_key=True, default=new_id)
    agreement_id = UUID()
    kind = Varchar(length=20)
    sha256 = Bytea()
    store_key = Varchar(length=80)
    media_type = Varchar(length=40)
    size_bytes = Integer()
    uploaded_at = Timestamptz()


class AgreementSignature(Table, tablename="agreement_signature"):
    """How an agreement was signed: exact text, time, address, one-time code, the stations within 500 m at that time."""

    agreement_id = UUID(primary_key=True)
    text_id = UUID()
    text_sha256 = Bytea()
    signed_at = Timestamptz()
    address_cipher = Bytea()
    code_id = UUID(null=True, default=None)
    method = Varchar(length=12, default="sms_code")
    evidence_id = UUID(null=True, default=None, help_text="the photograph of a paper signature")
    acted_by = UUID(null=True, default=None, help_text="who put the paper signature on record")
    stations = JSONB()
    record_sha256 = Bytea()


class AgreementDocument(Table, tablename="agreement_document"):
    """The PDF of a signed agreement, made once; its content lies in the evidence store."""

    agreement_id = UUID(primary_key=True)
    sha256 = Bytea()
    store_key = Varchar(length=80)
    size_bytes = Integer()
    made_at = Timestamptz()


class AgreementPackage(Table, tablename="agreement_package"):
    """Which package an agreement had from when on (append only)."""

    id = UUID(primary_key=True, default=new_id)
    agreement_id = UUID()
    package_id = UUID()
    chosen_at = Timestamptz()
    effective_from = Timestamptz()
    chosen_by = UUID(null=True, default=None)


class AgreementExchange(Table, tablename="agreement_exchange"):
    """What the company asked an applicant for, and what the applicant answered; the words encrypted (append only)."""

    id = UUID(primary_key=True, default=new_id)
    agreement_id = UUID()
    kind = Varchar(length=10)
    actor_id = UUID()
    text_cipher = Bytea()
    at = Timestamptz()


class AgreementDriver(Table, tablename="agreement_driver"):
    """Somebody who may charge the agreement's car under it, beside its holder."""

    id = UUID(primary_key=True, default=new_id)
    agreement_id = UUID()
    account_id = UUID()
    name_cipher = Bytea()
    phone_cipher = Bytea()
    added_at = Timestamptz()
    added_by = UUID()
    removed_at = Timestamptz(null=True, default=None)
