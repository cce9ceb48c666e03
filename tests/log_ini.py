"""A file for --log-config, as logging.config reads it."""


def log_ini(error: str, access: str, line: str) -> str:
    """Errors and accesses to files of these names; `line` is their format."""
    return f"""
[loggers]
keys=root,gunicorn.error,gunicorn.access

[handlers]
keys=error,access

[formatters]
keys=short

[logger_root]
level=INFO
handlers=error

[logger_gunicorn.error]
level=INFO
handlers=error
propagate=0
qualname=gunicorn.error

[logger_gunicorn.access]
level=INFO
handlers=access
propagate=0
qualname=gunicorn.access

[handler_error]
class=FileHandler
formatter=short
args=({error!r},)

[handler_access]
class=FileHandler
formatter=short
args=({access!r},)

[formatter_short]
format={line}
"""
