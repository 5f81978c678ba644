"""The configuration as a file: YAML 1.2 read with line numbers, `${…}` filled in. Floor 0.

`read` gives a `Document`: plain dicts, lists and scalars, and for each path the line where it
stands. Only the node graph is ruamel's; the scalars are resolved here, by the core schema of
YAML 1.2 §10.3.2: `on` is a word, `2026-11-21` too, and a number has no underscores.

`${NAME}` takes an environment variable, `${NAME:-default}` with a default where it is unset or
empty, `${file:PATH}` a file's content (relative to this file, without the
line breaks at its end), `$${` stands for `${` itself. They are filled in after parsing, so that
nothing in a password is YAML, and always give text.

It reads files because that is its subject; it knows no key by name. Tags and merge keys (`<<`) are
left out on purpose: YAML 1.2 has no merge keys and our values need no tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

Place: TypeAlias = tuple[str | int, ...]  # the way to a value: ("routes", 0, "agent")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, and what to write instead."""

    file: str
    line: int | None  # from 1; None when the file cannot be read at all
    path: str  # agents.reception.voice; empty for the file as a whole
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        text = ": ".join(filter(None, [where, self.path, self.message]))
        return text.encode("utf-8", "backslashreplace").decode()  # a key may hold "\\ud800"


class ConfigError(ValueError):
    """The configuration cannot be used; `problems` are all its mistakes, in the file's order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def dotted(place: Place) -> str:
    """`("routes", 0, "agent")` as an operator reads it: `routes[0].agent`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


@dataclass(slots=True)
class Document:
    """What one file says, and where it says it."""

    file: str
    tree: Any = None  # dict, list, str, int, float, bool or None
    problems: list[Problem] = field(default_factory=list)
    broken: set[Place] = field(default_factory=set)  # values that could not be filled in
    root: Node | None = None

    def problem(self, place: Place, message: str) -> None:
        """Note a mistake at `place`."""
        self.problems.append(Problem(self.file, self.line(place), dotted(place), message))

    def is_broken(self, place: Place) -> bool:
        """Whether `place`, or what it lies in, has been refused already."""
        return any(place[:depth] in self.broken for depth in range(len(place) + 1))

    def line(self, place: Place) -> int:
        """The line of `place`, or of the nearest thing around it that is there."""
        node, line = self.root, 1
        for part in place:
            match node:
                case MappingNode():
                    found = [(k, v) for k, v in node.value if k.value == part]
                case SequenceNode() if isinstance(part, int) and part < len(node.value):
                    found = [(node.value[part], node.value[part])]
                case _:
                    found = []
            if not found:
                break
            key, node = found[0]
            line = key.start_mark.line + 1
        return line

    def at(self, *place: str | int) -> Any:
        """The value at `place`; None where there is none."""
        value = self.tree
        for part in place:
            match value:
                case dict():
                    value = value.get(part)
                case list() if isinstance(part, int) and part < len(value):
                    value = value[part]
                case _:
                    return None
        return value


