"""Settings: functions of the configuration file that the server calls.

A hook that is not set is the function `nothing`: who calls hooks often compares with it, and calls none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastwsgi.settings.declaration import Section, Setting
from fastwsgi.settings.values import imported

Hook = Callable[..., Any]

NO_DIRTY = "there are no dirty arbiters"


def nothing(*arguments: object) -> None:
    """What a hook does that is not set."""


def default_ssl_context(config: object, default_factory: Callable[[], object]) -> object:
    return default_factory()


def hook(*names: str) -> Callable[[object], Hook]:
    """A function, or the dotted name of one, that can be called with arguments of these meanings."""

    def parse(value: object) -> Hook:
        function = _function(value)
        if not _takes(function, len(names)):
            raise ValueError(f"expected a function of ({', '.join(names)})")
        return function

    return parse


def post_request_hook(value: object) -> Hook:
    """As `hook`, but the last two arguments came later: who does not take them is not given them."""
    function = _function(value)
    if _takes(function, 4):
        return function
    if _takes(function, 3):
        return lambda worker, req, environ, resp: function(worker, req, environ)
    if _takes(function, 2):
        return lambda worker, req, environ, resp: function(worker, req)
    raise ValueError("expected a function of (worker, req), (worker, req, environ) or (..., resp)")


def _function(value: object) -> Hook:
    function = imported(value) if isinstance(value, str) else value
    if not callable(function):
        raise ValueError("expected a function, or the dotted name of one")
    return function


def _takes(function: Hook, count: int) -> bool:
    if function in (nothing, default_ssl_context):
        return True
    import inspect

    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        # made in C, without a signature to look at
        return True
    return True


def server_hook(*names: str, help: str, no_effect: str = "") -> Setting[Hook]:
    return Setting(
        parse=hook(*names), default=nothing, metavar=", ".join(names), help=help, no_effect=no_effect
    )


class ServerHooks(Section):
    section = "Server Hooks"

    on_starting = server_hook("server", help="The arbiter starts; it has no listeners yet.")
    on_reload = server_hook("server", help="SIGHUP: the settings were read anew.")
    when_ready = server_hook("server", help="The listeners are open; no worker was forked yet.")
    pre_fork = server_hook("server", "worker", help="A worker is about to be forked.")
    post_fork = server_hook(
        "server", "worker", help="In the worker, after the fork, before the application is loaded."
    )
    post_worker_init = server_hook("worker", help="In the worker, after the application was loaded.")
    worker_int = server_hook("worker", help="In the worker, on SIGINT or SIGQUIT.")
    worker_abort = server_hook("worker", help="In the worker, on SIGABRT: its request takes too long.")
    pre_exec = server_hook("server", help="Just before a new arbiter is executed (SIGUSR2).")
    pre_request = server_hook("worker", "req", help="In the worker, before each request.")
    post_request = Setting(
        parse=post_request_hook,
        default=nothing,
        metavar="worker, req, environ, resp",
        help="In the worker, after each request. The last two arguments may be left out.",
    )
    child_exit = server_hook("server", "worker", help="In the arbiter, when a worker has ended.")
    worker_exit = server_hook("server", "worker", help="In the worker, just before it ends.")
    nworkers_changed = server_hook(
        "server",
        "new_value",
        "old_value",
        help="The number of workers was changed; the old value is None at first.",
    )
    on_exit = server_hook("server", help="The arbiter is about to end.")
    ssl_context = Setting(
        parse=hook("config", "default_ssl_context_factory"),
        default=default_ssl_context,
        metavar="config, default_ssl_context_factory",
        no_effect="TLS is not built yet",
        help="Make the SSLContext.",
    )


class DirtyArbiterHooks(Section):
    section = "Dirty Arbiter Hooks"

    on_dirty_starting = server_hook("arbiter", no_effect=NO_DIRTY, help="A dirty arbiter starts.")
    dirty_post_fork = server_hook(
        "arbiter", "worker", no_effect=NO_DIRTY, help="In a dirty worker, after the fork."
    )
    dirty_worker_init = server_hook(
        "worker", no_effect=NO_DIRTY, help="In a dirty worker, after its applications were loaded."
    )
    dirty_worker_exit = server_hook("arbiter", "worker", no_effect=NO_DIRTY, help="A dirty worker has ended.")
