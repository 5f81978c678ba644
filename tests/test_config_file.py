"""YAML 1.2 with line numbers, and `${…}` filled in after parsing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config_file import ConfigError, Document, Problem, dotted, read, resolved


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def document(folder: Path, text: str | bytes, **environ: str) -> Document:
    path = folder / "gateway.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, environ)


def tree(folder: Path, text: str, **environ: str) -> Any:
    found = document(folder, text, **environ)
    assert found.problems == []
    return found.tree


def mistakes(folder: Path, text: str | bytes, **environ: str) -> list[str]:
    """The problems without the file's name: `line: path: message`."""
    try:
        problems = document(folder, text, **environ).problems
    except ConfigError as error:
        problems = list(error.problems)
    return [str(problem).removeprefix(f"{folder}/gateway.yaml:") for problem in problems]


class TestScalars:
    """YAML 1.2 §10.3.2, the core schema: `on` is a word, true is not."""

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("on", "on"),
            ("off", "off"),
            ("yes", "yes"),
            ("true", True),
            ("False", False),
            ("null", None),
            ("~", None),
            ("", None),
            ("12", 12),
            ("-7", -7),
            ("+7", 7),
            ("007", 7),
            ("0o17", 15),
            ("0x1F", 31),
            ("1_000", "1_000"),
            ("0.5", 0.5),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("-.inf", float("-inf")),
            (".INF", float("inf")),
            ("2026-11-21", "2026-11-21"),
            ("12:30", "12:30"),
            ("udp:0.0.0.0:5060", "udp:0.0.0.0:5060"),
            ("1??", "1??"),
            ("１２", "１２"),
            ("9" * 50, float("9" * 50)),
            ('"12"', "12"),
            ("'true'", "true"),
            ("!!str 12", "12"),
        ],
    )
    def test_resolved(self, folder: Path, text: str, value: Any) -> None:
        found = tree(folder, f"key: {text}")["key"]
        assert found == value
        assert type(found) is type(value)

    def test_not_a_number(self) -> None:
        found = resolved(".nan")
        assert isinstance(found, float)
        assert found != found

    @given(st.text(max_size=30))
    def test_any_scalar_is_a_value(self, text: str) -> None:
        resolved(text)

    def test_an_old_directive_changes_nothing(self, folder: Path) -> None:
        assert tree(folder, "%YAML 1.1\n---\necho: on\n") == {"echo": "on"}

    def test_keys_are_text(self, folder: Path) -> None:
        assert tree(folder, "users: {100: a, true: b}") == {"users": {"100": "a", "true": "b"}}

    def test_lists_blocks_and_aliases(self, folder: Path) -> None:
        text = "a: &x [1, {b: c}]\nd: *x\ne: |\n  two\n  lines\n"
        value = [1, {"b": "c"}]
        assert tree(folder, text) == {"a": value, "d": value, "e": "two\nlines\n"}

    @pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\ufeff"])
    def test_an_empty_file_says_nothing(self, folder: Path, text: str) -> None:
        assert not tree(folder, text)


