"""Tariff versions and their prices. The exclusion against overlaps, the agreement cap and the trigger that keeps
published versions as they are, are raw SQL in the migrations."""

from piccolo.columns import JSONB, UUID, Date, Integer, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class TariffVersion(Table, tablename="tariff_version"):
    """What a station's users pay from `effective_from` to before `effective_to` (None: until the next version).

    It holds for one station, or for a group of stations, or, without either, for all stations of the company; of a
    group and a company for those with its supply class. A retired one ended, or (with an empty period) never held.
    `spans` is the band schedule: [{"band", "from_min", "to_min", "months"}].
    """

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None, index=True)
    station_id = UUID(null=True, default=None, index=True)
    station_group_id = UUID(null=True, default=None, index=True)
    supply_class = Varchar(length=20)
    name = Varchar(length=120, default="")
    status = Varchar(length=10, default="draft", help_text="draft | approved | published | retired")
    effective_from = Timestamptz()
    effective_to = Timestamptz(null=True, default=None)
    spans = JSONB()
    parking = JSONB(default="{}")
    created_by = UUID(default=None)
    created_at = Timestamptz()
    approved_by = UUID(null=True, default=None)
    approved_at = Timestamptz(null=True, default=None)
    published_by = UUID(null=True, default=None)
    published_at = Timestamptz(null=True, default=None)
    retired_by = UUID(null=True, default=None)
    retired_at = Timestamptz(null=True, default=None)


class TariffPrice(Table, tablename="tariff_price"):
    """The prices of one band for one user class, 1/10000 yuan per kWh."""

    id = UUID(primary_key=True, default=new_id)
    version_id = UUID(default=None)
    user_class = Varchar(length=10, help_text="agreement | market")
    band = Varchar(length=10)
    energy_e4 = Integer()
    service_e4 = Integer()


class StationGroup(Table, tablename="station_group"):
    """Stations of a company that share their service prices."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None)
    name = Varchar(length=120)
    created_by = UUID(default=None)
    created_at = Timestamptz()


class StationGroupMember(Table, tablename="station_group_member"):
    """A station is in one group at most."""

    station_id = UUID(primary_key=True, default=None)
    group_id = UUID(default=None, index=True)


class GridPrice(Table, tablename="grid_price"):
    """What the grid company published for a month and a class of supply (电网代购电价): the energy price by band."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None)
    supply_class = Varchar(length=20)
    month = Date(default=None, help_text="first day of the Beijing month")
    bands = JSONB(help_text='{"peak": 10737, ...}, 1/10000 yuan per kWh')
    source = Varchar(length=240, default="")
    entered_by = UUID(default=None)
    entered_at = Timestamptz()
