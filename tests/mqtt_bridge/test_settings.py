"""The bridge's settings."""

import pytest

from mqtt_bridge.settings import BadSetting, Settings

GOOD = {
    "LINLI_DATABASE_URL": "postgresql://h/db",
    "LINLI_REDIS_URL": "redis://h",
    "LINLI_MQTT_URL": "mqtt://h",
    "LINLI_DATA_KEYS": "1:" + "A" * 43 + "=",
}


class TestSettings:
    def test_reads_the_environment(self) -> None:
        settings = Settings.from_environ(GOOD)
        assert (settings.data_keys, settings.receive_maximum) == ({1: bytes(32)}, 2000)

    @pytest.mark.parametrize("name", sorted(GOOD))
    def test_names_what_is_missing(self, name: str) -> None:
        with pytest.raises(BadSetting, match=name):
            Settings.from_environ({**GOOD, name: ""})

    @pytest.mark.parametrize("value", ["1:short", "no", "0:" + "A" * 43 + "="])
    def test_names_keys_that_are_none(self, value: str) -> None:
        with pytest.raises(BadSetting, match="LINLI_DATA_KEYS"):
            Settings.from_environ({**GOOD, "LINLI_DATA_KEYS": value})
