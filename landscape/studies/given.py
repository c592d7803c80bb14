"""Studies from the fields that someone gives: by name, types checked."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from landscape.records import InputError


def study_named(name: Any, studies: Mapping[str, Any]) -> Any:
    """The study of this name.

    Raises:
        InputError: There is none.
    """
    if name not in studies:
        raise InputError(f"study {name!r} is unknown; {meant(name, studies)}known are {', '.join(studies)}.")
    return studies[name]


def meant(word: Any, known: Iterable[str]) -> str:
    """A question after the known word that is nearest to this one; nothing where none is near."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def build(study: Any, given: Mapping[str, Any]) -> Any:
    """The study with these fields, which go by the names of its options or of the attributes.

    Raises:
        InputError: There is no such field, or a value is not of its type.
    """
    fields = {f.name: f for f in dataclasses.fields(study)}
    return study(**{key: _typed(study, key, value) for key, value in keyed(study, given, fields).items()})


def keyed(study: Any, given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The values by the names of the attributes.

    Raises:
        InputError: A field is unknown.
    """
    fields = list(known)
    found = {}
    for name, value in given.items():
        key = name.replace("-", "_")
        if key not in fields:
            said = ", ".join(fields)
            raise InputError(f"study {study.name} has no field {name!r}; {meant(key, fields)}its fields are {said}.")
        found[key] = value
    return found


def lists_in(study: Any, given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The fields that are given lists of values rather than a value: what a sweep goes over.

    A list of numbers is a value of a field that has several, and of one that may be a matrix.
    """
    types = {f.name: str(f.type) for f in dataclasses.fields(study)}
    found = {}
    for name, value in keyed(study, given, types).items():
        if not isinstance(value, list):
            continue
        inner = list if types[name].startswith("tuple") else str if types[name].startswith("str") else object
        if value and all(isinstance(one, inner) for one in value):
            found[name] = value
    return found


def _typed(study: Any, key: str, value: Any) -> Any:
    """A value as its field has it."""
    wanted = str(next(f.type for f in dataclasses.fields(study) if f.name == key))
    if wanted.startswith("tuple"):
        good = isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
        value = tuple(value) if good else value
    elif wanted.startswith("str"):
        # A matrix or a size is also a teacher.
        matrix = isinstance(value, list) or (key == "teacher" and isinstance(value, int))
        value = json.dumps(value) if matrix else value
        good = isinstance(value, str)
    elif value is None and wanted.endswith("None"):
        good = True
    elif wanted.startswith("float"):
        good = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        good = isinstance(value, int) and not isinstance(value, bool)
    if not good:
        raise InputError(f"field {key!r} of {study.name} must be of type {wanted}, found {value!r}.")
    return value
