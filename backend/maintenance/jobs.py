"""Inspections come up, and what is overdue is told to the lead, once."""

from backend.accounts import service as accounts
from backend.core import db
from backend.core.jobs import JobContext, Jobs
from backend.maintenance import store
from backend.maintenance.gateways.photos import PhotoStore
from backend.maintenance.service import inspections, photos
from backend.notifications import service as notifications
from backend.stations import service as stations

JOBS = Jobs("maintenance")


@JOBS.every("come_up", seconds=3600)
async def come_up(job: JobContext) -> None:
    """Make the inspections that are due within a week."""
    await inspections.bring_up(now=job.now)


@JOBS.every("delete_photos", seconds=3600)
async def delete_photos(job: JobContext) -> None:
    """Delete the pictures whose time is over."""
    while await photos.delete_past(photos=job.services.get(PhotoStore), now=job.now):  # type: ignore[type-abstract]
        pass


@JOBS.every("tell_overdue", seconds=900)
async def tell_overdue(job: JobContext) -> None:
    """Tell the leads (operators where there is none) of inspections and findings past their dates, each once."""
    async with db.transaction():
        for table, condition, template in (
            ("inspection", "status <> 'completed'", "inspection_overdue"),
            ("finding", "status = 'open'", "finding_overdue"),
        ):
            for row in await store.claim_overdue(table, condition, job.now):
                station = await stations.get_station(station_id=row["station_id"])
                people = await accounts.list_staff(
                    operator_company_id=row["operator_company_id"], roles=("lead",), station_id=station.id
                ) or await accounts.list_staff(
                    operator_company_id=row["operator_company_id"], roles=("operator",), station_id=station.id
                )
                for account_id in {person.account_id for person in people}:
                    await notifications.notify(
                        recipient=account_id,
                        event_key=f"{template}:{row['id']}",
                        template=template,
                        params={"station": station.name},
                        safety=False,
                        now=job.now,
                    )
