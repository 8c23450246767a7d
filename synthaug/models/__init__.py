"""The classifier: backbones, heads, freezing, loss, schedules."""
