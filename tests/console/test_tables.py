"""The tables of the console: read, never written, and nothing secret among them."""

import re
from typing import Any
from uuid import uuid4

import pytest
from piccolo.columns import Bytea
from piccolo.engine.postgres import PostgresEngine

from backend.console.projections import build_projections
from backend.console.rules.shown import LINKS, TABLES
from backend.core import db
from tests.cast import ALICE
from tests.console.conftest import Browser, Person
from tests.factories.accounts import add_company, add_person, add_vehicle
from tests.factories.reservations import add_scene

SECRET = re.compile(r"cipher|hash|secret|token|password|private|api_key|nonce|store_key|pin|body_sha|recovery")
"""What a column is called that nobody may see, whatever it holds."""
HIDDEN = (
    "refresh_token", "sms_code", "login_session", "login_failure", "idempotency_record", "push_token", "staff_pin",
    "calendar_address", "device_message", "agreement_party", "agreement_driver", "home", "vehicle", "callback_nonce",
    "console_user", "console_session", "console_secret",
)  # fmt: skip


@pytest.fixture
async def inside(browser: Browser, chen: Person) -> Browser:
    """A browser that is signed in."""
    await browser.sign_in(chen)
    return browser


async def fill_tables() -> None:
    """Make rows in the tables that hold the most that is secret or personal: people, cars, stations, agreements."""
    await add_scene()
    await add_company(name="另一家", code="other-co")


def all_names() -> list[str]:
    """Return every table of the service, and those of the queue and of Piccolo."""
    return sorted({*(table._meta.tablename for table in db.all_tables()), "migration", "pgqueuer", "pg_roles"})


class TestAllowList:
    def test_names_tables_and_columns_that_exist(self) -> None:
        there = {table._meta.tablename: {c._meta.name for c in table._meta.columns} for table in db.all_tables()}
        gone = {name: set(shown.columns.split()) - there.get(name, set()) for name, shown in TABLES.items()}
        assert {name: columns for name, columns in gone.items() if columns} == {}

    @pytest.mark.parametrize("name", TABLES)
    def test_lists_sorts_and_names_by_columns_it_shows(self, name: str) -> None:
        shown = TABLES[name]
        wanted = {*shown.listed.split(), shown.named_by, *([shown.order] if shown.order else [])}
        assert wanted <= set(shown.columns.split())

    @pytest.mark.parametrize("name", TABLES)
    def test_holds_no_column_that_is_secret(self, name: str) -> None:
        assert [column for column in TABLES[name].columns.split() if SECRET.search(column)] == []

    @pytest.mark.parametrize("name", TABLES)
    def test_holds_no_bytes(self, name: str) -> None:
        source = next(table for table in db.all_tables() if table._meta.tablename == name)
        columns = [source._meta.get_column_by_name(column) for column in TABLES[name].columns.split()]
        assert [column._meta.name for column in columns if isinstance(column, Bytea)] == []

    def test_leaves_out_what_is_nobodys_business(self) -> None:
        assert set(HIDDEN) & set(TABLES) == set()

    def test_links_to_tables_it_shows(self) -> None:
        assert set(LINKS.values()) <= set(TABLES)

    async def test_makes_classes_that_lack_every_other_column(self, database: PostgresEngine) -> None:
        made = build_projections(database)
        assert {name: [c._meta.name for c in table._meta.columns] for name, table in made.items()} == {
            name: shown.columns.split() for name, shown in TABLES.items()
        }


class TestTables:
    async def test_are_those_of_the_allow_list(self, inside: Browser) -> None:
        assert set((await inside.send("GET", "/api/tables/")).json()) == set(TABLES)

    async def test_take_no_writing_of_any_kind(self, inside: Browser) -> None:
        await fill_tables()
        before = {name: await db.fetch(f"SELECT * FROM {name} ORDER BY 1") for name in TABLES}
        taken = []
        for name in TABLES:
            row = before[name][0][0] if before[name] else uuid4()
            for path in (f"/api/tables/{name}/", f"/api/tables/{name}/{row}/", f"/api/tables/{name}/new/"):
                for method in ("POST", "PUT", "PATCH", "DELETE"):
                    answer = await inside.send(method, path, json={"name": "x"})
                    if answer.status_code not in (403, 404, 405):
                        taken.append((method, path, answer.status_code))
        assert taken == []
        assert {name: await db.fetch(f"SELECT * FROM {name} ORDER BY 1") for name in TABLES} == before

    async def test_answer_to_every_way_of_reading_without_a_secret(self, inside: Browser) -> None:
        await fill_tables()
        found: list[Any] = []
        for name in TABLES:
            base = f"/api/tables/{name}"
            row = await db.fetchval(f"SELECT {TABLES[name].columns.split()[0]} FROM {name} LIMIT 1")
            paths = [f"{base}/?__readable=true", f"{base}/ids/", f"{base}/new/", f"{base}/count/", f"{base}/schema/"]
            paths += [f"{base}/references/", *([f"{base}/{row}/?__readable=true"] if row is not None else [])]
            for path in paths:
                answer = await inside.send("GET", path)
                assert answer.status_code == 200, (path, answer.text)
                found += [(path, key) for key in keys_of(answer.json()) if SECRET.search(key) and key != "secret"]
        assert found == []

    @pytest.mark.parametrize("column", ["plate_hash", "id.nothing", "account_id.phone_cipher", "account_id.phone_hash"])
    async def test_neither_show_sort_nor_filter_by_what_is_hidden(self, inside: Browser, column: str) -> None:
        await fill_tables()
        base = "/api/tables/reservation/"
        for query in (f"__visible_fields={column}", f"__order={column}", f"{column}=x", f"{column}__operator=is_null"):
            answer = await inside.send("GET", f"{base}?{query}")
            assert answer.status_code in (400, 422) or column not in answer.text, (query, answer.text)

    async def test_that_are_not_listed_are_not_there(self, inside: Browser) -> None:
        names = [name for name in all_names() if name not in TABLES]
        answers = [await inside.send("GET", f"/api/tables/{name}/") for name in names]
        assert {answer.status_code for answer in answers} == {404}

    async def test_show_no_phone_plate_or_name_of_a_resident(self, inside: Browser) -> None:
        account_id = await add_person(ALICE)
        vehicle = await add_vehicle(account_id=account_id)
        text = "".join([(await inside.send("GET", f"/api/tables/{name}/")).text for name in TABLES])
        assert str(account_id) in text
        assert [value for value in (ALICE.phone, ALICE.name, vehicle.plate) if value in text] == []

    async def test_list_at_most_a_hundred_choices(self, inside: Browser) -> None:
        for number in range(120):
            await add_company(name=f"公司{number}", code=f"company-{number}")
        for query in ("", "?limit=5000", "?limit=-1", "?limit=ALL"):
            answer = await inside.send("GET", f"/api/tables/operator_company/ids/{query}")
            assert len(answer.json()) == 100

    @pytest.mark.parametrize("query", ["__order=nothing", "__page=x", "__page_size=99999", "amount_fen=99999999999999"])
    async def test_tell_what_makes_no_sense(self, inside: Browser, query: str) -> None:
        answer = await inside.send("GET", f"/api/tables/payment/?{query}")
        assert answer.status_code in (400, 403, 422)


def keys_of(value: Any) -> list[str]:
    """Return every key in a JSON value, and the strings in its lists (a schema's `required`)."""
    if isinstance(value, dict):
        return [*value, *(key for inner in value.values() for key in keys_of(inner))]
    if isinstance(value, list):
        return [key for inner in value for key in ([inner] if isinstance(inner, str) else keys_of(inner))]
    return []
