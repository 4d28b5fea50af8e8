"""Constraints of accounts that Piccolo's columns cannot say."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T21:12:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Foreign keys, checks, partial unique indexes"

STATEMENTS = (
    "ALTER TABLE account ADD CONSTRAINT account_phone_unique UNIQUE (phone_hash)",
    "ALTER TABLE account ADD CONSTRAINT account_openid_unique UNIQUE (openid_hash)",
    "ALTER TABLE account ADD CONSTRAINT account_locale CHECK (locale IN ('zh-CN', 'en'))",
    # An erased account keeps nothing that names a person; a living one can be reached by phone or WeChat.
    """
    ALTER TABLE account ADD CONSTRAINT account_erased_is_empty CHECK (
        CASE WHEN erased_at IS NULL THEN phone_hash IS NOT NULL OR openid_hash IS NOT NULL
        ELSE phone_hash IS NULL AND openid_hash IS NULL AND phone_cipher IS NULL AND openid_cipher IS NULL AND name_cipher IS NULL END)
    """,
    "ALTER TABLE account ADD CONSTRAINT account_phone_pair CHECK ((phone_hash IS NULL) = (phone_cipher IS NULL))",
    "ALTER TABLE account ADD CONSTRAINT account_openid_pair CHECK ((openid_hash IS NULL) = (openid_cipher IS NULL))",
    "ALTER TABLE login_session ADD CONSTRAINT login_session_account FOREIGN KEY (account_id) REFERENCES account (id)",
    "CREATE INDEX login_session_open ON login_session (account_id) WHERE ended_at IS NULL",
    "ALTER TABLE refresh_token ADD CONSTRAINT refresh_token_session FOREIGN KEY (session_id) REFERENCES login_session (id) ON DELETE CASCADE",
    "ALTER TABLE refresh_token ADD CONSTRAINT refresh_token_unique UNIQUE (token_hash)",
    "CREATE UNIQUE INDEX refresh_token_one_unused ON refresh_token (session_id) WHERE used_at IS NULL",
    "ALTER TABLE sms_code ADD CONSTRAINT sms_code_tries CHECK (tries BETWEEN 0 AND 5)",
    "CREATE INDEX sms_code_by_phone ON sms_code (phone_hash, created_at)",
    "CREATE INDEX sms_code_by_address ON sms_code (address_hash, created_at)",
    "CREATE INDEX sms_code_by_age ON sms_code (created_at)",
    "CREATE INDEX login_failure_by_address ON login_failure (address_hash, failed_at)",
    "CREATE INDEX login_failure_by_age ON login_failure (failed_at)",
    "ALTER TABLE vehicle ADD CONSTRAINT vehicle_account FOREIGN KEY (account_id) REFERENCES account (id)",
    "ALTER TABLE vehicle ADD CONSTRAINT vehicle_battery CHECK (battery_wh IS NULL OR battery_wh BETWEEN 1000 AND 2000000)",
    "ALTER TABLE vehicle ADD CONSTRAINT vehicle_chemistry CHECK (chemistry IS NULL OR chemistry IN ('ncm', 'lfp', 'unknown'))",
    "CREATE UNIQUE INDEX vehicle_once_per_account ON vehicle (account_id, plate_hash) WHERE removed_at IS NULL",
    "CREATE INDEX vehicle_by_plate ON vehicle (plate_hash)",
    "ALTER TABLE push_token ADD CONSTRAINT push_token_account FOREIGN KEY (account_id) REFERENCES account (id)",
    "ALTER TABLE push_token ADD CONSTRAINT push_token_unique UNIQUE (platform, token_hash)",
    "CREATE INDEX push_token_by_account ON push_token (account_id)",
    "ALTER TABLE consent ADD CONSTRAINT consent_account FOREIGN KEY (account_id) REFERENCES account (id)",
    "CREATE INDEX consent_latest ON consent (account_id, purpose, recorded_at DESC)",
    "ALTER TABLE staff_grant ADD CONSTRAINT staff_grant_account FOREIGN KEY (account_id) REFERENCES account (id)",
    "ALTER TABLE staff_grant ADD CONSTRAINT staff_grant_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id)",
    "ALTER TABLE staff_grant ADD CONSTRAINT staff_grant_role CHECK (role IN ('guard', 'lead', 'operator', 'inspector'))",
    """
    CREATE UNIQUE INDEX staff_grant_once ON staff_grant
    (account_id, role, operator_company_id, coalesce(station_id, '00000000-0000-0000-0000-000000000000'::uuid)) WHERE revoked_at IS NULL
    """,
    "CREATE INDEX staff_grant_by_company ON staff_grant (operator_company_id) WHERE revoked_at IS NULL",
)


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="accounts", description=DESCRIPTION)

    async def add() -> None:
        for statement in STATEMENTS:
            await RawTable.raw(statement)

    manager.add_raw(add)
    return manager
