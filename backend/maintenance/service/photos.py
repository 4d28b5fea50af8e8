"""Photos of inspections and findings: checked by content, kept encrypted, read by the station's staff only."""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from backend.agreements.rules import files
from backend.core.auth import Staff
from backend.core.errors import Conflict, Invalid, NotFound
from backend.core.ids import new_id
from backend.maintenance import store
from backend.maintenance.gateways.photos import PhotoStore, photo_key
from backend.maintenance.service import findings, readable, workable
from backend.maintenance.views import PhotoView

MAX_PHOTOS = 60
KEPT_AFTER_CLOSING = timedelta(days=30)
"""Pictures may show people and plates: 30 days (domain.md "Personal data"), from when they are needed no more."""
DELETED_AT_ONCE = 500


class PhotoGone(NotFound):
    """The picture was deleted when its time was over; what it was of, its hash and its date are kept."""

    code = "photo_gone"
    title_en = "The photo is no longer kept"
    title_zh = "照片已超过保存期限"
    detail_en = "It was deleted on {deleted_at}, 30 days after the inspection or finding was closed."
    detail_zh = "照片在检查或隐患关闭30天后删除（{deleted_at}）。"


class PhotoRefused(Invalid):
    """The file is no picture, cut off, or too large."""

    code = "photo_refused"
    title_en = "The photo cannot be taken"
    title_zh = "照片无法接收"
    detail_en = "Send a whole JPEG, PNG, WebP or HEIC picture of at most 10 MB."
    detail_zh = "请上传完整的 JPEG、PNG、WebP 或 HEIC 图片，不超过 10 MB。"


class TooManyPhotos(Conflict):
    """There are sixty photos already."""

    code = "too_many_photos"
    title_en = "There are enough photos"
    title_zh = "照片数量已达上限"


async def add_photo(
    *,
    staff: Staff,
    inspection_id: UUID | None,
    finding_id: UUID | None,
    item: str | None,
    content: bytes,
    photos: PhotoStore,
    now: datetime,
) -> PhotoView:
    """Keep a picture of an inspection's item, or of a finding; the content is stored before its row.

    Raises NotFound, StaffOnly, PhotoRefused, TooManyPhotos, and Conflict where the inspection is not under way.
    """
    media_type = files.detect(content) if len(content) <= files.MAX_BYTES else None
    if media_type is None or media_type == "application/pdf":
        raise PhotoRefused
    owner_id = await _owner(staff, inspection_id, finding_id, item)
    if len(await store.list_photos(inspection_id=inspection_id, finding_id=finding_id)) >= MAX_PHOTOS:
        raise TooManyPhotos
    key = photo_key(owner_id, content)
    await photos.put(key, content)
    made = PhotoView(
        id=new_id(),
        inspection_id=inspection_id,
        finding_id=finding_id,
        item=item,
        media_type=media_type,
        size_bytes=len(content),
        added_at=now,
    )
    await store.insert(
        "maintenance_photo",
        {
            "id": made.id,
            "inspection_id": inspection_id,
            "finding_id": finding_id,
            "item": item,
            "sha256": hashlib.sha256(content).digest(),
            "store_key": key,
            "media_type": media_type,
            "size_bytes": len(content),
            "added_at": now,
            "added_by": staff.account_id,
        },
    )
    return made


async def _owner(staff: Staff, inspection_id: UUID | None, finding_id: UUID | None, item: str | None) -> UUID:
    from backend.maintenance.service.inspections import InspectionClosed

    if inspection_id is not None:
        inspection = await store.find_inspection(inspection_id)
        if inspection is None:
            raise NotFound(kind="inspection")
        await workable(staff=staff, station_id=inspection.station_id)
        if inspection.status != "started":
            raise InspectionClosed(status=inspection.status)
        if item not in {each.key for each in inspection.items}:
            raise NotFound(kind="item")
        return inspection_id
    assert finding_id is not None
    finding = await findings.get_finding(staff=staff, finding_id=finding_id)
    await workable(staff=staff, station_id=finding.station_id)
    return finding_id


async def read_photo(*, staff: Staff, photo_id: UUID, photos: PhotoStore) -> tuple[PhotoView, bytes]:
    """Return a picture with its content; raises NotFound, PhotoGone."""
    found = await store.find_photo(photo_id)
    if found is None:
        raise NotFound(kind="photo")
    view, key = found
    if view.inspection_id is not None:
        inspection = await store.find_inspection(view.inspection_id)
        station_id = None if inspection is None else inspection.station_id
    else:
        finding = None if view.finding_id is None else await store.find_finding(view.finding_id)
        station_id = None if finding is None else finding.station_id
    if station_id is None:
        raise NotFound(kind="photo")
    await readable(staff=staff, station_id=station_id)
    if view.deleted_at is not None:
        raise PhotoGone(deleted_at=view.deleted_at.date().isoformat())
    content = await photos.get(key)
    if content is None:
        raise NotFound(kind="photo")
    return view, content


async def delete_past(*, photos: PhotoStore, now: datetime) -> int:
    """Delete the content of pictures 30 days after their matter was closed; returns how many.

    A picture of an inspection stays while one of its findings is open. Content goes before the row says so: what a
    crash leaves between the two is deleted again.
    """
    past = await store.list_photos_past(now - KEPT_AFTER_CLOSING, limit=DELETED_AT_ONCE)
    for _, key in past:
        await photos.delete(key)
    await store.mark_photos_deleted([photo_id for photo_id, _ in past], now)
    return len(past)
