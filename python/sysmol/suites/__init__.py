"""The suites of ``sysmol bench``: what is measured, against whom."""
