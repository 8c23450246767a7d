"""The run folder: layout, contents, plan, identity."""
