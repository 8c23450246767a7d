"""Intervals, tests, contrasts and power: numbers, no prose."""
