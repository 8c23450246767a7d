"""From run folders to a table, figures and one page."""
