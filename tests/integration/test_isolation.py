"""What a tenant can do to another one with requests: every route, with every id of the other tenant. It is nothing.

An id of another tenant is answered like one that does not exist: the same status, headers and body, after the same
number of requests to S3 and commands of Redis. docs/security.md has the table of what was observed here.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from darkroom.contracts.tenants import OPERATOR_TENANT, UNLIMITED, Principal, Scope
from darkroom.services import s3
from darkroom.tenants.context import to_context
from tests.integration.conftest import PNG
from tests.integration.observing import Observed, Watch, stored_of
from tests.integration.possessions import Possessions, file_name, link_of, possess, unknown
from tests.support.gateway import acting_as, multipart
from tests.support.redis_server import RedisServer
from tests.support.routes_table import FILE_FORM, ROUTES, Names, Route

#: The name of one begins with that of the other, so that a prefix without its end would show.
OURS, THEIRS = "acme", "acme-labs"

#: The table of docs/security.md, and where a new one is written.
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
TABLE = Path(__file__).parents[2] / ".darkroom" / "isolation.md"
COLUMNS = ("with the scope", "without", "upload link", "operator")

#: How often two requests are compared before they count as different. Once a second, one of them looks up the memory of
#: Redis as well.
_ATTEMPTS = 3

KEY_SCOPES = (Scope.READ, Scope.WRITE, Scope.ADMIN)


def principal(tenant: str, *scopes: Scope) -> Principal:
    return Principal(tenant=tenant, scopes=[*scopes], credential=f"{tenant}-key", quotas=UNLIMITED)


#: Keys with each combination of scopes, and one of the operator.
KEYS = (
    *(principal(OURS, *scopes) for size in range(len(KEY_SCOPES) + 1) for scopes in combinations(KEY_SCOPES, size)),
    principal(OPERATOR_TENANT, *KEY_SCOPES),
)

#: What the operator manages, also of other tenants.
MANAGED = (Names.TENANT, Names.TENANT_POSITION)

#: Every parameter that names something.
TARGETS = [(name, parameter) for name, route in ROUTES.items() for parameter in route.ids]


@dataclass(frozen=True)
class World:
    """What each tenant has, and a way to send requests."""

    tenants: Mapping[str, Possessions]
    server: RedisServer
    watch: Watch

    @property
    def theirs(self) -> Possessions:
        return self.tenants[THEIRS]

    @property
    def attackers(self) -> list[Principal]:
        """Each of KEYS, and an upload link."""
        return [*KEYS, link_of(OURS, self.tenants[OURS].ids[Names.LINK][0])]

    def stored(self) -> dict[str, Any]:
        """Everything that is stored of the attacked tenant."""
        return stored_of(THEIRS, self.server)

    def send(self, sender: Principal, name: str, parameter: str = "", value: str = "") -> Observed:
        """A request of a tenant about its own things, except for one parameter."""
        route = ROUTES[name]
        # The keys in a path are those of the tenant in it.
        owner = THEIRS if route.ids.get(parameter) is Names.TENANT else sender.tenant
        values = {key: self.tenants[owner].ids[kind][0] for key, kind in route.ids.items()} | {parameter: value}
        by_place = {key.rpartition(" ")[2].rpartition(".")[2]: text for key, text in values.items()}
        method, _, path = name.partition(" ")
        target = f"{path}?{route.query}" if route.query else path
        for place, text in by_place.items():
            target = target.replace(f"{{{place}}}", quote(text, safe=""))
        headers = {"Idempotency-Key": value} if parameter == "header idempotency-key" else {}
        more: dict[str, Any] = {"json_body": _filled(route.body, by_place)} if route.body is not None else {}
        if route.body == FILE_FORM:
            body, form_headers = multipart({}, name=file_name(sender.tenant), media_type="image/png", content=PNG)
            headers, more = headers | form_headers, {"body": body}
        return self.watch.send(method, target, headers=headers, authorizer=to_context(sender), **more)


def _filled(body: Any, values: Mapping[str, str]) -> Any:
    text = json.dumps(body)
    for place, value in values.items():
        text = text.replace(f'"{{{place}}}"', json.dumps(value))
    return json.loads(text)


@pytest.fixture
def world(own_redis: RedisServer) -> Iterator[World]:
    tenants = {tenant: possess(tenant) for tenant in (OURS, THEIRS, OPERATOR_TENANT)}
    with acting_as(OURS):
        yield World(tenants, own_redis, Watch(own_redis))


def may_use(sender: Principal, route: Route) -> bool:
    return bool({*route.scopes} & {*sender.scopes})


def column_of(sender: Principal, route: Route) -> str:
    if sender.limits is not None:
        return "upload link"
    if sender.is_operator:
        return "operator"
    return "with the scope" if may_use(sender, route) else "without"


def attack(world: World, sender: Principal, name: str, parameter: str) -> set[str]:
    """Sends a request with each thing of the other tenant and with one that does not exist. Returns the outcomes."""
    route, kind = ROUTES[name], ROUTES[name].ids[parameter]
    if not may_use(sender, route):
        refused = world.send(sender, name, parameter, world.theirs.ids[kind][0])
        assert (refused.reply.status, refused.reply.json["code"]) == (403, "scope_missing")
        assert (refused.storage, refused.cache) == (0, 0), "it was looked up before the scope was checked"
        return {"403"}
    outcomes = set()
    beside = world.theirs.ids[Names.KEY] if kind is Names.TENANT else []  # also in the path, so in both responses
    for value in world.theirs.ids[kind]:
        other = unknown(kind, value)
        world.send(sender, name, parameter, other)  # connects, and fills caches with what is the sender's own
        for _ in range(_ATTEMPTS):
            expected = world.send(sender, name, parameter, other).without(*beside, other)
            observed = world.send(sender, name, parameter, value).without(*beside, value)
            if observed == expected or observed.reply != expected.reply:
                break
        assert_nothing_of(world.theirs, observed)
        if kind.is_looked_up:
            assert observed.reply.status in (403, 404), observed.reply
            looked_up = observed.storage + observed.cache > 0
            # These name their tenant, so nobody looks for those of another one.
            names_tenant = kind in (Names.LINK, Names.KEY, Names.TENANT)
            assert looked_up or names_tenant or observed.reply.status == 403, "nothing was looked up"
        else:
            may_refuse = sender.limits is not None or kind is Names.TENANT_POSITION
            assert observed.reply.status < 300 or (may_refuse and observed.reply.status == 403), observed.reply
        if kind is Names.IDEMPOTENCY_KEY:
            assert observed.reply.status == expected.reply.status
        else:
            assert observed == expected
        outcomes.add(outcome_of(observed, is_hidden=kind.is_looked_up))
    return outcomes


def outcome_of(observed: Observed, *, is_hidden: bool) -> str:
    """The cell of the table."""
    status = observed.reply.status
    return str(status) if is_hidden or status == 403 else f"{status}, own only"


def assert_nothing_of(theirs: Possessions, observed: Observed) -> None:
    text = f"{observed.reply.headers} {observed.reply.body.decode(errors='replace')}"
    assert not [mark for mark in theirs.marks if mark in text], text


def forget_idempotency_keys(*tenants: str) -> None:
    for tenant in tenants:
        s3.delete([*s3.keys_after(f"work/idempotency/{tenant}/")])


def test_nothing_of_another_tenant_can_be_seen_or_changed(world: World) -> None:
    before, observed = (
        world.stored(),
        defaultdict[tuple[str, str], defaultdict[str, set[str]]](lambda: defaultdict(set)),
    )
    assert any(key.startswith("s3 ledger/") for key in before)
    assert any(key.startswith("redis darkroom:job:") for key in before)
    for name, parameter in TARGETS:
        for sender in world.attackers:
            column = column_of(sender, ROUTES[name])
            if sender.is_operator and ROUTES[name].ids[parameter] in MANAGED:
                observed[name, parameter][column].add("allowed")
                continue
            try:
                observed[name, parameter][column] |= attack(world, sender, name, parameter)
            except AssertionError as error:
                raise AssertionError(
                    f"{name}, {parameter}, scopes {sender.scopes} of {sender.tenant}: {error}"
                ) from error
        forget_idempotency_keys(OURS, OPERATOR_TENANT)
        assert world.stored() == before, f"{name}, {parameter}: something of the other tenant has changed"
    for name, route in ROUTES.items():
        if not route.ids:
            for sender in world.attackers:
                seen = world.send(sender, name)
                assert_nothing_of(world.theirs, seen)
                if route.scopes:
                    assert seen.reply.status == (200 if may_use(sender, route) else 403), name
                    observed[name, "nothing"][column_of(sender, route)].add(outcome_of(seen, is_hidden=False))
    assert world.stored() == before
    assert_table(observed)


def assert_table(observed: Mapping[tuple[str, str], Mapping[str, set[str]]]) -> None:
    """Compares the table in the documentation with what was observed."""
    lines = [
        f"| `{name}` | {_label(parameter)} | {' | '.join(' or '.join(sorted(row[column])) for column in COLUMNS)} |"
        for (name, parameter), row in sorted(observed.items(), key=lambda item: item[0][0].split()[::-1])
    ]
    head = f"| route | names something | {' | '.join(COLUMNS)} |\n|{'---|' * (2 + len(COLUMNS))}\n"
    table = head + "\n".join(lines) + "\n"
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table)
    assert table in DOCUMENT.read_text(), f"docs/security.md has another table than {TABLE}"


def _label(parameter: str) -> str:
    place, _, name = parameter.rpartition(" ")
    return f"`{name}` ({place})" if place else parameter


def test_tenant_can_use_what_is_its_own(world: World) -> None:
    """Otherwise the other test would pass with ids that nobody can use."""
    owner = principal(THEIRS, *KEY_SCOPES)
    for name, parameter in sorted(TARGETS, key=lambda target: "GET POST PATCH PUT DELETE".index(target[0].split()[0])):
        for value in world.theirs.ids[ROUTES[name].ids[parameter]]:
            reply = world.send(owner, name, parameter, value).reply
            of_operator = (
                ROUTES[name].ids[parameter] in MANAGED
                and reply.status == 403
                and reply.json["code"] == "operator_required"
            )
            assert reply.status not in (401, 403, 404) or of_operator, (name, parameter, value, reply)


def test_operator_manages_other_tenants(world: World) -> None:
    operator = principal(OPERATOR_TENANT, *KEY_SCOPES)
    for name, parameter in TARGETS:
        kind = ROUTES[name].ids[parameter]
        if kind in MANAGED:
            status = world.send(operator, name, parameter, world.theirs.ids[kind][0]).reply.status
            assert status == 409 if name == "POST /tenants" else status < 300, (name, status)


def variants(identifier: str) -> list[str]:
    """Other spellings of an id."""
    return [
        identifier.upper(),
        identifier.replace("-", ""),
        f"{{{identifier}}}",
        f"urn:uuid:{identifier}",
        f"{identifier}\n",
        f"{identifier}/../{identifier}",
        f"../{THEIRS}/{identifier}",
        f"{THEIRS}/{identifier}",
        f"{THEIRS}:{identifier}",
        f"%2e%2e/{THEIRS}/{identifier}",
        f"{identifier}\0",
    ]


def _bare(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def test_malformed_id_leads_nowhere(world: World) -> None:
    before, sender = world.stored(), principal(OURS, *KEY_SCOPES)
    targets = [target for target in TARGETS if ROUTES[target[0]].ids[target[1]] is not Names.IDEMPOTENCY_KEY]
    spellings = [
        text
        for kind in (Names.JOB, Names.FILE, Names.LINK, Names.KEY, Names.TENANT)
        for text in variants(world.theirs.ids[kind][0])
    ]

    @given(st.sampled_from(targets), st.one_of(st.sampled_from(spellings), st.text(max_size=40)))
    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=[*HealthCheck])
    def send(target: tuple[str, str], text: str) -> None:
        observed = world.send(sender, *target, text)

        is_list = ROUTES[target[0]].ids[target[1]].is_position
        assert 400 <= observed.reply.status < 500 or (is_list and observed.reply.status == 200), (target, text)
        sent = text
        if ROUTES[target[0]].ids[target[1]] is Names.TENANT:
            sent += world.theirs.ids[Names.KEY][0]
        named = [mark for mark in world.theirs.marks if _bare(mark) in _bare(sent)]  # so the sender knows it already
        assert_nothing_of(world.theirs, observed.without(text, *named))

    send()

    assert world.stored() == before


NO_TENANTS = [
    "..",
    "*",
    "",
    "acme/",
    "/acme",
    "acme-labs/../acme",
    "ACME",
    "acme:",
    "acme\n",
    "a" * 33,
    "-acme",
    "äcme",
]


def test_malformed_tenant_has_no_access(world: World) -> None:
    @given(st.sampled_from(["GET /jobs", "POST /upload", "GET /operations"]), st.sampled_from(NO_TENANTS))
    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=[*HealthCheck])
    def send(name: str, tenant: str) -> None:
        method, _, path = name.partition(" ")
        context = to_context(principal(OURS, *KEY_SCOPES)) | {"tenant": tenant}

        observed = world.watch.send(method, path, authorizer=context)

        assert observed.reply.status in (401, 403, 500)
        assert (observed.storage, observed.cache) == (0, 0)

    send()
