"""Who does something, and what they may do."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass

from models.people import Role

_ORDER = list(Role)
_PROGRAMS = {"program", "api", "mcp"}


class ForbiddenError(Exception):
    """The person's role does not allow it; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person who acts: on a page, or by a command."""

    name: str
    role: Role
    #: `page`, `command`, `program`, `api`, `mcp` or `guest`.
    via: str = "page"
    #: The one batch that a guest's link opens; None for everybody else.
    guest_of: int | None = None

    @property
    def sees_money(self) -> bool:
        """Whether costs, accounts, operations and answers of providers are for this person."""
        return self.may(Role.REVIEWER) and self.guest_of is None

    @property
    def seat(self) -> str:
        """Whose streams and downloads are counted together: those of a person, and those of all guests of one batch."""
        return self.name if self.guest_of is None else f"guests of {self.guest_of}"

    @property
    def judges_as(self) -> str:
        """In which role the person gives verdicts, for those who are told no name."""
        if self.guest_of is not None:
            return "guest"
        return "program" if self.via in _PROGRAMS else self.role.value

    def may(self, role: Role) -> bool:
        """Whether the person may do what needs `role`."""
        return _ORDER.index(self.role) >= _ORDER.index(role)

    def need(self, role: Role, action: str, *, guests: bool = False) -> None:
        """Refuse what the person may not do; guests may nothing that is not said to be for `guests`, too.

        Raises:
            ForbiddenError: names the person, their role and the one that is needed.
        """
        if self.guest_of is not None and not guests:
            raise ForbiddenError(f"{self.name} is here by a guest link and may not {action}")
        if not self.may(role):
            raise ForbiddenError(
                f"{self.name} has the role {self.role} and may not {action}; that needs the role {role}, which "
                "operators give"
            )


def from_command() -> Actor:
    """The user of this system who types a command: who reaches the database may do everything."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        name = "unknown"
    return Actor(name, Role.OPERATOR, "command")


#: What each role may do, in words for people.
MAY: Mapping[Role, str] = {
    Role.VIEWER: "sees pictures and verdicts",
    Role.REVIEWER: "also gives verdicts, sees costs, and redoes pictures within a daily limit",
    Role.OPERATOR: "may do everything",
}
