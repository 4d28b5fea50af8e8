"""Which smoke detector of a station guards what. Devices themselves, with their health, are served by telemetry."""

from uuid import UUID

from litestar import get
from litestar.types import ControllerRouterHandler

from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.problem_docs import answers
from backend.stations.rules.registry import DetectorMap
from backend.stations.service import devices


@get(
    "/v1/operator/stations/{station_id:uuid}/detectors",
    operation_id="getDetectorMap",
    summary="Which smoke detector guards what",
    description=(
        "By area: its detectors, and the chargers and bays their alarm stops. A detector without an area stops the"
        " whole station. `faults` names areas without a detector and detectors that guard nothing."
    ),
    tags=["operator"],
    responses=answers(Unauthenticated, StaffOnly, NotFound),
)
async def read_detector_map(staff: Staff, station_id: UUID) -> DetectorMap:
    """Read the detector map."""
    return await devices.detector_map(staff=staff, station_id=station_id)


ROUTES: list[ControllerRouterHandler] = [read_detector_map]
