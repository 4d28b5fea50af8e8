"""The features with tables, lowest first: the order in which migrations run and tables are bound."""

FEATURES: tuple[str, ...] = (
    "core",
    "accounts",
    "stations",
    "tariffs",
    "payments",
    "notifications",
    "telemetry",
    "bays",
    "agreements",
    "reservations",
    "maintenance",
    "charging",
    "waiting",
    "alerts",
    "console",
)
