"""fastwsgi/listeners.py."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastwsgi.errors import ListenError
from fastwsgi.listeners import RETRIES, Listeners, is_for_v6_only
from fastwsgi.settings import Layer, Settings
from fastwsgi.sockets import parse_address

LOCAL = "127.0.0.1:0"


def settings(*bind: str, **others: object) -> Settings:
    return Settings([Layer("test", {"bind": list(bind), **others})])


def never(why: str) -> bool:
    raise AssertionError(why)


@pytest.fixture
def opened() -> Iterator[list[Listeners]]:
    """Listeners that are closed after the test."""
    servers: list[Listeners] = []
    yield servers
    for server in servers:
        server.close(keep_files=False)


def make(opened: list[Listeners], *bind: str, **others: object) -> Listeners:
    listeners = Listeners(settings(*bind, **others))
    opened.append(listeners)
    return listeners


def is_listening(listener: socket.socket) -> bool:
    return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def test_all_workers_share_one_seat(opened: list[Listeners], tmp_path: Path) -> None:
    listeners = make(opened, LOCAL, f"unix:{tmp_path}/s", umask=0o117)
    listeners.open(never)
    assert [listener.family for listener in listeners.of_seat()] == [socket.AF_INET, socket.AF_UNIX]
    assert all(map(is_listening, listeners.of_seat()))
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660
    assert listeners.take_seat([0, 0]) == 0
    listeners.close_seats([0])
    assert listeners.all() == listeners.of_seat() != []
    listeners.close(keep_files=False)
    assert not (tmp_path / "s").exists()
    assert listeners.all() == []


def port_that_is_free() -> int:
    """In both families, a moment ago."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> list[str]:
    """By which addresses of this machine one can connect there."""
    found = []
    for host in ("127.0.0.1", "::1"):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, port), 10):
            found.append(host)
    return found


@pytest.mark.parametrize("reuse_port", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_all_addresses_of_both_families_side_by_side(
    opened: list[Listeners], order: int, reuse_port: bool
) -> None:
    """Linux takes both for `[::]` alone, and refuses another socket for IPv4 then."""
    for tries_left in range(5, -1, -1):
        port = port_that_is_free()
        listeners = make(opened, *(f"0.0.0.0:{port}", f"[::]:{port}")[::order], reuse_port=reuse_port)
        try:
            listeners.open(lambda why: True)
            break
        except ListenError:  # somebody else was faster
            assert tries_left
    assert answers(port) == ["127.0.0.1", "::1"]
    assert [each.family for each in listeners.of_seat()] == [socket.AF_INET, socket.AF_INET6][::order]
    if reuse_port:
        assert listeners.take_seat([0]) == 1  # a second worker's


def test_all_ipv6_addresses_alone_have_ipv4_as_well(opened: list[Listeners]) -> None:
    listeners = make(opened, "[::]:0")
    listeners.open(never)
    (listener,) = listeners.of_seat()
    assert answers(listener.getsockname()[1]) == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("address", "beside", "expected"),
    [
        ("[::]:80", "0.0.0.0:80", True),
        ("[::]:80", ":80", True),
        ("[::]:80", "10.0.0.1:80", True),
        ("[::]:80", "localhost:80", True),
        ("[::]:80", "0.0.0.0:81", False),
        ("[::]:80", "[::1]:81", False),
        ("[::]:80", "unix:80", False),
        ("[::1]:80", "0.0.0.0:80", False),
        ("0.0.0.0:80", "[::]:80", False),
        ("unix:80", "0.0.0.0:80", False),
    ],
)
def test_is_for_v6_only(address: str, beside: str, expected: bool) -> None:
    own, other = parse_address(address), parse_address(beside)
    assert is_for_v6_only(own, [other, own]) is expected


def test_an_address_can_be_given_twice(opened: list[Listeners]) -> None:
    listeners = make(opened, LOCAL, LOCAL)
    listeners.open(never)
    first, second = listeners.of_seat()
    assert first.getsockname() != second.getsockname()
    listeners.narrow(settings(LOCAL))
    assert listeners.of_seat() == [first]
    assert second.fileno() == -1


def test_another_master_goes_on_with_the_files(opened: list[Listeners], tmp_path: Path) -> None:
    listeners = make(opened, f"unix:{tmp_path}/s")
    listeners.open(never)
    listeners.close(keep_files=True)
    assert (tmp_path / "s").exists()


