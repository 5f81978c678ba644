"""Mistakes of a configuration in the operator's words, and the rules between keys. Floor 0, pure.

`explain` translates what pydantic found: an unknown key with the nearest known one, a wrong value
with what was expected and an example. `cross_references` holds the rules that join two places of
the file. It works on the raw tree, because a model that fails in one field says nothing of the
others, and all mistakes are to be seen at once.

Values are never repeated in a message: they may be secrets, and the line number points at them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from .config_file import Document, Place
from .config_values import Example, http_address

SIMULATOR = "simulator"  # the backend that needs no entry


def nearest(word: str, known: Iterable[str]) -> str:
    """What the operator may have meant, as the end of a message."""
    names = list(known)
    if close := get_close_matches(word, names, n=1):
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(names)}" if names else "there is none"


# What pydantic found, in words.

EXPECTATIONS = {  # pydantic's type of error: what to write instead
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping (key: value)",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "model_attributes_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "path_type": "a path as text",
    "string_type": "text (write it in quotes)",
    "too_short": "at least one",
    "tuple_type": "a list",
    "union_tag_invalid": "{expected_tags}",
    "expected": "{what}",
}


def explain(error: ValidationError, model: type[BaseModel], document: Document) -> None:
    """Note every error of `error`, which `model` found in `document`, each at its place."""
    for detail in error.errors(include_url=False, include_input=False):
        place = _place(detail)
        if not document.is_broken(place):
            document.problem(place, _message(detail, place, model, document))


def _place(detail: ErrorDetails) -> Place:
    """pydantic's location as the file has it: a union's tag is no key, a key's marker neither."""
    place = tuple(part for part in detail["loc"] if part != "[key]")
    if detail["type"].startswith("union_tag"):
        return *place, "provider"
    return (*place[:2], *place[3:]) if place[:1] == ("backends",) else place


def _message(detail: ErrorDetails, place: Place, model: type[BaseModel], document: Document) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        _, sections = _find(model, place[:-1], document)
        known = [key for section in sections for key in _fields(section)]
        return f"unknown key; {nearest(str(place[-1]), known)}"
    field, _ = _find(model, place, document)
    if kind in ("missing", "union_tag_not_found"):
        return f"missing{_example(field, f'{place[-1]}: ')}"
    if kind in EXPECTATIONS:
        return f"expected {EXPECTATIONS[kind].format_map(context)}{_example(field)}"
    return detail["msg"]


def _example(field: FieldInfo | None, key: str = "") -> str:
    """`, for example …`: what the field is marked with, else its default; "" where it has none."""
    if field is None:
        return ""
    for mark in field.metadata:
        if isinstance(mark, Example):
            return f", for example {key}{mark.yaml}"
    match field.default:
        case bool():
            return ""
        case str() | int() | float() as number:
            return f", for example {key}{number}"
    return ""


def _find(
    model: type[BaseModel], place: Place, document: Document
) -> tuple[FieldInfo | None, list[Any]]:
    """The field that `place` lies in, and the types that stand at `place` itself."""
    field, types = None, [model]
    for depth, part in enumerate(place):
        value = document.at(*place[:depth])
        inner: list[Any] = []
        for kind in types:
            if get_origin(kind) in (dict, tuple):
                inner += _arms(get_args(kind)[1 if get_origin(kind) is dict else 0])
            elif (found := _fields(kind).get(str(part))) and _chosen(kind, value):
                field = found
                inner += _arms(found.annotation)
        types = inner
    return field, [kind for kind in types if _chosen(kind, document.at(*place))]


def _fields(kind: Any) -> dict[str, FieldInfo]:
    """The fields of a model by the keys of the file; of anything else none."""
    fields: dict[str, FieldInfo] = getattr(kind, "model_fields", {})
    return {field.alias or name: field for name, field in fields.items()}


def _chosen(kind: Any, value: Any) -> bool:
    """Not a backend of another provider than the file names."""
    fields = _fields(kind)
    if "provider" not in fields or not isinstance(value, dict) or "provider" not in value:
        return True
    return value["provider"] in get_args(fields["provider"].annotation)


