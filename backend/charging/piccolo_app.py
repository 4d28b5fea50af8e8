from pathlib import Path

from piccolo.conf.apps import AppConfig, table_finder

APP_CONFIG = AppConfig(
    app_name="charging",
    migrations_folder_path=str(Path(__file__).parent / "piccolo_migrations"),
    table_classes=table_finder(
        modules=[
            "backend.charging.tables",
            "backend.charging.tables_statements",
            "backend.charging.tables_corrections",
        ],
        exclude_imported=True,
    ),
    migration_dependencies=[
        "backend.accounts.piccolo_app",
        "backend.stations.piccolo_app",
        "backend.agreements.piccolo_app",
        "backend.reservations.piccolo_app",
        "backend.tariffs.piccolo_app",
    ],
    commands=[],
)
