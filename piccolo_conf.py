"""Where Piccolo's command line finds the database and the features; the service itself installs its database in `backend.core.db`."""

import os

from piccolo.conf.apps import AppRegistry
from piccolo.engine.postgres import PostgresEngine

from backend.features import FEATURES

DB = PostgresEngine(
    config={"dsn": os.environ.get("LINLI_OWNER_DATABASE_URL", "postgresql://localhost/linli")}, extensions=()
)
APP_REGISTRY = AppRegistry(apps=[f"backend.{name}.piccolo_app" for name in FEATURES])
