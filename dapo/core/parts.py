"""Find the parts a module offers: a part is added by writing one dataclass with a name."""

from __future__ import annotations

from dataclasses import is_dataclass
from types import ModuleType


def parts(module: ModuleType) -> dict[str, type]:
    """The dataclasses defined in `module` that carry a `name`, by that name, in the order of the file.

    A class must state its own `name`: one that only inherits it is not listed.
    Raises ValueError if two of them share a name.
    """
    found: dict[str, type] = {}
    for value in vars(module).values():
        if not (isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__):
            continue
        name = vars(value).get("name")
        if not isinstance(name, str):
            continue
        if name in found:
            raise ValueError(
                f"{module.__name__}: {found[name].__name__} and {value.__name__} "
                f"are both named {name!r}; rename one"
            )
        found[name] = value
    return found
