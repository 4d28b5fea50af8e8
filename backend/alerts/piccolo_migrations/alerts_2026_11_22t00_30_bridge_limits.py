"""What the bridge's screen of critical samples must know: the critical numbers in force, and what cars said.

Two views, read by `mqtt_bridge.registry`. A station is named once per layer of numbers (its own settings, the
company's version, its own version): the screen takes the strictest of them and of the defaults.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-22T00:30:30:150001"
VERSION = "1.38.0"
DESCRIPTION = "critical numbers and cars' limits for the bridge"

STATEMENTS = (
    """
    CREATE VIEW bridge_critical_number AS
    SELECT layer.station_id, rule.key AS rule, number.key AS name, number.value::text::double precision AS value
      FROM (
        SELECT id AS station_id, settings -> 'alert_rules' AS rules FROM station
        UNION ALL
        SELECT s.id, v.rules FROM alert_rule_version v JOIN station s
            ON s.operator_company_id = v.operator_company_id AND (v.station_id IS NULL OR v.station_id = s.id)
         WHERE v.status = 'approved'
      ) layer
      CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(layer.rules) WHEN 'object' THEN layer.rules END) rule
      CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(rule.value) WHEN 'object' THEN rule.value END) number
     WHERE number.key LIKE 'critical%' AND jsonb_typeof(number.value) = 'number'
    """,
    """
    CREATE VIEW bridge_car_limits AS
    SELECT d.code, c.number, coalesce(w.car_limits ->> 'chemistry', 'unknown') AS chemistry,
           (w.car_limits ->> 'temp_limit_c')::double precision AS temp_limit_c,
           (w.car_limits ->> 'cell_v_limit')::double precision AS cell_v_limit
      FROM connector_watch_state w
      JOIN connector c ON c.id = w.connector_id
      JOIN device d ON d.charger_id = c.charger_id AND d.kind = 'charger'
     WHERE w.car_limits IS NOT NULL
    """,
)


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Make the views, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="alerts", description=DESCRIPTION)

    async def add() -> None:
        for statement in STATEMENTS:
            await RawTable.raw(statement)

    manager.add_raw(add)
    return manager
