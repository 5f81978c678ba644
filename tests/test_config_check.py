"""All mistakes at once: each with its line and path, and what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from gateway.config import ConfigError, load
from gateway.config_check import explain, nearest
from gateway.config_file import Document


@pytest.fixture
def mistakes(tmp_path: Path) -> Any:
    def of(text: str, **environ: str) -> list[str]:
        """The mistakes of a text as `line: path: message`; [] where it loads."""
        path = tmp_path / "gateway.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load(path, environ)
        except ConfigError as error:
            return [str(problem).removeprefix(f"{path}:") for problem in error.problems]
        return []

    return of


BACKENDS = """\
backends:
  one: {provider: openai, api_key: k}
  two: {provider: openai, api_key: k}
"""


class TestAllAtOnce:
    def test_a_file_full_of_mistakes(self, mistakes: Any) -> None:
        text = """\
sip:
  listn: udp:0.0.0.0:5060
  max_calls: many
  listen: [udp:0.0.0.0:5060, 5061]
media:
  codecs: [PCMA, G729]
  ports: 29999-20000
backends:
  yandex:
    provider: yandex
    api_key: ${YANDEX_API_KEY}
agents:
  reception:
    backend: [yandx]
    voise: marina
    greeting: [hello]
    keypad: {terminator: "##", timeout: 0}
    tools: [hang_up, transfer]
routes:
  - {agent: receptoin, trunk: pbx}
api:
  listen: 0.0.0.0:8080
