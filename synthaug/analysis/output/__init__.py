"""Files of a study: page, figures, tables, records."""
