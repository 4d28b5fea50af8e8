"""Tables of accounts: who people are, how they log in, what they consented to, and who works for which company.

Phone, openid, name, plate and push token are stored encrypted (`*_cipher`), beside a keyed hash (`*_hash`) where they
are looked up (domain.md "Personal data"). Foreign keys, checks and partial unique indexes are in the migration.
"""

from piccolo.columns import UUID, BigInt, Boolean, Bytea, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class OperatorCompany(Table, tablename="operator_company"):
    """A company that runs stations (试点项目服务商); every owned row of the service carries its id."""

    id = UUID(primary_key=True, default=new_id)
    code = Varchar(length=40, unique=True)
    name = Text()
    hotline = Varchar(length=40, default="")
    created_at = Timestamptz()


class Account(Table, tablename="account"):
    """One person with a login, by phone, by WeChat or by both; an erased one keeps its id and nothing else."""

    id = UUID(primary_key=True, default=new_id)
    phone_cipher = Bytea(null=True, default=None)
    phone_hash = Bytea(null=True, default=None)
    openid_cipher = Bytea(null=True, default=None)
    openid_hash = Bytea(null=True, default=None)
    name_cipher = Bytea(null=True, default=None)
    locale = Varchar(length=10, default="zh-CN")
    created_at = Timestamptz()
    erased_at = Timestamptz(null=True, default=None)


class LoginSession(Table, tablename="login_session"):
    """One login on one device: the family of its refresh tokens."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID()
    method = Varchar(length=10)
    created_at = Timestamptz()
    ended_at = Timestamptz(null=True, default=None)
    ended_reason = Varchar(length=20, null=True, default=None)


class RefreshToken(Table, tablename="refresh_token"):
    """One refresh token of a login; only its hash is kept, and a used one stays so that its reuse is noticed."""

    id = UUID(primary_key=True, default=new_id)
    session_id = UUID()
    token_hash = Bytea()
    issued_at = Timestamptz()
    expires_at = Timestamptz()
    used_at = Timestamptz(null=True, default=None)


class SmsCode(Table, tablename="sms_code"):
    """One one-time code for one purpose; phone and code are readable only until the SMS has been handed over."""

    id = UUID(primary_key=True, default=new_id)
    purpose = Varchar(length=20)
    subject_id = UUID(null=True, default=None)
    phone_hash = Bytea()
    address_hash = Bytea()
    phone_cipher = Bytea(null=True, default=None)
    code_cipher = Bytea(null=True, default=None)
    code_hash = Bytea()
    locale = Varchar(length=10, default="zh-CN")
    created_at = Timestamptz()
    expires_at = Timestamptz()
    tries = Integer(default=0)
    sent_at = Timestamptz(null=True, default=None)
    used_at = Timestamptz(null=True, default=None)


class LoginFailure(Table, tablename="login_failure"):
    """A wrong code from one client address: guessing over many numbers is limited by it."""

    id = UUID(primary_key=True, default=new_id)
    address_hash = Bytea()
    failed_at = Timestamptz()


class Vehicle(Table, tablename="vehicle"):
    """A vehicle in the list of one account; several accounts (a family) may list one plate."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID()
    plate_cipher = Bytea()
    plate_hash = Bytea()
    energy_hint = Varchar(length=10)
    battery_wh = BigInt(null=True, default=None)
    chemistry = Varchar(length=10, null=True, default=None)
    created_at = Timestamptz()
    removed_at = Timestamptz(null=True, default=None)


class PushTokenRow(Table, tablename="push_token"):
    """Where a person's app can be reached; a token belongs to the account that registered it last."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID()
    platform = Varchar(length=20)
    token_cipher = Bytea()
    token_hash = Bytea()
    created_at = Timestamptz()


class Consent(Table, tablename="consent"):
    """One given or withdrawn consent; the latest row of a purpose is in force (append only, PIPL art. 14-16)."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID()
    purpose = Varchar(length=40)
    given = Boolean()
    text_version = Varchar(length=40)
    recorded_at = Timestamptz()


class StaffGrant(Table, tablename="staff_grant"):
    """A role of an account in an operator company, at all its stations or at one; read at each request."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID()
    role = Varchar(length=20)
    operator_company_id = UUID()
    station_id = UUID(null=True, default=None)
    granted_by = UUID(null=True, default=None)
    granted_at = Timestamptz()
    revoked_at = Timestamptz(null=True, default=None)
    name_cipher = Bytea(null=True, default=None)