def _arms(annotation: Any) -> list[Any]:
    """The types that an annotation allows, without Annotated, unions and None around them."""
    if get_origin(annotation) is Annotated:
        return _arms(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [arm for part in get_args(annotation) for arm in _arms(part)]
    return [annotation]


# The rules between keys.


def cross_references(document: Document) -> None:
    """Note what is wrong between two places that may each be right by themselves."""
    for check in (_trunks, _agents, _routes, _certificate, _open_api):
        for place, message in check(document):
            if not document.is_broken(place):
                document.problem(place, message)


Found = Iterator[tuple[Place, str]]


def _sections(document: Document, key: str) -> dict[str, dict[str, Any]]:
    """The mappings below `key`, by name; what is no mapping is pydantic's to refuse."""
    entries = document.at(key)
    if not isinstance(entries, dict):
        return {}
    return {name: entry if isinstance(entry, dict) else {} for name, entry in entries.items()}


DEFAULT_REALM = "gateway"  # of a trunk's users


def _trunks(document: Document) -> Found:
    owners: dict[tuple[Any, str], str] = {}  # realm and user -> trunk
    for name, trunk in _sections(document, "trunks").items():
        place = ("trunks", name)
        if trunk.get("register") and not trunk.get("username"):
            yield (*place, "register"), "as whom? write username"
        users, realm = trunk.get("users"), trunk.get("realm") or DEFAULT_REALM
        for user in users if isinstance(users, dict) else ():
            owner = owners.setdefault((str(realm), user), name)
            if owner != name:
                what_to_do = "one of the two trunks needs another realm"
                yield (*place, "users", user), f"is a user of {owner} as well; {what_to_do}"


def _agents(document: Document) -> Found:
    backends = _sections(document, "backends")
    for name, agent in _sections(document, "agents").items():
        place = ("agents", name)
        if agent.get("backend") is None:
            if len(backends) > 1:
                yield place, f"missing backend; write which one answers: {', '.join(backends)}"
        else:
            yield from _backends(document, agent["backend"], (*place, "backend"))
        if "transfer" in _words(agent.get("tools")) and not agent.get("transfer"):
            yield (*place, "tools"), "transfer needs a place to go to: add one under transfer"


def _backends(document: Document, value: Any, place: Place) -> Found:
    known = [*_sections(document, "backends"), SIMULATOR]
    for index, name in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(name, str) and name and name not in known:
            at = (*place, index) if isinstance(value, list) else place
            yield at, f"no such backend; {nearest(name, known)}"
    names = _words(value)
    if names and all(_keyless(document, name) for name in names):
        yield place, "none of them has an api_key, so no call could be answered"


def _keyless(document: Document, name: str) -> bool:
    """The key of this backend is given, and empty."""
    if document.at("backends", name, "provider") == "compatible":
        return False  # such servers often ask for none
    places = [("backends", name, key) for key in ("api_key", "iam_token")]
    keys = [document.at(*place) for place in places]
    return "" in keys and not any(keys) and not any(map(document.is_broken, places))


def _words(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [word for word in values if isinstance(word, str)]


def _routes(document: Document) -> Found:
    routes = document.at("routes") or []
    agents, trunks = _sections(document, "agents"), _sections(document, "trunks")
    if len(agents) > 1 and not routes:
        yield ("routes",), f"missing; write which of {', '.join(agents)} answers which call"
    for index, route in enumerate(routes if isinstance(routes, list) else []):
        for key, kind, known in (("agent", "agent", agents), ("trunk", "trunk", trunks)):
            name = route.get(key) if isinstance(route, dict) else None
            if isinstance(name, str) and name and name not in known:
                yield ("routes", index, key), f"no such {kind}; {nearest(name, known)}"


def _certificate(document: Document) -> Found:
    certificate = document.at("sip", "tls", "certificate")
    private_key = document.at("sip", "tls", "private_key")
    if bool(certificate) != bool(private_key):
        given = "certificate" if certificate else "private_key"
        yield ("sip", "tls", given), "alone is no use; write certificate and private_key, or none"


def _open_api(document: Document) -> Found:
    address, token = http_address(document.at("api", "listen")), ("api", "token")
    if address is None or address.loopback or document.is_broken(token) or document.at(*token):
        return
    what_to_do = "set api.token, or listen on 127.0.0.1:8080"
    yield ("api", "listen"), f"other machines can reach it: {what_to_do}"
