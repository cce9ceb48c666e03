"""Any application within wsgiref.validate, which raises AssertionError where somebody breaks PEP 3333."""

import importlib
from wsgiref.types import WSGIApplication
from wsgiref.validate import validator


def wrap(target: str, *arguments: object, **keywords: object) -> WSGIApplication:
    """The application `target`, "module:name", or what the factory of that name returns for the arguments."""
    module, _, name = target.partition(":")
    application = getattr(importlib.import_module(module), name)
    return validator(application(*arguments, **keywords) if arguments or keywords else application)
