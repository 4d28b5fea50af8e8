"""Tables of the foundation: events, ticks, the audit log and its seals, idempotency records."""

from piccolo.columns import JSONB, UUID, BigInt, Bytea, Integer, Text, Timestamptz, Varchar
from piccolo.columns.indexes import IndexMethod
from piccolo.table import Table

from backend.core.ids import new_id


class DomainEvent(Table, tablename="domain_event"):
    """What happened, in the transaction in which it did; append-only by grant."""

    id = UUID(primary_key=True, default=new_id)
    name = Varchar(length=80, index=True)
    payload = JSONB()
    occurred_at = Timestamptz(index=True, index_method=IndexMethod.btree)


class JobTick(Table, tablename="job_tick"):
    """When each periodic handler last ran, so that it runs once across all workers."""

    name = Varchar(length=120, primary_key=True)
    ran_at = Timestamptz()


class AuditEntry(Table, tablename="audit_entry"):
    """Who did what to which object, without personal data; append-only by grant."""

    id = UUID(primary_key=True, default=new_id)
    at = Timestamptz(index=True)
    actor_id = UUID(null=True, default=None)
    actor_role = Varchar(length=40)
    operator_company_id = UUID(null=True, default=None, index=True)
    action = Varchar(length=120)
    object_kind = Varchar(length=80)
    object_id = Varchar(length=80, index=True)
    detail = JSONB()


class AuditSeal(Table, tablename="audit_seal"):
    """The hash chain over the audit log: each seal covers one entry and the seal before it; append-only by grant."""

    number = BigInt(primary_key=True)
    entry_id = UUID(unique=True)
    sealed_at = Timestamptz()
    hash = Bytea()


class IdempotencyRecord(Table, tablename="idempotency_record"):
    """The answer an unsafe call gave under its Idempotency-Key, so that a repeat gets the same one."""

    id = UUID(primary_key=True, default=new_id)
    caller = Varchar(length=80)
    key = Varchar(length=120)
    operation = Varchar(length=200)
    body_sha256 = Bytea()
    started_at = Timestamptz(index=True)
    status = Integer(null=True, default=None)
    media_type = Text(null=True, default=None)
    answer_cipher = Bytea(null=True, default=None)
