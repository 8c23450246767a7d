"""Datasets written as image folders."""
