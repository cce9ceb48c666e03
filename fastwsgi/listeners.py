"""All listeners of a server: where it listens, and which worker gets which of them.

Ordinarily there is one *seat*, a set with one socket for each address, and all workers sit on it. With
`reuse_port` each worker has a seat of its own, and the kernel deals connections out to them. The master keeps
the sockets of all seats open: the connections that wait at a worker that crashes are served by the one that
takes its seat. The worker of a new seat listens there when it can serve, and not before: it may never be able
to. A seat that nobody takes any more is closed here; its last worker serves what waits there.
"""

from __future__ import annotations

from collections import Counter
from socket import AF_INET, AF_INET6, SO_REUSEPORT, SOL_SOCKET
from typing import TYPE_CHECKING, NamedTuple

from fastwsgi import sockets
from fastwsgi.errors import ListenError
from fastwsgi.sockets import FdAddress, Owner, TCPAddress, UnixAddress

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Iterable

    from fastwsgi.settings import Settings
    from fastwsgi.sockets import Address

RETRIES = 5


class Key(NamedTuple):
    """One element of `bind`."""

    text: str
    earlier: int = 0
    """How often it stands there before: `127.0.0.1:0` can be given twice."""


def keys(settings: Settings) -> list[Key]:
    seen: Counter[str] = Counter()
    found = []
    for text in settings.bind:
        found.append(Key(text, seen[text]))
        seen[text] += 1
    return found


