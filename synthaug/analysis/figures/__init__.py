"""The figures of the page, as SVG text to stand inside HTML. No pyplot: nothing global, nothing to close."""