log: verbose
max_calls: 5
"""
        known = "known here: sip, media, trunks, backends, agents, routes, api, records, log"
        assert mistakes(text) == [
            "2: sip.listn: unknown key; did you mean listen?",
            "3: sip.max_calls: expected a whole number, for example 500",
            "4: sip.listen[1]: expected transport:address:port with udp, tcp or tls "
            "and an IP address, for example [udp:0.0.0.0:5060]",
            "6: media.codecs[1]: expected 'opus', 'G722', 'PCMA' or 'PCMU', "
            "for example [PCMA, PCMU]",
            "7: media.ports: expected two ports between 1024 and 65535, the smaller one first, "
            "for example 20000-29999",
            "9: backends.yandex.folder: missing, for example folder: ${YANDEX_FOLDER_ID}",
            "11: backends.yandex.api_key: YANDEX_API_KEY is not set in the environment; "
            "set it or write ${YANDEX_API_KEY:-default}",
            "14: agents.reception.backend[0]: no such backend; did you mean yandex?",
            "15: agents.reception.voise: unknown key; did you mean voice?",
            "16: agents.reception.greeting: expected a text, {file: greeting.wav} or null, "
            'for example "How can I help you?"',
            "17: agents.reception.keypad.terminator: expected one key of the telephone, "
            'for example "#"',
            "17: agents.reception.keypad.timeout: expected more than 0, for example 3.0",
            "18: agents.reception.tools: transfer needs a place to go to: add one under transfer",
            "20: routes[0].agent: no such agent; did you mean reception?",
            "20: routes[0].trunk: no such trunk; there is none",
            "22: api.listen: other machines can reach it: set api.token, "
            "or listen on 127.0.0.1:8080",
            "23: log: expected a mapping (key: value)",
            f"24: max_calls: unknown key; {known}",
        ]

    def test_syntax_and_content_are_one_list(self, mistakes: Any) -> None:
        assert mistakes("log: {level: loud}\nlog: {}\nsip: {x: !y 1}\n") == [
            "1: log.level: expected 'debug', 'info', 'warning' or 'error', for example info",
            "2: log: twice, first in line 1; keep one",
            "3: sip.x: the tag !y has no meaning here; remove it",
        ]

    def test_a_file_that_is_no_mapping(self, mistakes: Any) -> None:
        assert mistakes("- sip\n") == ["1: expected a mapping (key: value)"]
        assert mistakes("nonsense\n") == ["1: expected a mapping (key: value)"]


class TestExpectations:
    """A wrong value: what was expected, with an example."""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "records: {transcripts: perhaps}",
                "records.transcripts: expected true or false",
            ),
            ("records: {transcripts: []}", "records.transcripts: expected true or false"),
            (
                "records: {calls: 5}",
                "records.calls: expected a path as text, for example calls.jsonl",
            ),
            ("sip: []", "sip: expected a mapping (key: value)"),
            ("trunks: []", "trunks: expected a mapping (key: value)"),
            ("trunks: {a: 5}", "trunks.a: expected a mapping (key: value)"),
            ("routes: {}", "routes: expected a list"),
            ("sip: {max_calls: 0}", "sip.max_calls: expected at least 1, for example 500"),
            (
                "sip: {max_calls: 9999999}",
                "sip.max_calls: expected at most 1000000, for example 500",
            ),
            ("sip: {max_calls: true}", "sip.max_calls: expected a whole number, for example 500"),
            (
                "media: {rtp_timeout: .nan}",
                "media.rtp_timeout: expected a finite number, for example 30.0",
            ),
            (
                "media: {codecs: []}",
                "media.codecs: expected at least one, for example [PCMA, PCMU]",
            ),
            (
                "trunks: {a: {username: 74951234567}}",
                'trunks.a.username: expected text (write it in quotes), for example "74951234567"',
            ),
            (
                "backends: {s: {provider: simulator, greeting: 5}}",
                "backends.s.greeting: expected text (write it in quotes), for example Hello.",
            ),
            (
                "agents: {a: {variables: {caller: X-A}}}",
                "agents.a.variables.caller: expected another name; "
                "caller, called, trunk, now are there already, for example {clinic: X-Clinic}",
            ),
            (
                "agents: {a: {turn_detection: {treshold: 1}}}",
                "agents.a.turn_detection.treshold: unknown key; did you mean threshold?",
            ),
            (
                "agents: {a: {mcp: [{labl: x, url: 'https://h/'}]}}",
                "agents.a.mcp[0].label: missing",
            ),
            (
                "agents: {a: {http_tools: {f: {url: 'https://h/'}}}}",
                "agents.a.http_tools.f.description: missing",
            ),
            (
                "agents: {a: {transfer: {x: nowhere}}}",
                "agents.a.transfer.x: expected a URI with sip:, sips: or tel:, "
                "for example {sales: sip:sales@192.0.2.10}",
            ),
            (
                "trunks: {a: {allow: 192.0.2.1/24}}",
                "trunks.a.allow[0]: expected a network without host bits: 192.0.2.0/24, "
                "for example [192.0.2.10, 198.51.100.0/28]",
            ),
        ],
    )
    def test_words(self, mistakes: Any, text: str, message: str) -> None:
        assert f"1: {message}" in mistakes(text)

    def test_what_has_no_words_of_ours_has_pydantics(self) -> None:
        class Short(BaseModel):
            name: Annotated[str, Field(max_length=1)]

        document = Document("x.yaml", {"name": "long"})
        with pytest.raises(ValidationError) as caught:
            Short.model_validate(document.tree)
        explain(caught.value, Short, document)
        [problem] = document.problems
        assert problem.message == "String should have at most 1 character"


class TestBackendSections:
    """A backend is told by its provider; its mistakes are those of that provider."""

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ("{}", ".provider: missing"),
            (
                "{provider: opnai}",
                ".provider: expected 'yandex', 'openai', 'azure', 'compatible', 'simulator'",
            ),
            (
                "{provider: openai}",
                ".api_key: missing, for example api_key: ${OPENAI_API_KEY}",
            ),
            ("{provider: openai, api_key: k, folder: f}", ".folder: unknown key; known here: "),
            ("{provider: simulator, spedd: 2}", ".spedd: unknown key; did you mean speed?"),
            (
                "{provider: yandex, folder: f}",
                ": expected api_key or iam_token, such as api_key: ${YANDEX_API_KEY}",
            ),
            (
                "{provider: compatible, url: http://h/, model: m}",
                ".url: expected ws://… or wss://…, for example ws://127.0.0.1:9100/v1/realtime",
            ),
            (
                "{provider: simulator, input_format: {rate: 11025}}",
                ".input_format.rate: expected one of 8000, 16000, 24000, 44100, 48000, "
                "for example 24000",
            ),
            (
                "{provider: simulator, output_format: {type: audio/pcma, rate: 16000}}",
                ".output_format: expected rate: 8000 with audio/pcma",
            ),
            ("[]", ": expected a mapping (key: value)"),
        ],
    )
    def test_one(self, mistakes: Any, keys: str, message: str) -> None:
        [found] = mistakes(f"backends: {{b: {keys}}}\nagents: {{a: {{}}}}")
        assert found.startswith(f"1: backends.b{message}")


class TestTrunks:
    def test_who_registers_has_a_name(self, mistakes: Any) -> None:
        as_whom = ["1: trunks.p.register: as whom? write username"]
        assert mistakes("trunks: {p: {register: 'sip:p.example'}}") == as_whom
        assert mistakes("trunks: {p: {register: 'sip:p.example', username: ''}}") == as_whom
        assert mistakes("trunks: {p: {register: 'sip:p.example', username: u}}") == []

    def test_a_user_of_one_realm_is_one(self, mistakes: Any) -> None:
        """Or nobody could tell which trunk has proven its password."""
        text = "trunks: {a: {users: {'1': x}}, b: {users: {'1': x, '2': y}, realm: %s}}"
        assert mistakes(text % "gateway") == [
            "1: trunks.b.users.1: is a user of a as well; one of the two trunks needs another realm"
        ]
        assert mistakes(text % "other") == []

    @pytest.mark.parametrize("user", ["a b", "a:b", "<a>", 'a"'])
    def test_no_name_of_a_user(self, mistakes: Any, user: str) -> None:
        [found] = mistakes(f"trunks: {{a: {{users: {{'{user}': x}}}}}}")
        assert "expected a user's name without blanks, quotes, colons and brackets" in found


class TestAgents:
    def test_an_agent_names_its_backends(self, mistakes: Any) -> None:
        text = (
            BACKENDS
            + """\
