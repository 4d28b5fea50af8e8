"""Where Piccolo's command line finds database and features; the service installs its own in `backend.core.db`."""

import os

from piccolo.conf.apps import AppRegistry
from piccolo.engine.postgres import PostgresEngine

from backend.features import FEATURES

DB = PostgresEngine(
    config={"dsn": os.environ.get("LINLI_OWNER_DATABASE_URL", "postgresql://localhost/linli")}, extensions=()
)
APP_REGISTRY = AppRegistry(apps=[f"backend.{name}.piccolo_app" for name in FEATURES])
