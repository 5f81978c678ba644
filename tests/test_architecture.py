"""The shape of the code, held by a test: who imports whom, who touches the world, who has a test.

A package knows only the floors below its own, never a neighbour. The
shell files (●) are the only ones that know of sockets, tasks, processes, files or the clock; every
other file is a function of its arguments, so that a call can be replayed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway

ROOT = Path(gateway.__file__).parent
REPOSITORY = ROOT.parent

# Lowest first. Units of one floor are strangers to each other.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"config", "agents", "log"}),
    frozenset({"sip", "sdp", "rtp", "audio", "realtime"}),
    frozenset({"call"}),
    frozenset({"api", "simulator"}),
    frozenset({"backends", "nat", "descriptors"}),
    frozenset({"trunks", "ways"}),
    frozenset({"app"}),
    frozenset({"demo", "remote"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)

# Floor 0 is files rather than packages, each with what it may import.
FLOOR_0: dict[str, set[str]] = {
    "text": set(),
    "log": {"text"},
    "config_file": set(),
    "config_values": {"config_file"},
    "config_backends": {"config_values"},
    "config_check": {"config_file", "config_values"},
    "config": {"config_file", "config_values", "config_backends", "config_check"},
    "config_notices": {"config", "config_file", "config_values"},
    "agents": {"config", "config_check", "config_values", "text"},
}

# Below what their floor would allow, and why.
STRICTER: dict[str, frozenset[str]] = {
    "simulator": frozenset({"call"}),  # the other end of a call must not be made of the same end
    **dict.fromkeys(FLOORS[1], frozenset(FLOOR_0)),  # protocols take plain arguments, never Config
}

# Marked ●: sockets, tasks, processes, files, the clock.
SHELL = frozenset(
    {
        "cli.py",
        "app.py",
        "descriptors.py",
        "demo.py",
        "remote.py",
        "trunks.py",
        "ways.py",
        "sip/resolver.py",
        "sip/transport.py",
        "sip/connection.py",
        "sip/datagram.py",
        "sip/sockets.py",
        "sip/tls.py",
        "rtp/port.py",
        "realtime/client.py",
        "call/call.py",
        "call/engine.py",
        "call/equipment.py",
        "call/journal.py",
        "call/model.py",
        "call/recorder.py",
        "call/recording.py",
        "call/sound_file.py",
        "call/switchboard.py",
        "call/ticker.py",
        "api/calls.py",
        "api/server.py",
        "simulator/server.py",
        "simulator/phone.py",
        "simulator/handset.py",
        "simulator/espeak.py",
    }
)

# fmt: off
WORLD = frozenset({
    "asyncio", "concurrent", "multiprocessing", "threading", "subprocess", "signal",
    "socket", "ssl", "select", "selectors", "http.client", "urllib.request",
    "websockets", "aiohttp",
    "time", "random", "secrets", "uuid",
    "os", "pathlib", "shutil", "tempfile", "mmap", "fcntl", "logging", "ctypes", "importlib",
})
# fmt: on

# Pure but for one thing, which is their subject.
EXEMPT: dict[str, frozenset[str]] = {
    "config_file.py": frozenset({"pathlib"}),  # reads the configuration
    "config.py": frozenset({"pathlib"}),  # some values are paths; nothing is opened
    "log.py": frozenset({"logging"}),  # sets up logging
    "audio/libopus.py": frozenset({"ctypes", "importlib", "pathlib"}),  # finds and loads libopus
}

# Calls that reach for the world without an import.
REACHING = re.compile(
    r"(open|input|print|breakpoint|__import__|eval|exec|(\w+\.)*(datetime|date)\.(now|utcnow|today))\(.*"
    r"|(np|numpy)\.random\.((?!default_rng)\w+\(.*|default_rng\(\))",  # a seeded one is no chance
    re.DOTALL,
)


def sources() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))


def unit(name: str) -> str:
    """The package of a file, or the file itself where it is at the top."""
    return name.split("/")[0].removesuffix(".py")


MODULES = [name for name in sources() if not name.endswith("__init__.py")]
PURE = [name for name in MODULES if name not in SHELL and name != "__main__.py"]


FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[str]:
    """Each imported name, absolute: `from ..rtp import port` is gateway.rtp.port."""
    package = ["gateway", *name.split("/")[:-1]]
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_units(name: str) -> set[str]:
    """The units of the gateway that a file imports, its own left out."""
    own = (module.split(".") for module in imports(name) if module.startswith("gateway."))
    return {parts[1] for parts in own} - {unit(name)}


def floor(name: str) -> int:
    if name in FLOOR_0:
        return 0
    [level] = [level for level, units in enumerate(FLOORS) if name in units]
    return level


def docstring(name: str) -> str:
    return ast.get_docstring(tree(name)) or ""


class TestFloors:
    """A package imports only from floors below, never sideways."""

    @pytest.mark.parametrize("name", MODULES)
    def test_imports_only_from_below(self, name: str) -> None:
        for other in imported_units(name):
            if unit(name) in FLOOR_0:
                assert other in FLOOR_0[unit(name)], f"{name} imports {other}"
            else:
                assert floor(other) < floor(unit(name)), f"{name} imports {other}"
                assert other not in STRICTER.get(unit(name), ()), f"{name} imports {other}"

    def test_every_file_has_a_floor(self) -> None:
        known = frozenset(FLOOR_0).union(*FLOORS)
        assert {unit(name) for name in MODULES} <= known

    def test_a_package_file_is_only_a_map(self) -> None:
        for name in sources():
            if name.endswith("__init__.py"):
                assert len(tree(name).body) == 1, f"{name} holds more than its docstring"


class TestWorld:
    """Only the shell touches the world."""

    @pytest.mark.parametrize("name", PURE)
    def test_a_pure_file_imports_nothing_of_it(self, name: str) -> None:
        touched = {
            known
            for known in WORLD
            for module in imports(name)
            if module == known or module.startswith(f"{known}.")
        }
        assert touched <= EXEMPT.get(name, frozenset()), f"{name} is pure, and imports {touched}"

    @pytest.mark.parametrize("name", PURE)
    def test_a_pure_file_reaches_for_nothing(self, name: str) -> None:
        calls = (node for node in ast.walk(tree(name)) if isinstance(node, ast.Call))
        for call in calls:
            assert not REACHING.fullmatch(ast.unparse(call)), f"{name}:{call.lineno}"

    def test_the_list_is_not_longer_than_the_code(self) -> None:
        assert set(EXEMPT) | SHELL <= set(MODULES)


class TestReader:
    """The reader is led."""

    @pytest.mark.parametrize("name", MODULES)
    def test_every_file_says_what_it_is(self, name: str) -> None:
        assert docstring(name)

    @pytest.mark.parametrize("name", sorted(SHELL))
    def test_a_shell_file_says_so(self, name: str) -> None:
        assert "●" in docstring(name) or "shell" in docstring(name).lower()

    @pytest.mark.parametrize("name", PURE)
    def test_a_pure_file_does_not_claim_to_be_shell(self, name: str) -> None:
        assert "●" not in docstring(name).splitlines()[0]

    @pytest.mark.parametrize("name", [name for name in MODULES if name != "__main__.py"])
    def test_the_map_of_its_package_has_it(self, name: str) -> None:
        package = docstring(f"{name.rpartition('/')[0]}/__init__.py".removeprefix("/"))
        stem = name.rpartition("/")[2].removesuffix(".py")
        assert re.search(rf"\b{stem}\b", package), f"no {stem} in the map of its package"

    @pytest.mark.parametrize("name", sorted({unit(name) for name in MODULES} - {"__main__"}))
    def test_the_readme_has_it(self, name: str) -> None:
        """Each folder, and each file beside the folders; `config` stands for its parts."""
        readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
        word = "config" if name.startswith("config_") else name
        assert re.search(rf"\b{word}\b", readme), f"no {word} in README.md"


def does_something(name: str) -> bool:
    """Files of values alone (fields and no function) are tested where they are used."""
    functions = [node for node in ast.walk(tree(name)) if isinstance(node, FUNCTION)]
    return name != "__main__.py" and bool(functions)


class TestMirror:
    """`tests/` mirrors `gateway/` file for file."""

    @pytest.mark.parametrize("name", [name for name in MODULES if does_something(name)])
    def test_every_file_has_its_test(self, name: str) -> None:
        folder, _, file = name.rpartition("/")
        test = Path("tests", folder, f"test_{file}")
        assert (REPOSITORY / test).is_file(), f"no {test}"

    def test_every_test_has_its_file(self) -> None:
        """A file of many chapters may have several: test_conversation_truncate.py."""
        for package in ("", *sorted({unit(name) for name in MODULES if "/" in name})):
            stems = [path.stem for path in (ROOT / package).glob("*.py")]
            for path in (REPOSITORY / "tests" / package).glob("test_*.py"):
                subject = path.stem.removeprefix("test_")
                found = any(subject == stem or subject.startswith(f"{stem}_") for stem in stems)
                assert found or path.name == Path(__file__).name, f"{path} tests nothing of ours"

    def test_every_folder_of_tests_is_a_package(self) -> None:
        for path in (REPOSITORY / "tests").rglob("test_*.py"):
            assert (path.parent / "__init__.py").is_file(), path.parent