agents:
  a:
    backend:
      - one
      - tow
  b: {backend: thre}
routes: [{agent: a}]
"""
        )
        assert mistakes(text) == [
            "8: agents.a.backend[1]: no such backend; did you mean two?",
            "9: agents.b.backend: no such backend; known here: one, two, simulator",
        ]

    def test_the_simulator_needs_no_entry(self, mistakes: Any) -> None:
        assert mistakes("agents: {a: {backend: simulator}}") == []

    def test_which_of_two_backends(self, mistakes: Any) -> None:
        assert mistakes(BACKENDS + "agents:\n  a: {}\n") == [
            "5: agents.a: missing backend; write which one answers: one, two"
        ]

    def test_no_backend_has_a_key(self, mistakes: Any) -> None:
        text = BACKENDS.replace("k}", '""}')
        no_key = "none of them has an api_key, so no call could be answered"
        assert mistakes(f"{text}agents: {{a: {{backend: [one, two]}}}}") == [
            f"4: agents.a.backend: {no_key}"
        ]
        assert mistakes(f"{text}agents: {{a: {{backend: [one, simulator]}}}}") == []

    def test_one_of_them_has_a_key(self, mistakes: Any) -> None:
        text = BACKENDS.replace(
            "two: {provider: openai, api_key: k", "two: {provider: openai, api_key: ''"
        )
        assert mistakes(f"{text}agents: {{a: {{backend: [one, two]}}}}") == []

    def test_some_servers_want_none(self, mistakes: Any) -> None:
        text = "backends: {c: {provider: compatible, url: 'ws://h/', model: m, api_key: ''}}\n"
        assert mistakes(text + "agents: {a: {backend: c}}") == []

    def test_a_key_that_is_not_set_is_told_once(self, mistakes: Any) -> None:
        text = "backends: {o: {provider: openai, api_key: '${KEY}'}}\nagents: {a: {backend: o}}"
        assert len(mistakes(text)) == 1

    def test_a_name_that_is_not_set_is_told_once(self, mistakes: Any) -> None:
        [found] = mistakes(BACKENDS + "agents: {a: {backend: '${FIRST}x'}}")
        assert "FIRST is not set" in found
        [found] = mistakes(BACKENDS + "agents: {a: {backend: ''}}")
        assert found.startswith("4: agents.a.backend[0]: expected text, not an empty one")

    def test_a_transfer_needs_a_place(self, mistakes: Any) -> None:
        text = "agents: {a: {tools: [transfer], transfer: {x: 'tel:+7'}}}"
        assert mistakes(text) == []
        assert mistakes("agents: {a: {tools: transfer}}") == [
            "1: agents.a.tools: transfer needs a place to go to: add one under transfer"
        ]

    def test_wrong_kinds_are_told_once(self, mistakes: Any) -> None:
        """The rules between keys leave to pydantic what is no mapping and no text."""
        assert mistakes("agents: {a: 5}") == ["1: agents.a: expected a mapping (key: value)"]
        assert mistakes("agents: {a: {backend: 5}}") == [
            "1: agents.a.backend: expected a list, for example [yandex, openai]"
        ]
        assert mistakes("agents: {a: {backend: []}}") == [
            "1: agents.a.backend: expected at least one, for example [yandex, openai]"
        ]
        assert mistakes("agents: {a: {backend: [5, x]}}") == [
            "1: agents.a.backend[1]: no such backend; known here: simulator",
            "1: agents.a.backend[0]: expected text (write it in quotes), "
            "for example [yandex, openai]",
        ]


class TestRoutes:
    def test_several_agents_need_routes(self, mistakes: Any) -> None:
        assert mistakes("agents:\n  a: {}\n  b: {}\nroutes: []\n") == [
            "4: routes: missing; write which of a, b answers which call"
        ]

    def test_a_route_names_what_there_is(self, mistakes: Any) -> None:
        text = "trunks: {pbx: {}}\nagents: {a: {}}\nroutes:\n  - {agent: a, trunk: pbx}\n"
        assert mistakes(text) == []
        assert mistakes(text + "  - {agent: b, trunk: pbx2}\n") == [
            "5: routes[1].agent: no such agent; known here: a",
            "5: routes[1].trunk: no such trunk; did you mean pbx?",
        ]

    def test_without_agents_there_is_nobody_to_name(self, mistakes: Any) -> None:
        assert mistakes("routes: [{agent: a}]") == [
            "1: routes[0].agent: no such agent; there is none"
        ]

    def test_wrong_kinds_are_told_once(self, mistakes: Any) -> None:
        assert mistakes("agents: {a: {}}\nroutes: [5, {agent: 5}, {to: 100, agent: a}]") == [
            "2: routes[0]: expected a mapping (key: value)",
            "2: routes[1].agent: expected text (write it in quotes), for example reception",
            '2: routes[2].to: expected text (write it in quotes), for example "+7495*"',
        ]

    def test_an_unset_name_is_told_once(self, mistakes: Any) -> None:
        [found] = mistakes("agents: {a: {}}\nroutes: [{agent: '${WHO}'}]")
        assert "WHO is not set" in found


class TestOpenApi:
    """Without a token it listens on loopback only, and refuses to start otherwise."""

    @pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "192.168.1.5:8080"])
    @pytest.mark.parametrize("token", ["", ", token: ''", ", token: null", ", token: '${T:-}'"])
    def test_closed(self, mistakes: Any, listen: str, token: str) -> None:
        [found] = mistakes(f"api: {{listen: '{listen}'{token}}}")
        assert found.startswith("1: api.listen: other machines can reach it")

    @pytest.mark.parametrize("listen", ["127.0.0.1:8080", "[::1]:8080", "localhost:0"])
    def test_loopback(self, mistakes: Any, listen: str) -> None:
        assert mistakes(f"api: {{listen: '{listen}'}}") == []

    def test_with_a_token(self, mistakes: Any) -> None:
        assert mistakes("api: {listen: '0.0.0.0:80', token: '${T}'}", T="t") == []

    def test_a_token_that_is_not_set_is_told_once(self, mistakes: Any) -> None:
        [found] = mistakes("api: {listen: '0.0.0.0:80', token: '${T}'}")
        assert "T is not set" in found


class TestCertificate:
    def test_with_its_key(self, mistakes: Any) -> None:
        assert mistakes("sip: {tls: {certificate: c.pem, private_key: k.pem}}") == []

    @pytest.mark.parametrize("given", ["certificate", "private_key"])
    def test_alone(self, mistakes: Any, given: str) -> None:
        assert mistakes(f"sip: {{tls: {{{given}: x.pem}}}}") == [
            f"1: sip.tls.{given}: alone is no use; write certificate and private_key, or none"
        ]


def test_the_nearest_word() -> None:
    assert nearest("voise", ["voice", "tools"]) == "did you mean voice?"
    assert nearest("xyz", ["voice", "tools"]) == "known here: voice, tools"
    assert nearest("xyz", []) == "there is none"
