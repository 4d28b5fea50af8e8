"""The servers that `linli up` and the tests run for themselves: PostgreSQL, Valkey and an MQTT broker, all on loopback."""
