"""The page: one HTML file that needs nothing else. Numbers come from the comparison, words from `table`."""
