"""Links that work once, cookies, hosts and origins."""

from __future__ import annotations

import pytest

from recon4d.core import InputError
from recon4d.viewer.access import Access, check_host, is_loopback


def used(access: Access) -> dict[str, str]:
    cookie = access.redeem(access.link().partition("8080")[2])
    assert cookie is not None
    return {"Cookie": cookie.partition(";")[0]}


def test_a_link_works_once():
    access = Access("127.0.0.1", 8080)
    link = access.link()
    assert link.startswith("http://127.0.0.1:8080/?token=")
    target = link.partition("8080")[2]
    cookie = access.redeem(target)
    assert cookie is not None
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert access.redeem(target) is None
    assert access.knows({"Cookie": cookie.partition(";")[0]})


@pytest.mark.parametrize(
    "target", ["/", "/?token=", "/?token=abc", "/?token=%00", "/?token[]=x", "?", "/?token=" + "a" * 10_000]
)
def test_what_is_no_token_earns_nothing(target: str):
    access = Access("127.0.0.1", 8080)
    access.link()
    assert access.redeem(target) is None


def test_every_link_and_cookie_is_another():
    access = Access("127.0.0.1", 8080)
    assert len({access.link() for _ in range(50)}) == 50
    assert used(access) != used(access)


def test_old_links_are_forgotten_and_sessions_bounded():
    access = Access("127.0.0.1", 8080)
    first = access.link().partition("8080")[2]
    for _ in range(100):
        access.link()
    assert access.redeem(first) is None
    oldest = used(access)
    for _ in range(100):
        used(access)
    assert not access.knows(oldest)


@pytest.mark.parametrize(
    "cookie", ["", "recon4d_8080=", "recon4d_8080=guess", "other=1", ";;;=", "recon4d_8081=x", "\x00"]
)
def test_what_is_no_cookie_is_not_known(cookie: str):
    access = Access("127.0.0.1", 8080)
    used(access)
    assert not access.knows({"Cookie": cookie})


def test_a_cookie_of_another_port_is_not_known():
    one, other = Access("127.0.0.1", 8080), Access("127.0.0.1", 8081)
    assert not other.knows(used(one))


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "LOCALHOST:8080"])
def test_own_hosts_pass(host: str):
    assert Access("127.0.0.1", 8080).refusal({"Host": host}, upgrade=False) is None


@pytest.mark.parametrize(
    "host", ["", "evil.example:8080", "127.0.0.1", "127.0.0.1:80", "192.168.0.5:8080", "localhost.evil.example:8080"]
)
def test_other_hosts_are_refused(host: str):
    refusal = Access("127.0.0.1", 8080).refusal({"Host": host}, upgrade=False)
    assert refusal is not None
    assert refusal[0] == 421


def test_who_comes_through_a_tunnel_of_another_port_is_told_which():
    refusal = Access("127.0.0.1", 8080).refusal({"Host": "localhost:9000"}, upgrade=False)
    assert refusal is not None
    assert "port 8080 at both" in refusal[1]


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "https://127.0.0.1:8080", "http://127.0.0.1:9"])
@pytest.mark.parametrize("upgrade", [False, True])
def test_other_origins_are_refused(origin: str, upgrade: bool):
    headers = {"Host": "127.0.0.1:8080", "Origin": origin}
    refusal = Access("127.0.0.1", 8080).refusal(headers, upgrade=upgrade)
    assert refusal is not None
    assert refusal[0] == 403


def test_a_socket_needs_its_own_origin():
    access, headers = Access("127.0.0.1", 8080), {"Host": "localhost:8080"}
    assert access.refusal(headers, upgrade=True) is not None
    assert access.refusal(headers | {"Origin": "http://localhost:8080"}, upgrade=True) is None
    assert access.refusal(headers | {"Origin": "http://127.0.0.1:8080"}, upgrade=True) is not None


def test_all_networks_take_addresses_but_no_foreign_names():
    access = Access("0.0.0.0", 8080)
    assert access.refusal({"Host": "192.168.0.5:8080"}, upgrade=False) is None
    assert access.refusal({"Host": "evil.example:8080"}, upgrade=False) is not None
    assert access.link().startswith("http://127.0.0.1:8080/")


def test_a_named_binding_takes_that_name_alone():
    access = Access("192.168.0.5", 8080)
    assert access.refusal({"Host": "192.168.0.5:8080"}, upgrade=False) is None
    assert access.refusal({"Host": "localhost:8080"}, upgrade=False) is not None


def test_hosts_that_are_none_are_refused():
    assert check_host("127.0.0.1") == "127.0.0.1"
    with pytest.raises(InputError, match="--host"):
        check_host("no such host")


def test_what_is_loopback():
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "192.168.0.5", "x")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