def test_tries_again_and_gives_up(opened: list[Listeners]) -> None:
    said: list[str] = []

    def pause(why: str) -> bool:
        said.append(why)
        return True

    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        listeners = make(opened, LOCAL, bind)
        with pytest.raises(ListenError, match="in use"):
            listeners.open(pause)
        assert len(said) == RETRIES
        assert f"Can't listen on {bind}: Address already in use" in said[0]
    listeners.close(keep_files=False)


def test_the_server_ends_while_it_waits_for_an_address(opened: list[Listeners]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listeners = make(opened, f"127.0.0.1:{taken.getsockname()[1]}")
        listeners.open(lambda why: False)
    assert listeners.of_seat() == []


def test_what_waiting_cannot_mend_is_not_tried_again(opened: list[Listeners]) -> None:
    with pytest.raises(ListenError, match="No such file"):
        make(opened, "unix:/no/such/directory/s").open(never)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_reload_keeps_the_socket_of_an_address_that_stays(opened: list[Listeners], tmp_path: Path) -> None:
    listeners = make(opened, LOCAL, f"unix:{tmp_path}/a")
    listeners.open(never)
    stays, goes = listeners.of_seat()
    wanted = settings(f"unix:{tmp_path}/b", LOCAL)
    listeners.widen(wanted)
    assert listeners.of_seat() == [stays, goes]
    new, still = listeners.of_seat(0, wanted)
    assert new.getsockname() == f"{tmp_path}/b"
    assert still is stays
    assert names(tmp_path) == ["a", "b"]
    listeners.narrow(wanted)
    assert listeners.of_seat() == [new, stays]
    assert goes.fileno() == -1
    assert names(tmp_path) == ["b"]


def test_a_reload_that_was_given_up(opened: list[Listeners], tmp_path: Path) -> None:
    listeners = make(opened, LOCAL, f"unix:{tmp_path}/a")
    listeners.open(never)
    before = listeners.of_seat()
    listeners.widen(settings(f"unix:{tmp_path}/b"))
    listeners.narrow(listeners.settings)
    assert listeners.of_seat() == before
    assert all(map(is_listening, before))
    assert names(tmp_path) == ["a"]


def test_what_either_settings_want_is_kept(opened: list[Listeners], tmp_path: Path) -> None:
    listeners = make(opened, f"unix:{tmp_path}/a", f"unix:{tmp_path}/b")
    listeners.open(never)
    one, other = settings(f"unix:{tmp_path}/a"), settings(f"unix:{tmp_path}/c")
    listeners.widen(other)
    listeners.narrow(one, other)
    assert names(tmp_path) == ["a", "c"]
    assert [listener.getsockname() for listener in listeners.of_seat()] == [f"{tmp_path}/c"]
    assert listeners.settings is other


def test_new_addresses_that_cannot_be_had_change_nothing(opened: list[Listeners], tmp_path: Path) -> None:
    listeners = make(opened, LOCAL)
    listeners.open(never)
    before = listeners.of_seat()
    with pytest.raises(ListenError, match="No such file"):
        listeners.widen(settings(f"unix:{tmp_path}/s", "unix:/no/such/directory/s"))
    assert listeners.of_seat() == before == listeners.all()
    assert names(tmp_path) == []
    assert is_listening(before[0])


def given(path: str | None = None) -> int:
    """A listener that another process leaves us."""
    sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    sock.bind(path or ("127.0.0.1", 0))
    sock.listen(1)
    return sock.detach()


@pytest.mark.parametrize("lent", [True, False])
def test_inherited_listeners_are_all_there_is(opened: list[Listeners], tmp_path: Path, lent: bool) -> None:
    path = f"{tmp_path}/s"
    listeners = make(opened, LOCAL, f"unix:{path}")
    fds = [given(), given(path)]
    listeners.inherit(fds, lent=lent)
    listeners.open(never)
    assert [listener.fileno() for listener in listeners.of_seat()] == fds
    wanted = settings(LOCAL, f"unix:{path}", f"unix:{path}.new")
    listeners.widen(wanted)
    assert [listener.fileno() for listener in listeners.of_seat(0, wanted)] == fds
    listeners.narrow(wanted)
    assert [listener.fileno() for listener in listeners.of_seat()] == fds
    listeners.close(keep_files=False)
    assert os.path.exists(path) == lent


def test_the_file_behind_a_descriptor_is_not_ours(opened: list[Listeners], tmp_path: Path) -> None:
    fd = given(f"{tmp_path}/s")
    listeners = make(opened, f"fd://{fd}")
    listeners.open(never)
    assert [listener.getsockname() for listener in listeners.of_seat()] == [f"{tmp_path}/s"]
    listeners.close(keep_files=False)
    assert (tmp_path / "s").exists()


class TestReusePort:
    @pytest.fixture
    def listeners(self, opened: list[Listeners], tmp_path: Path) -> Listeners:
        listeners = make(opened, LOCAL, f"unix:{tmp_path}/s", reuse_port=True)
        listeners.open(never)
        return listeners

    def test_each_worker_has_a_seat(self, listeners: Listeners) -> None:
        assert listeners.take_seat([]) == 0
        assert listeners.take_seat([0]) == 1
        assert listeners.take_seat([0, 1]) == 2
        assert listeners.take_seat([0, 2]) == 1
        tcp = [next(iter(seat.values())) for seat in listeners.seats.values()]
        unix = [list(seat.values())[1] for seat in listeners.seats.values()]
        assert len(set(tcp)) == 3
        assert len({sock.getsockname() for sock in tcp}) == 1
        assert len(set(unix)) == 1
        assert len(listeners.all()) == 4
        assert [is_listening(sock) for sock in tcp] == [True, False, False]
        assert len(listeners.of_seat()) == 2

    def test_empty_seats_are_closed(self, listeners: Listeners) -> None:
        for taken in ([], [0], [0, 1]):
            listeners.take_seat(taken)
        sockets = [next(iter(seat.values())) for seat in listeners.seats.values()]
        listeners.close_seats([0, 2])
        assert list(listeners.seats) == [1]
        assert [sock.fileno() >= 0 for sock in sockets] == [False, True, False]
        assert len(listeners.of_seat()) == 2
        assert is_listening(listeners.of_seat()[1])
        assert listeners.take_seat([1]) == 0

    def test_one_seat_is_kept(self, listeners: Listeners) -> None:
        listeners.take_seat([0])
        listeners.close_seats([0, 1])
        assert len(listeners.seats) == 1

    def test_what_waits_at_a_worker_is_kept_for_the_next(self, listeners: Listeners) -> None:
        listener = listeners.of_seat()[0]
        fork = socket.socket(fileno=os.dup(listener.fileno()))
        with contextlib.closing(socket.create_connection(listener.getsockname())) as client:
            fork.close()  # the worker's copy
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"x")
            assert client.recv(1) == b"x"

    def test_a_new_master_has_seats_of_its_own(self, opened: list[Listeners], listeners: Listeners) -> None:
        given = [os.dup(listener.fileno()) for listener in listeners.of_seat()]
        new = make(opened, LOCAL, reuse_port=True)
        new.inherit(given, lent=False)
        (tcp, unix), (old_tcp, _) = new.of_seat(), listeners.of_seat()
        assert tcp.getsockname() == old_tcp.getsockname()
        assert tcp.fileno() != given[0]
        assert not is_listening(tcp)  # until a worker can serve
        assert unix.fileno() == given[1]
        assert new.take_seat([0]) == 1
        new.close(keep_files=True)
        assert is_listening(old_tcp)

    @pytest.mark.parametrize("lent", [True, False])
    def test_a_port_that_cannot_be_shared_is_not(self, opened: list[Listeners], lent: bool) -> None:
        new = make(opened, LOCAL, reuse_port=True)
        new.inherit([given()], lent=lent)
        assert not new.own_seats
        assert new.take_seat([0]) == 0
        new.close_seats([0])
        assert len(new.all()) == 1

    def test_a_template_is_forked_too_early_for_new_ones(self, opened: list[Listeners]) -> None:
        new = make(opened, LOCAL, reuse_port=True, preload_app=True)
        new.open(never)
        assert not new.own_seats

    def test_a_descriptor_is_shared(self, opened: list[Listeners]) -> None:
        new = make(opened, f"fd://{given()}", reuse_port=True)
        new.open(never)
        assert not new.own_seats
