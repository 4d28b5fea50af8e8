"""`./dev story`: the main job, once through, over real HTTP, WebSocket and MQTT."""
