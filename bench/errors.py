"""What can go wrong, by what the run does about it."""

from __future__ import annotations


class BenchError(Exception):
    """The bench itself cannot go on (a tool is missing, a name is unknown): one line, exit code 1."""


class CandidateError(Exception):
    """One candidate is left out of one case, or of all; the text is the reason that the results give."""