class TestSubstitution:
    """`${NAME}`, `${NAME:-default}`, `${file:PATH}`; an unset one is a mistake with its path."""

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("${KEY}", "k"),
            ('"Bearer ${KEY}."', "Bearer k."),
            ("${KEY}${KEY}", "kk"),
            ("${KEY:-other}", "k"),
            ("${UNSET:-other}", "other"),
            ("${EMPTY:-other}", "other"),
            ("${EMPTY}", ""),
            ("${UNSET:-}", ""),
            ("${UNSET:-wss://host:1/a?b=c}", "wss://host:1/a?b=c"),
            ("${NUMBER}", "5060"),  # text: the field's type makes it a number
            ("$${KEY}", "${KEY}"),
            ("$KEY", "$KEY"),
            ("${YAML}", "a: [b"),  # filled in after parsing: nothing in it is YAML
            ("${NESTED}", "${KEY}"),  # and only once
        ],
    )
    def test_variables(self, folder: Path, text: str, value: str) -> None:
        environ = {"KEY": "k", "EMPTY": "", "NUMBER": "5060", "YAML": "a: [b", "NESTED": "${KEY}"}
        assert tree(folder, f"key: {text}", **environ) == {"key": value}

    def test_in_keys_nothing_is_filled_in(self, folder: Path) -> None:
        assert tree(folder, '"${KEY}": 1', KEY="k") == {"${KEY}": 1}

    def test_a_file_beside_the_configuration(self, folder: Path) -> None:
        (folder / "prompt.txt").write_text("Be kind.\nBe brief.\n", encoding="utf-8")
        assert tree(folder, "key: ${file:prompt.txt}") == {"key": "Be kind.\nBe brief."}

    def test_every_unset_one_is_told(self, folder: Path) -> None:
        text = "a: ${ONE}\nb:\n  - x\n  - ${TWO} ${THREE}\n"
        assert mistakes(folder, text) == [
            "1: a: ONE is not set in the environment; set it or write ${ONE:-default}",
            "4: b[1]: TWO is not set in the environment; set it or write ${TWO:-default}",
            "4: b[1]: THREE is not set in the environment; set it or write ${THREE:-default}",
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("${}", "${} is none of ${NAME}, ${NAME:-default}, ${file:PATH}"),
            ("${A B}", "${A B} is none of ${NAME}, ${NAME:-default}, ${file:PATH}"),
            ("${1A}", "${1A} is none of ${NAME}, ${NAME:-default}, ${file:PATH}"),
            ("${A-b}", "${A-b} is none of ${NAME}, ${NAME:-default}, ${file:PATH}"),
            ("${OPEN", "${ without its }; write ${NAME}, or $${ for the two characters"),
        ],
    )
    def test_what_is_no_reference(self, folder: Path, text: str, message: str) -> None:
        assert mistakes(folder, f"key: '{text}'") == [f"1: key: {message}"]

    def test_a_file_that_cannot_be_read(self, folder: Path) -> None:
        (folder / "binary").write_bytes(b"\xff\xfe")
        text = "a: ${file:none.txt}\nb: ${file:binary}\nc: ${file:}\n"
        assert mistakes(folder, text) == [
            f"1: a: cannot read {folder}/none.txt: No such file or directory",
            f"2: b: cannot read {folder}/binary: not a text file in UTF-8",
            f"3: c: cannot read {folder}: Is a directory",
        ]

    def test_what_could_not_be_filled_in_is_broken(self, folder: Path) -> None:
        found = document(folder, "a: {b: '${ONE}', c: 1}")
        assert found.is_broken(("a", "b"))
        assert found.is_broken(("a", "b", "deeper"))
        assert not found.is_broken(("a", "c"))
        assert not found.is_broken(("a",))


