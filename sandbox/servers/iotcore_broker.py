"""The last resort where no Mosquitto can be had: the broker of the wheel `iotcore` (rumqttd), MQTT 5 on loopback."""

import sys
from pathlib import Path

CONFIG = """\
id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 2000
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "linli"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 20480
max_inflight_count = 2000
dynamic_filters = true
"""


def iotcore_arguments(folder: Path, port: int) -> list[str | Path]:
    """Write the configuration into `folder` and return the command line."""
    (folder / "iotcore.toml").write_text(CONFIG.format(port=port), encoding="utf-8")
    return [sys.executable, "-m", "iotcore", "--config", "iotcore.toml"]
