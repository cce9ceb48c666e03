"""Both logs as JSON, by a formatter that takes the access line apart through record.args."""

import json
import logging
import time

bind = "127.0.0.1:0"
accesslog = "-"
errorlog = "-"


class JsonFormatter(logging.Formatter):
    def format(self, record):
        message = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            message["exception"] = self.formatException(record.exc_info)
        return json.dumps(message)


class JsonRequestFormatter(JsonFormatter):
    def format(self, record):
        atoms = record.args
        url = atoms["U"]
        if atoms["q"]:
            url += f"?{atoms['q']}"
        return json.dumps(
            {
                "remote_ip": atoms["h"],
                "method": atoms["m"],
                "path": url,
                "status": str(atoms["s"]),
                "bytes": atoms["B"],
                "user_agent": atoms["a"],
                "referer": atoms["f"],
                "request_id": atoms["{x-request-id}i"],
                "content_type": atoms["{content-type}o"],
                "duration_in_ms": atoms["M"],
                "seconds": float(atoms["L"]),
                "pid": atoms["p"],
            }
        )


logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["error_console"]},
    "formatters": {
        "json": {"()": JsonFormatter},
        "json_request": {"()": JsonRequestFormatter},
    },
    "handlers": {
        "error_console": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "stream": "ext://sys.stderr",
        },
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "json_request",
            "stream": "ext://sys.stdout",
        },
    },
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["console"], "propagate": False},
    },
}
