"""Tables of agreements: contract texts, applications and contracts, their evidence, signature, document and packages.

What names a person stands apart (`agreement_party`), so that a signed contract can be kept by law after an erasure
while everything else forgets its resident. Exclusion, checks and foreign keys are in the migration.
"""

from piccolo.columns import JSONB, UUID, BigInt, Boolean, Bytea, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class AgreementText(Table, tablename="agreement_text"):
    """One version of the contract text; append-only by grant, since signatures name it by its SHA-256."""

    id = UUID(primary_key=True, default=new_id)
    code = Varchar(length=40)
    version = Integer()
    title = Text()
    body = Text()
    sha256 = Bytea()
    effective_from = Timestamptz()


class Package(Table, tablename="package"):
    """A priced plan on top of an agreement, billed in arrears; without a company it is offered by all."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(null=True, default=None)
    code = Varchar(length=40)
    name_zh = Text()
    name_en = Text()
    description_zh = Text()
    description_en = Text()
    price_fen = Integer(default=0)
    included_wh = BigInt(default=0)
    offered = Boolean(default=True)


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
    code_id = UUID()
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
