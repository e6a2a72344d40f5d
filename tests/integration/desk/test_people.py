"""People and their being signed in, on a real database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from desk import audit, own_access, people
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


def test_another_password_ends_every_other_sign_in(database: Database, anna: str) -> None:
    """Of a form that is sent twice, the second finds the new password and changes nothing."""
    actor, others = Actor("Anna", Role.REVIEWER), [people.sign_in(_at(database), "Anna", PASSWORD) for _ in range(2)]
    database.run(people.add, ROOT, "Bob", Role.VIEWER, PASSWORD)
    bob = people.sign_in(_at(database), "Bob", PASSWORD) or ""
    for current, new, changed in (
        ("wrong horse battery", "another long password", False), (PASSWORD, "another long password", True),
        (PASSWORD, "another long password", True), (PASSWORD, "a third long password", False),
    ):  # fmt: skip
        assert own_access.change_password(_at(database), actor, anna, current, new) is changed
    assert [database.run(people.who, token or "") for token in others] == [None, None]
    assert database.run(people.who, anna) == actor
    assert database.run(people.who, bob) is not None
    assert people.sign_in(_at(database), "Anna", PASSWORD) is None
    assert people.sign_in(_at(database), "Anna", "another long password") is not None
    with pytest.raises(PasswordError, match=names("12")):
        own_access.change_password(_at(database), actor, anna, "another long password", "short")
    with pytest.raises(people.PersonError, match=names("Anna")):
        own_access.change_password(_at(database), actor, "no cookie", PASSWORD, PASSWORD)
    database.sql("UPDATE people SET disabled_at = now()")
    with pytest.raises(people.PersonError, match=names("Anna")):
        own_access.change_password(_at(database), actor, anna, "another long password", PASSWORD)
    said = [(entry.action, entry.detail) for entry in database.run(audit.latest, 20) if entry.person == "Anna"]
    assert [each for each in said if each[0] != "sign in"] == [("sign out", {"browsers": 2}), ("people password", {})]


def test_a_form_that_is_sent_twice_at_once_changes_the_password_once(database: Database, anna: str) -> None:
    actor = Actor("Anna", Role.REVIEWER)

    def change() -> bool:
        return own_access.change_password(_at(database), actor, anna, PASSWORD, "another long password")

    with database.sessions.begin() as session:
        session.execute(text("SELECT 1 FROM people FOR UPDATE"))
        both = [database.aside(change) for _ in range(2)]
        database.wait_for_a_waiter()
    assert [each.result() for each in both] == [True, True]
    assert database.one("SELECT count(*) FROM audit WHERE action = 'people password'") == 1


def test_who_signs_in_while_the_password_changes_is_not_left_in(database: Database, anna: str) -> None:
    with database.sessions.begin() as session:
        people.set_password(session, ROOT, "Anna", "another long password")
        late = database.aside(people.sign_in, _at(database), "Anna", PASSWORD)
        database.wait_for_a_waiter()
    assert late.result() is None
    assert database.one("SELECT count(*) FROM sign_ins") == 0


def test_people_see_and_end_their_own_sign_ins_only(database: Database, anna: str) -> None:
    actor = Actor("Anna", Role.REVIEWER)
    database.run(people.add, ROOT, "Bob", Role.VIEWER, PASSWORD)
    bob = people.sign_in(_at(database), "Bob", PASSWORD) or ""
    other = people.sign_in(_at(database), "Anna", PASSWORD) or ""
    gone = people.sign_in(_at(database), "Anna", PASSWORD) or ""
    database.sql("UPDATE sign_ins SET expires_at = now() WHERE digest = :digest", digest=people.digest_of(gone))
    listed = database.run(own_access.sign_ins, anna)
    assert [(each.digest, each.is_this) for each in listed] == [
        (people.digest_of(anna), True), (people.digest_of(other), False),
    ]  # fmt: skip
    assert database.run(own_access.sign_ins, "no cookie") == []
    for digest in (people.digest_of(bob), people.digest_of(anna), "", anna):
        database.run(own_access.end_others, actor, anna, digest)
    database.run(own_access.end_others, actor, "no cookie")
    assert [database.run(people.who, token) is not None for token in (anna, other, bob)] == [True, True, True]
    database.run(own_access.end_others, actor, anna, people.digest_of(other))
    assert [database.run(people.who, token) is not None for token in (anna, other, bob)] == [True, False, True]


def test_a_form_is_bound_to_its_owner() -> None:
    people.check_form("secret", people.form_token("secret"))
    for given in ("", people.form_token("other"), "é"):
        with pytest.raises(ForbiddenError):
            people.check_form("secret", given)
