"""fastwsgi/proxies.py: the settings on proxies, and the tables that are made of them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastwsgi.errors import ConfigError
from fastwsgi.proxies import ForwardedFor, Proxies, fields, networks
from fastwsgi.settings import Layer, Settings

ROW = 18  # bytes of a struct fw_network


def settings(**values: object) -> Settings:
    return Settings([Layer("test", values)], {})


def test_a_network_is_its_family_its_bits_and_its_bytes() -> None:
    assert networks(["10.0.0.0/9"]) == bytes((4, 9, 10)) + bytes(15)
    assert networks(["192.0.2.1"]) == bytes((4, 32, 192, 0, 2, 1)) + bytes(12)
    assert networks(["::1"]) == bytes((6, 128)) + bytes(15) + b"\x01"
    assert networks(["*"]) == networks([]) == b""


@given(st.lists(st.one_of(st.ip_addresses().map(ipaddress.ip_network), st.just(None)), max_size=5))
def test_there_is_a_row_for_each_network(written: list[object]) -> None:
    table = networks("*" if item is None else str(item) for item in written)
    rows = [table[at : at + ROW] for at in range(0, len(table), ROW)]
    read = [ipaddress.ip_network((row[2 : 6 if row[0] == 4 else 18], row[1])) for row in rows]
    assert read == [item for item in written if item is not None]


def test_fields_are_names_in_small_letters_and_values_as_they_are() -> None:
    assert fields({"X-Proto": "HTTPS", "A_B": ""}) == b"\x07\x05x-protoHTTPS\x03\x00a_b"
    assert fields({}) == b""


def test_what_the_loop_is_told() -> None:
    told = Proxies.of(settings())
    assert told.trusted == told.proxy_protocol_peers == ("127.0.0.1", "::1")
    assert told.names == ("SCRIPT_NAME", "PATH_INFO")
    assert (told.header_map, told.proxy_protocol, told.forwarded_for) == ("drop", "off", None)
    assert told.scheme_headers["X-FORWARDED-PROTO"] == "https"


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("off", None),
        (None, None),
        (0, None),
        (False, None),
        ("x-forwarded-for", ForwardedFor("x-forwarded-for")),
        (" X-Forwarded-For ", ForwardedFor("x-forwarded-for")),
        ("Forwarded", ForwardedFor("forwarded")),
        ("forwarded:3", ForwardedFor("forwarded", 3)),
        ("2", ForwardedFor("x-forwarded-for", 2)),
        (32, ForwardedFor("x-forwarded-for", 32)),
    ],
)
def test_forwarded_for(value: object, result: ForwardedFor | None) -> None:
    assert settings(forwarded_for=value).forwarded_for == result
    if result is not None:
        assert settings(forwarded_for=str(result)).forwarded_for == result
        assert settings(forwarded_for=result).forwarded_for == result


@pytest.mark.parametrize(
    "value",
    ["x-real-ip", "forwarded:0", "forwarded:33", "33", "-1", True, "forwarded:", "forwarded:1:2", 1.5, "²"],
)
def test_not_forwarded_for(value: object) -> None:
    with pytest.raises(ConfigError, match="expected"):
        settings(forwarded_for=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secure_scheme_headers", {"X-A": True}),
        ("secure_scheme_headers", {1: "on"}),
        ("secure_scheme_headers", {"": "on"}),
        ("secure_scheme_headers", {"X-A": "ü"}),
        ("secure_scheme_headers", {"X-" + "a" * 300: "on"}),
        ("forwarder_headers", ["A_" + "b" * 300]),
        ("forwarder_headers", [f"A_{n}" for n in range(65)]),
        ("forwarder_headers", "Ä_B"),
    ],
)
def test_what_no_request_can_have_is_an_error(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match="expected"):
        settings(**{name: value})