class Listeners:
    """The sockets of one server, in the master.

    A reload first widens them to what the new settings want, and then narrows them to that, or, if it was
    given up, back to what the old ones do.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.addresses: dict[Key, Address] = {}
        """As `bind` has them, and as they are, with the port that the kernel chose."""
        self.seats: dict[int, dict[Key, socket.socket]] = {0: {}}
        self.made = files(settings)
        self.inherited = False
        """They come from another process, so that `bind` says nothing."""
        self.lent = False
        """Their files are somebody else's, and stay."""

    def inherit(self, fds: Iterable[int], *, lent: bool) -> None:
        """Take over what another process has opened. ListenError: something of it is no listener."""
        self.lent = lent
        for fd in fds:
            self.inherited = True
            listener = sockets.adopt(fd, self.settings.backlog)
            address = sockets.address_of(listener)
            key = Key(str(address))
            self.seats.setdefault(0, {})[key] = listener
            self.addresses[key] = address
        if self.inherited and self.own_seats:
            # those are a worker's of the old master: ours have their own beside them
            old = self.seats[0]
            self.seats[0] = self.new_seat(self.settings)
            self._close(set(old.values()) - set(self.all()), remove=False)

    def open(self, pause: Callable[[str], bool]) -> None:
        """Listen wherever `bind` says. ListenError: that is not possible, not even after some tries.

        pause(why) is called before each further try; False: give up, the server is ending.
        """
        if self.inherited:
            return
        self.seats[0] = opened = {}
        for key in keys(self.settings):
            address = sockets.parse_address(key.text)
            for retries_left in range(RETRIES, -1, -1):
                try:
                    opened[key] = self.listen(address, self.settings)
                    break
                except OSError as error:
                    why = f"Can't listen on {address}: {error.strerror}"
                    if error.errno not in sockets.RETRIED or not retries_left:
                        raise ListenError(why) from None
                if not pause(why):
                    return
            self.addresses[key] = sockets.address_of(opened[key])
        # nobody else serves yet: clients may wait here
        sockets.start_listening(opened.values(), self.settings.backlog)

    def widen(self, settings: Settings) -> None:
        """Listen where other settings say as well. ListenError: it cannot, and all is as it was.

        An address that stays keeps its socket, with the connections that wait there. narrow() has to follow.
        """
        if self.inherited:
            return
        opened: dict[Key, socket.socket] = {}
        try:
            for key in keys(settings):
                if key not in self.addresses:
                    opened[key] = self.listen(sockets.parse_address(key.text), settings)
        except (OSError, ListenError) as error:
            for listener in opened.values():
                sockets.close(listener)
            if isinstance(error, OSError):
                raise ListenError(f"Can't listen on {key.text}: {error.strerror}") from None
            raise
        self.addresses |= {key: sockets.address_of(listener) for key, listener in opened.items()}
        for seat in self.seats.values():
            seat |= opened
        self.made |= files(settings)

    def narrow(self, *kept: Settings) -> None:
        """From now on the last of these settings are the ones: close what none of them wants."""
        self.settings = kept[-1]
        wanted = {key for settings in kept for key in keys(settings)}
        if self.inherited:
            return
        gone = [key for key in self.addresses if key not in wanted]
        self._close({seat[key] for seat in self.seats.values() for key in gone}, remove=not self.lent)
        for key in gone:
            del self.addresses[key]
            for seat in self.seats.values():
                del seat[key]
        self.made = set().union(*map(files, kept))

    def listen(self, address: Address, settings: Settings) -> socket.socket:
        return sockets.listen(
            address,
            settings.backlog,
            umask=settings.umask,
            owner=Owner(settings.uid, settings.gid),
            reuse_port=settings.reuse_port,
            v6_only=is_for_v6_only(address, settings.address),
        )

    def of_seat(self, number: int | None = None, settings: Settings | None = None) -> list[socket.socket]:
        """One socket of each address: of seat `number` or any, by these settings or ours."""
        seat = next(iter(self.seats.values()), {}) if number is None else self.seats[number]
        if self.inherited:
            return list(seat.values())
        return [seat[key] for key in keys(settings or self.settings) if key in seat]

    def all(self) -> list[socket.socket]:
        """Every socket once."""
        return list(dict.fromkeys(listener for seat in self.seats.values() for listener in seat.values()))

    @property
    def own_seats(self) -> bool:
        """Every worker has TCP sockets of its own: there can be more than one at each address."""
        if not self.settings.reuse_port or self.lent or self.settings.preload_app:
            # a template has been forked before there are new ones
            return False
        if any(isinstance(address, FdAddress) for address in self.settings.address):
            return False
        ports = filter(is_tcp, self.of_seat())
        return all(listener.getsockopt(SOL_SOCKET, SO_REUSEPORT) for listener in ports)

    def take_seat(self, taken: Collection[int]) -> int:
        """The seat of a new worker, when those of the workers that stay are `taken`. OSError: no new one."""
        if not self.own_seats:
            return next(iter(self.seats))
        for number in self.seats:
            if number not in taken:
                return number
        number = next(number for number in range(len(self.seats) + 1) if number not in self.seats)
        self.seats[number] = self.new_seat(self.settings)
        return number

    def new_seat(self, settings: Settings) -> dict[Key, socket.socket]:
        """TCP sockets at the addresses of the other seats, and the very unix sockets that those have."""
        first = next(iter(self.seats.values()))
        return {
            key: self.listen(address, settings) if is_tcp(first[key]) else first[key]
            for key, address in self.addresses.items()
        }

    def close_seats(self, numbers: Iterable[int]) -> None:
        """Nobody will sit there any more. One is kept, for those who may come yet."""
        if not self.own_seats:
            return
        for number in list(numbers)[: len(self.seats) - 1]:
            gone = set(self.seats.pop(number).values())
            self._close(gone - set(self.all()), remove=False)

    def close(self, *, keep_files: bool) -> None:
        """Close all. With `keep_files` another master goes on with them."""
        self._close(self.all(), remove=not keep_files and not self.lent)
        self.seats.clear()

    def _close(self, listeners: Iterable[socket.socket], *, remove: bool) -> None:
        for listener in listeners:
            # a file behind fd://N, or one of another server, was made by somebody else
            ours = sockets.address_of(listener) in self.made
            sockets.close(listener, remove=remove and ours)


def is_for_v6_only(address: Address, all_addresses: Collection[Address]) -> bool:
    """Is it `[::]` beside an IPv4 address with the same port?

    By itself it has the IPv4 addresses as well, as Linux has it; beside one of them the kernel would refuse
    that.
    """
    return (
        isinstance(address, TCPAddress)
        and address.host == "::"
        and any(
            isinstance(other, TCPAddress) and other.port == address.port and ":" not in other.host
            for other in all_addresses
        )
    )


def is_tcp(listener: socket.socket) -> bool:
    return listener.family in (AF_INET, AF_INET6)


def files(settings: Settings) -> set[Address]:
    """The unix sockets that these settings make."""
    return {address for address in settings.address if isinstance(address, UnixAddress)}
