"""Foreign keys, checks and unique keys of inspections, findings and works."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T23:31:00:000011"
VERSION = "1.38.0"
DESCRIPTION = "constraints"

STATEMENTS = """
ALTER TABLE checklist
    ADD CONSTRAINT checklist_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id);
ALTER TABLE inspection_plan
    ADD CONSTRAINT inspection_plan_checklist FOREIGN KEY (checklist_id) REFERENCES checklist (id),
    ADD CONSTRAINT inspection_plan_station FOREIGN KEY (station_id) REFERENCES station (id),
    ADD CONSTRAINT inspection_plan_once UNIQUE (checklist_id, station_id),
    ADD CONSTRAINT inspection_plan_period CHECK (period_days BETWEEN 1 AND 730);
ALTER TABLE inspection
    ADD CONSTRAINT inspection_of_plan FOREIGN KEY (plan_id) REFERENCES inspection_plan (id),
    ADD CONSTRAINT inspection_station FOREIGN KEY (station_id, operator_company_id)
        REFERENCES station (id, operator_company_id),
    ADD CONSTRAINT inspection_once UNIQUE (plan_id, due_at),
    ADD CONSTRAINT inspection_status CHECK (status IN ('open', 'started', 'completed')),
    ADD CONSTRAINT inspection_started CHECK ((status = 'open') = (started_at IS NULL)),
    ADD CONSTRAINT inspection_completed CHECK ((status = 'completed') = (completed_at IS NOT NULL));
CREATE INDEX inspection_not_told ON inspection (due_at) WHERE overdue_told_at IS NULL AND status <> 'completed';
ALTER TABLE inspection_answer
    ADD CONSTRAINT inspection_answer_of FOREIGN KEY (inspection_id) REFERENCES inspection (id),
    ADD CONSTRAINT inspection_answer_once UNIQUE (inspection_id, item),
    ADD CONSTRAINT inspection_answer_result CHECK (result IN ('ok', 'fault', 'not_applicable'));
ALTER TABLE finding
    ADD CONSTRAINT finding_inspection FOREIGN KEY (inspection_id) REFERENCES inspection (id),
    ADD CONSTRAINT finding_station FOREIGN KEY (station_id, operator_company_id)
        REFERENCES station (id, operator_company_id),
    ADD CONSTRAINT finding_connector FOREIGN KEY (connector_id) REFERENCES connector (id),
    ADD CONSTRAINT finding_severity CHECK (severity IN ('critical', 'major', 'minor')),
    ADD CONSTRAINT finding_status CHECK (status IN ('open', 'rectified', 'verified')),
    ADD CONSTRAINT finding_rectified CHECK ((status = 'open') = (rectified_at IS NULL)),
    ADD CONSTRAINT finding_verified CHECK ((status = 'verified') = (verified_at IS NOT NULL)),
    ADD CONSTRAINT finding_second_person CHECK (verified_by <> rectified_by);
CREATE UNIQUE INDEX finding_open_once ON finding (inspection_id, item) WHERE status = 'open';
CREATE INDEX finding_not_told ON finding (due_at) WHERE overdue_told_at IS NULL AND status = 'open';
ALTER TABLE maintenance_photo
    ADD CONSTRAINT maintenance_photo_inspection FOREIGN KEY (inspection_id) REFERENCES inspection (id),
    ADD CONSTRAINT maintenance_photo_finding FOREIGN KEY (finding_id) REFERENCES finding (id),
    ADD CONSTRAINT maintenance_photo_owner CHECK ((inspection_id IS NULL) <> (finding_id IS NULL)),
    ADD CONSTRAINT maintenance_photo_hash CHECK (octet_length(sha256) = 32);
ALTER TABLE maintenance_work
    ADD CONSTRAINT maintenance_work_station FOREIGN KEY (station_id, operator_company_id)
        REFERENCES station (id, operator_company_id),
    ADD CONSTRAINT maintenance_work_connector FOREIGN KEY (connector_id) REFERENCES connector (id),
    ADD CONSTRAINT maintenance_work_finding FOREIGN KEY (finding_id) REFERENCES finding (id),
    ADD CONSTRAINT maintenance_work_period CHECK (starts_at < ends_at),
    ADD CONSTRAINT maintenance_work_status CHECK (status IN ('planned', 'ended', 'cancelled')),
    ADD CONSTRAINT maintenance_work_closed CHECK ((status = 'planned') = (ended_at IS NULL));
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="maintenance", description=DESCRIPTION)

    async def constrain():
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(constrain)
    return manager
