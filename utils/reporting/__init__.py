"""The report on finished runs: tables, statistics and figures, in four formats (docs/report.md)."""