def read(path: Path, environ: Mapping[str, str]) -> Document:
    """Read and fill in one file; its own mistakes are in `problems`.

    Raises ConfigError where nothing can be made of it: no such file, not UTF-8, not YAML.
    """
    file = str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        root = YAML(typ="safe", pure=True).compose(text)
    except OSError as error:
        raise ConfigError((Problem(file, None, "", error.strerror or str(error)),)) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError((Problem(file, line, "", "not UTF-8; save it as UTF-8"),)) from None
    # Beside its own errors ruamel lets some of Python's through: '"\\UFFFFFFFF"', 3,000 brackets.
    except (YAMLError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise ConfigError((_syntax(file, text, error),)) from None
    document = Document(file, root=root)
    document.tree = {} if root is None else _Builder(document, path.parent, environ).build(root, ())
    return document


def _syntax(file: str, text: str, error: Exception) -> Problem:
    match error:
        case MarkedYAMLError(problem_mark=mark, problem=problem) if mark is not None:
            context = f" ({error.context})" if error.context else ""
            return Problem(file, mark.line + 1, "", f"not YAML: {problem}{context}")
        case ReaderError(position=position):
            line = text[:position].count("\n") + 1
            return Problem(file, line, "", "not YAML: a control character; remove it")
        case _:
            return Problem(file, None, "", f"not YAML: {error}")


SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"|~|null|Null|NULL"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?[0-9]{1,40}"), int),
    (re.compile(r"0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: float("nan")),
)
REFERENCE = re.compile(r"\$(\$\{)|\$\{([^{}]*)\}|\$\{")
DEEPEST = 50  # mappings and lists inside each other; the language has six, JSON Schema some more
VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?", re.DOTALL)


def resolved(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2: null, true, 12, 0.5, or a word."""
    for pattern, convert in SCALARS:
        if pattern.fullmatch(text):
            return convert(text)
    return text


def _is_text(value: str) -> bool:
    """No lone surrogates: "\\ud800" in quotes, or what is no UTF-8 in the environment."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Builder:
    """Node graph to plain values; every mistake on the way goes into the document."""

    def __init__(self, document: Document, folder: Path, environ: Mapping[str, str]) -> None:
        self._document = document
        self._folder = folder
        self._environ = environ
        self._open: list[Node] = []  # the nodes that are being built, outermost first

    def build(self, node: Node, place: Place) -> Any:
        if any(node is outer for outer in self._open):
            return self._refuse(place, "an alias that contains itself; write the value out")
        if len(self._open) > DEEPEST:
            return self._refuse(place, "nested too deeply")
        if node.tag is not None and not str(node.tag).startswith("tag:yaml.org,2002:"):
            return self._refuse(place, f"the tag {node.tag} has no meaning here; remove it")
        self._open.append(node)
        value = self._value(node, place)
        self._open.pop()
        if isinstance(value, str) and not _is_text(value):
            return self._refuse(place, "not text in UTF-8")
        return value

    def _value(self, node: Node, place: Place) -> Any:
        match node:
            case MappingNode():
                return {
                    key: self.build(value, (*place, key)) for key, value in self._items(node, place)
                }
            case SequenceNode():
                return [self.build(value, (*place, i)) for i, value in enumerate(node.value)]
            case ScalarNode(value=text) if "${" in text:
                return REFERENCE.sub(lambda found: self._reference(found, place), text)
            case ScalarNode(style=None) if not str(node.tag).endswith(":str"):
                return resolved(node.value)
            case _:
                return node.value

    def _items(self, node: MappingNode, place: Place) -> Iterator[tuple[str, Node]]:
        """Key and value; keys are always text: a trunk may be called 100."""
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                self._note(place, line, "a key must be a word, not a list or a mapping")
            elif key.value in seen:
                first = seen[key.value]
                self._note((*place, key.value), line, f"twice, first in line {first}; keep one")
            else:
                seen[key.value] = line
                yield key.value, value

    def _note(self, place: Place, line: int, message: str) -> None:
        self._document.problems.append(Problem(self._document.file, line, dotted(place), message))

    def _refuse(self, place: Place, message: str) -> None:
        self._document.problem(place, message)
        self._document.broken.add(place)

    def _reference(self, found: re.Match[str], place: Place) -> str:
        if found[1]:
            return "${"
        inner = found[2]
        if inner is None:
            self._refuse(place, "${ without its }; write ${NAME}, or $${ for the two characters")
        elif inner.startswith("file:"):
            return self._content(inner.removeprefix("file:"), place)
        elif variable := VARIABLE.fullmatch(inner):
            name, default = variable[1], variable[3]
            value = self._environ.get(name)
            if default is not None:
                return value or default
            if value is not None:
                return value
            self._refuse(
                place, f"{name} is not set in the environment; set it or write ${{{name}:-default}}"
            )
        else:
            self._refuse(
                place,
                f"${{{inner}}} is none of ${{NAME}}, ${{NAME:-default}}, ${{file:PATH}}",
            )
        return ""

    def _content(self, name: str, place: Place) -> str:
        path = self._folder / name
        try:
            return path.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            self._refuse(place, f"cannot read {path}: {error.strerror}")
        except ValueError:  # not UTF-8, or a path with a NUL
            self._refuse(place, f"cannot read {path}: not a text file in UTF-8")
        return ""