class TestUnusable:
    """Where nothing can be made of the file, one mistake says why, with its line."""

    def test_no_such_file(self, folder: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            read(folder / "none.yaml", {})
        assert str(caught.value) == f"{folder}/none.yaml: No such file or directory"
        assert caught.value.problems[0].line is None

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "a: 1\nb: [1\nc: 2\n",
                "3: not YAML: expected ',' or ']', but got ':' (while parsing a flow sequence)",
            ),
            ("a: 1\n\tb: 2\n", "2: not YAML: found character '\\t' that cannot start any token"),
            ("a: 1\n---\nb: 2\n", "2: not YAML: but found another document"),
            ("a: *nowhere\n", "1: not YAML: found undefined alias 'nowhere'"),
            ("a: 1\nb: \x01\n", "2: not YAML: a control character; remove it"),
            (b"a: 1\nb: \xff\n", "2: not UTF-8; save it as UTF-8"),
        ],
    )
    def test_not_yaml(self, folder: Path, text: str | bytes, message: str) -> None:
        [found] = mistakes(folder, text)
        assert found.startswith(message)

    @pytest.mark.parametrize("text", ['a: "\\UFFFFFFFF"', 'a: "\\U00900000"', "[" * 700])
    def test_what_the_reader_does_not_foresee(self, folder: Path, text: str) -> None:
        [found] = mistakes(folder, text)
        assert found.startswith(" not YAML: ")

    @given(st.binary(max_size=60))
    def test_any_bytes(self, tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
        path = tmp_path_factory.getbasetemp() / "any.yaml"
        path.write_bytes(data)
        with suppress(ConfigError):
            read(path, {})


class TestStructure:
    """What YAML takes and a configuration cannot use."""

    def test_a_key_that_is_there_twice(self, folder: Path) -> None:
        text = "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 4\n"
        assert mistakes(folder, text) == [
            "5: b.c: twice, first in line 3; keep one",
            "6: a: twice, first in line 1; keep one",
        ]
        assert document(folder, text).tree == {"a": 1, "b": {"c": 1, "d": 2}}

    def test_a_key_that_is_no_word(self, folder: Path) -> None:
        assert mistakes(folder, "a:\n  ? [x, y]\n  : 1\n") == [
            "2: a: a key must be a word, not a list or a mapping"
        ]

    def test_an_alias_that_contains_itself(self, folder: Path) -> None:
        assert mistakes(folder, "a: &x\n  b: *x\n") == [
            "2: a.b: an alias that contains itself; write the value out"
        ]

    def test_nested_without_end(self, folder: Path) -> None:
        [found] = mistakes(folder, "a: " + "[" * 60 + "]" * 60)
        assert found.endswith("nested too deeply")

    def test_a_character_that_no_terminal_takes(self, folder: Path) -> None:
        [found] = mistakes(folder, '"\\ud800": 1\n"\\ud800": 2\n')
        assert found == "2: \\ud800: twice, first in line 1; keep one"

    def test_what_is_no_text(self, folder: Path) -> None:
        """An environment has bytes; what is no UTF-8 in it comes as lone surrogates."""
        assert mistakes(folder, 'a: "\\ud800"\nb: ${KEY}\n', KEY="\udcff") == [
            "1: a: not text in UTF-8",
            "2: b: not text in UTF-8",
        ]

    def test_tags_have_no_meaning(self, folder: Path) -> None:
        assert mistakes(folder, "a: 1\nb: !python/object:os.system {c: d}\n") == [
            "2: b: the tag !python/object:os.system has no meaning here; remove it"
        ]


class TestPlaces:
    """Each value has its line, and a way of writing where it is."""

    TEXT = "a:\n  - 1\n  - b: 2\n    c: 3\nd: |\n  text\n"

    @pytest.mark.parametrize(
        ("place", "line"),
        [
            ((), 1),
            (("a",), 1),
            (("a", 0), 2),
            (("a", 1, "c"), 4),
            (("d",), 5),
            (("a", 1, "missing"), 3),  # the nearest thing around it
            (("a", 7), 1),
            (("d", "deeper"), 5),
        ],
    )
    def test_lines(self, folder: Path, place: tuple[str | int, ...], line: int) -> None:
        assert document(folder, self.TEXT).line(place) == line

    def test_values(self, folder: Path) -> None:
        found = document(folder, self.TEXT)
        assert found.at("a", 1, "b") == 2
        assert found.at("a", 7) is None
        assert found.at("a", 0, "b") is None
        assert found.at() == found.tree

    def test_paths(self) -> None:
        assert dotted(()) == ""
        assert dotted(("routes", 0, "agent")) == "routes[0].agent"
        assert dotted(("agents", "reception", "voice")) == "agents.reception.voice"

    def test_a_mistake_is_one_line(self) -> None:
        problem = Problem("gateway.yaml", 3, "agents.desk.voice", "unknown key")
        assert str(problem) == "gateway.yaml:3: agents.desk.voice: unknown key"
        assert str(ConfigError((problem, problem))) == f"{problem}\n{problem}"
