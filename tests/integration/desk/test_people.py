"""People and their being signed in, on a real database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest
from sqlalchemy.orm import Session

from desk import audit, people
from desk.actors import Actor, ForbiddenError
from desk.passwords import PasswordError
from models.people import Role
from models.transactions import Database as Transactions
from tests.words import names

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

ROOT = Actor("root", Role.OPERATOR, "command")
PASSWORD = "correct horse battery"


def _at(database: Database) -> Transactions:
    """The test's database, as the desk has it."""
    return cast("Transactions", Same(database))


class Same:
    """The test's database under the name that the desk calls it by."""

    def __init__(self, database: Database) -> None:
        self.db = database.run


@pytest.fixture
def anna(database: Database) -> str:
    database.run(people.add, ROOT, "Anna", Role.REVIEWER, PASSWORD)
    token = people.sign_in(_at(database), "anna", PASSWORD)
    assert token is not None
    return token


def test_a_person_signs_in_and_out(database: Database, anna: str) -> None:
    assert database.run(people.who, anna) == Actor("Anna", Role.REVIEWER)
    other = people.sign_in(_at(database), "ANNA", PASSWORD)
    assert other is not None
    assert other != anna
    database.run(people.sign_out, anna)
    assert database.run(people.who, anna) is None
    assert database.run(people.who, other) is not None, "another browser is another sign-in"


def test_nothing_that_is_kept_opens_anything(database: Database, anna: str) -> None:
    kept = str(database.sql("SELECT * FROM people")) + str(database.sql("SELECT * FROM sign_ins"))
    assert PASSWORD not in kept
    assert anna not in kept
    assert "$argon2id$" in kept
    (digest,) = database.sql("SELECT digest FROM sign_ins")
    assert database.run(people.who, digest.digest) is None


@pytest.mark.parametrize(
    ("name", "password"), [("Anna", "wrong horse battery"), ("Nobody", PASSWORD), ("Anna", ""), ("a\0b", PASSWORD)]
)
def test_a_wrong_name_or_password_opens_nothing(database: Database, anna: str, name: str, password: str) -> None:
    assert people.sign_in(_at(database), name, password) is None


def test_whatever_ends_a_sign_in_ends_it_at_once(database: Database, anna: str) -> None:
    database.run(people.disable, ROOT, "anna")
    assert database.run(people.who, anna) is None
    assert people.sign_in(_at(database), "Anna", PASSWORD) is None
    database.run(people.disable, ROOT, "Anna", disabled=False)
    assert database.run(people.who, anna) is None, "what was ended stays ended"
    fresh = people.sign_in(_at(database), "Anna", PASSWORD)
    assert fresh is not None
    database.run(people.set_password, ROOT, "Anna", "another long password")
    assert database.run(people.who, fresh) is None
    assert people.sign_in(_at(database), "Anna", PASSWORD) is None
    late = people.sign_in(_at(database), "Anna", "another long password")
    assert late is not None
    database.sql("UPDATE sign_ins SET expires_at = now() - interval '1 second'")
    assert database.run(people.who, late) is None


def test_a_role_is_in_force_with_the_next_request(database: Database, anna: str) -> None:
    database.run(people.set_role, ROOT, "Anna", Role.VIEWER)
    assert database.run(people.who, anna) == Actor("Anna", Role.VIEWER)


def test_who_is_not_there_or_twice_is_named(database: Database, anna: str) -> None:
    with pytest.raises(people.PersonError, match=names("ANNA")):
        database.run(people.add, ROOT, "ANNA", Role.VIEWER, PASSWORD)
    with pytest.raises(people.PersonError, match=names("Bob")):
        database.run(people.disable, ROOT, "Bob")
    for name in ("", " ", "x" * 81, "a\u200bb", "Gina (guest)", "Token shop", "checks"):
        with pytest.raises(people.PersonError, match="name"):
            database.run(people.add, ROOT, name, Role.VIEWER, PASSWORD)
    with pytest.raises(PasswordError, match=names("12")):
        database.run(people.add, ROOT, "Bob", Role.VIEWER, "short")
    assert [listed.name for listed in database.run(people.everybody)] == ["Anna"]


def test_only_operators_change_people(database: Database, anna: str) -> None:
    reviewer = Actor("Anna", Role.REVIEWER)
    works: list[Callable[[Session], None]] = [
        lambda session: people.add(session, reviewer, "Bob", Role.OPERATOR, PASSWORD),
        lambda session: people.disable(session, reviewer, "Anna"),
        lambda session: people.set_password(session, reviewer, "Anna", PASSWORD),
        lambda session: people.set_role(session, reviewer, "Anna", Role.OPERATOR),
    ]
    for work in works:
        with pytest.raises(ForbiddenError, match=names("Anna", "reviewer", "operator")):
            database.run(work)


def test_the_record_says_who_did_what(database: Database, anna: str) -> None:
    database.run(people.disable, ROOT, "Anna")
    said = [(entry.person, entry.via, entry.action, entry.subject) for entry in database.run(audit.latest, 10)]
    assert said == [
        ("root", "command", "people disable", "person Anna"),
        ("Anna", "page", "sign in", "person Anna"),
        ("root", "command", "people add", "person Anna"),
    ]


def test_a_form_is_bound_to_its_owner() -> None:
    people.check_form("secret", people.form_token("secret"))
    for given in ("", people.form_token("other"), "é"):
        with pytest.raises(ForbiddenError):
            people.check_form("secret", given)
