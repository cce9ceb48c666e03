"""The rolling reload: which generation is served, which one is wanted, and how the one becomes the other.

    STEADY     every worker is of the generation that is wanted; those that die or retire are replaced
      |  begin(): settings are read anew. Anything wrong: it is logged, and nothing has changed
      v
    ROLLING    new workers boot one by one, and for each that serves an old one goes (Pool.balance)
      |-- commit(), when all that are wanted serve: the new generation is the one to keep -> STEADY
      |-- abandon(), when a new worker (or template) ends or hangs while it boots: the old generation is
      |   wanted again. Its workers that are left serve on; new ones that serve are replaced in the same
      |   careful way, so that there are never fewer than wanted -> STEADY
      '-- begin() once more: yet another generation is wanted. The one to fall back on stays the same

Nothing here waits: each step is one look at the board, so signals are handled all the time.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from fastwsgi.errors import ConfigError, ListenError, UsageError
from fastwsgi.pool import Generation

if TYPE_CHECKING:
    from fastwsgi.app.base import BaseApplication
    from fastwsgi.arbiter import Arbiter

# Seconds. With `timeout = 0` a worker may boot for as long as it likes, but not in a reload: as long as it
# does, two generations are served.
RELOAD_PATIENCE = 300.0

KEPT = "The old settings and workers go on serving; the next HUP tries again."


class Reload:
    """The reloads of `server`."""

    def __init__(self, server: Arbiter, app: BaseApplication) -> None:
        self.server = server
        self.kept = self.target = Generation(1, app)
        """`kept`: the last generation that came to serve as a whole; `target`: the one that is wanted."""
        self.number = 1
        self.kept_workers = 0
        """How many there were of the kept generation."""

    @property
    def rolling(self) -> bool:
        return self.target is not self.kept

    @property
    def patience(self) -> float:
        """How long a worker that is forked now may take to boot, in seconds; 0: as long as it likes."""
        return self.target.settings.timeout or (RELOAD_PATIENCE if self.rolling else 0.0)

    def begin(self) -> None:
        """Read the settings anew, and want workers that have them."""
        server, before, workers = self.server, self.target, self.server.num_workers
        app = copy.copy(before.app)
        server.surroundings.reloading()
        server.surroundings.origin.set_environment({})  # the configuration may look at it, and changes it
        try:
            app.reload()
            server.open_more_listeners(app.cfg)
            generation = Generation(self.number + 1, app)
            server.adopt(generation)
            server.log_settings()
            server.num_workers = generation.settings.workers
            generation.settings.on_reload(server)
        except (Exception, SystemExit) as error:
            self.go_back(before)
            server.num_workers = workers
            server.close_listeners_except(self.kept, before)
            expected = isinstance(error, (ConfigError, UsageError, ListenError))
            server.log.error("Cannot reload: %s", error or "", exc_info=None if expected else error)
            server.log.error(KEPT)
            server.surroundings.reloaded(server.status())
            return
        if not self.rolling:
            self.kept_workers = workers
        self.number += 1
        self.target = generation
        server.pool.try_at_once()
        self.let_go_of_others()

    def step(self) -> None:
        """Bring the workers a step nearer to what is wanted."""
        pool, workers = self.server.pool, self.server.num_workers
        if self.rolling and pool.serving(self.target) >= workers:
            self.commit()
        pool.balance(self.target, workers, self.patience)

    def commit(self) -> None:
        """All serve. What only older generations needed goes before their last workers, who serve it out."""
        self.kept = self.target
        self.let_go_of_others()
        self.server.log.info("Reloaded: workers with the new settings serve")
        self.server.surroundings.reloaded(self.server.status())

    def abandon(self, reason: str) -> None:
        server, failed = self.server, self.target
        self.target = self.kept
        self.go_back(self.kept)
        if server.num_workers == failed.settings.workers:
            # nobody has asked for another number meanwhile
            server.num_workers = self.kept_workers
        self.let_go_of_others()
        server.log.error("Reload abandoned: %s", reason)
        server.log.error(KEPT)
        server.surroundings.reloaded(server.status())

    def go_back(self, generation: Generation) -> None:
        """Be as its settings say again, as far as that is still possible."""
        try:
            self.server.adopt(generation)
        except Exception:
            self.server.log.exception("Not all of the old settings could be restored")

    def let_go_of_others(self) -> None:
        """Of what neither the wanted nor the kept generation needs."""
        self.server.close_listeners_except(self.kept, self.target)
        self.server.pool.dismiss_templates(keep=(self.kept, self.target))
