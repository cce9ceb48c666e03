"""gunicorn.glogging by its own name: what configurations that subclass the logger import from there."""

from fastwsgi.access_format import SafeAtoms
from fastwsgi.log import Logger
from fastwsgi.log_config import CONFIG_DEFAULTS

__all__ = ["CONFIG_DEFAULTS", "Logger", "SafeAtoms"]
