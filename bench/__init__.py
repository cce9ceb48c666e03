"""The bench: WSGI servers side by side on one machine. `python -m bench --help` says how to run it.

cli -> candidates, cases (the two tables) -> environments (install) -> measure (rounds; server, loader, check,
procfs) -> results (JSON) -> goals, report, plots.
"""
