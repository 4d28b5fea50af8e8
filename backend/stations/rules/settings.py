"""The numbers of domain.md that a station may set for itself; the defaults are domain.md's own."""

import msgspec


class StationSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Times in seconds, money in fen. The rules never change, only the numbers they use (a demo station shortens
    its waits).
    """

    vacate_gap_s: int = 600
    hold_after_start_s: int = 900
    check_in_before_s: int = 900
    check_in_radius_m: int = 100
    lock_raise_delay_s: int = 180
    blocked_bay_after_s: int = 180
    overstay_grace_s: int = 600
    overstay_fee_fen_per_min: int = 50
    overstay_cap_fen: int = 5000
    overstay_free_from_min: int = 23 * 60
    overstay_free_to_min: int = 7 * 60
    overstay_warnings_s: tuple[int, ...] = (0, 300, 600)
    free_cancel_before_s: int = 900
    escalate_after_s: tuple[int, ...] = (60, 180, 300)
    neighbours_within_m: int = 500
    silence_intervals: int = 3
    slot_grid_s: int = 900
    min_booking_s: int = 1800
    max_booking_ac_s: int = 28_800
    max_booking_dc_s: int = 7200
    max_days_ahead: int = 7
    max_open_bookings: int = 2
    max_open_bookings_household: int = 4
    max_new_bookings_a_day: int = 8
    max_changes: int = 3
    open_from_min: int = 0
    open_to_min: int = 0
    zone_notice_days: int = 7
    remind_before_s: int = 1800
    remind_hold_before_s: int = 300
    no_show_limit: int = 3
    no_show_window_days: int = 30
    suspension_days: int = 7
    offer_on_site_s: int = 90
    offer_remote_s: int = 300
    max_wait_s: int = 300
    signing_limit: int | None = None
    signing_limit_refuses: bool = False
    alert_rules: dict[str, dict[str, float]] = {}

    def problems(self) -> list[tuple[str, str]]:
        """Return (field, what would be right) for each number that cannot be."""
        found: list[tuple[str, str]] = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, int) and value < 0:
                found.append((name, "zero or more"))
            if isinstance(value, tuple) and (any(v < 0 for v in value) or list(value) != sorted(value)):
                found.append((name, "rising numbers, zero or more"))
        positive = (
            "slot_grid_s",
            "min_booking_s",
            "max_booking_ac_s",
            "max_booking_dc_s",
            "silence_intervals",
            "offer_on_site_s",
        )
        found.extend((name, "more than zero") for name in positive if getattr(self, name) == 0)
        found.extend(
            (name, "a minute of the day, 0 to 1439")
            for name in ("overstay_free_from_min", "overstay_free_to_min", "open_from_min", "open_to_min")
            if getattr(self, name) >= 1440
        )
        return found


def opening_hours(settings: StationSettings) -> str | None:
    """Return the hours that bookings, queues and walk-ups keep, as people read them; None where it never closes, and
    what the operator wrote is shown.
    """
    if settings.open_from_min == settings.open_to_min:
        return None
    return "-".join(f"{m // 60:02d}:{m % 60:02d}" for m in (settings.open_from_min, settings.open_to_min))
