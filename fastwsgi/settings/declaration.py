"""How a setting is declared, and how a declaration becomes an attribute with a value.

The settings themselves stand in the tables beside this file, a class for each section of the help. What a
value may be is said in `values.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, NoReturn

    Action = Literal["store", "append", "store_true", "store_const"]

T = TypeVar("T")


class Entry(NamedTuple):
    """The value of a setting and the source it came from."""

    value: Any
    source: str


class Section:
    """A table of settings. `Settings` inherits from all of them, in the order of the help."""

    section: ClassVar[str] = ""
    entries: dict[str, Entry]


class Setting(Generic[T]):
    """The declaration of one setting; on a `Settings` object, its value.

    `parse` turns what was written (text, or any Python object) into the value, or raises ValueError with what
    would be right. `default` is given as a person would write it, and is parsed too. `variable` names an
    environment variable that, where it is set, takes the default's place; `from_variable` makes the written
    value from its text. `derive` is for a value that depends on other settings: it makes what is read from
    what was parsed.

    `action`, `const` and `nargs` say how its flags read the command line, as argparse has them; a setting
    without flags cannot be set there.

    Of what gunicorn has and this server has not, `no_effect` says why the setting changes nothing here, and
    `refuse` why it would not be safe to serve on as if a value changed nothing ("": it would be).
    """

    def __init__(
        self,
        *flags: str,
        parse: Callable[[object], T],
        default: object,
        help: str,
        metavar: str = "",
        action: Action = "store",
        const: object = None,
        nargs: str | None = None,
        variable: str = "",
        from_variable: Callable[[str], object] = str,
        derive: Callable[[Any, T], T] | None = None,
        no_effect: str = "",
        refuse: Callable[[T], str] | None = None,
    ) -> None:
        self.name = ""
        self.section = ""
        self.flags = flags
        self.parse = parse
        self.default = default
        self.help = help
        self.metavar = metavar
        self.action = action
        self.const = const
        self.nargs = nargs
        self.variable = variable
        self.from_variable = from_variable
        self.derive = derive
        self.no_effect = no_effect
        self.refuse = refuse

    @property
    def repeats(self) -> bool:
        """May its flag be given several times, each with one element of the value?"""
        return self.action == "append"

    def __set_name__(self, owner: type[Section], name: str) -> None:
        self.name = name
        self.section = owner.section

    @overload
    def __get__(self, settings: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, settings: Section, owner: type) -> T: ...
    def __get__(self, settings: Section | None, owner: type) -> Setting[T] | T:
        if settings is None:
            return self
        value: T = settings.entries[self.name].value
        return value if self.derive is None else self.derive(settings, value)

    def __set__(self, settings: Section, value: object) -> NoReturn:
        raise AttributeError(f"{self.name}: settings are replaced whole, never changed")
