"""Configuration: schema, composition, sweeps, validation."""
