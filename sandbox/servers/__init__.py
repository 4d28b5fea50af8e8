"""The servers that `linli up` and the tests run for themselves: PostgreSQL, Valkey, an MQTT broker, on loopback."""
