"""The simulated devices of the demo: chargers, locks, cameras and smoke detectors that speak the MQTT contract."""
