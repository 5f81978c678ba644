"""Resolver ●: asks DNS where peers are, off the call path. Shell around locate.py and answers.py.

`locate` is a transport's locator: with all answers at hand it returns the targets themselves, in
the same turn, else something to wait for, at most 4 s. A name that is asked for twice at once is
asked once. Names that are kept (trunks) are asked again ahead of their end, so that no call waits.

The servers are those of resolv.conf, by dnspython, which takes a random number and a random port
for each question and passes over what does not answer it; where there is no resolv.conf, the
operating system is asked, which knows addresses only. /etc/hosts comes before either, and
`localhost` is always this machine (RFC 6761 §6.3).
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.rdata
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from .address import Uri
from .answers import Answers
from .locate import ALL, Answer, Means, Naptr, Pick, Question, Record, Search, Srv, Target, find
from .scope import parse_ip

EACH: Final = 2.0  # s for one question
LIFETIME: Final = (
    1.9  # s in which the servers are to be done with it: they say why, a clock does not
)
TOTAL: Final = 4.0  # s for all questions of one URI
ATTEMPT: Final = 0.8  # s for one server to answer, then the next one, or the same again
MAX_RECORDS: Final = 256  # of one answer
OS_TTL: Final = 60.0  # s, the operating system does not say

HOSTS: Final = Path("/etc/hosts")
RESOLV_CONF: Final = Path("/etc/resolv.conf")


class Unanswered(Exception):
    """No server gave an answer; the text says why."""


class NoSuchName(Exception):
    """A server says that there is no such name."""


class Reply(NamedTuple):
    """All the records that there are for a question, perhaps none."""

    records: Answer
    ttl: float  # s


# Raises Unanswered or NoSuchName.
Ask = Callable[[Question], Awaitable[Reply]]


def pick(highest: int) -> int:
    """A random whole number up to `highest`."""
    return secrets.randbelow(highest + 1)


class Resolver:
    """All that one process knows of where its peers are.

    `on_trouble(question, reason)` is called when a question is not answered any more; not again
    until it was.
    """

    def __init__(
        self,
        *,
        ask: Ask | None = None,
        means: Means = ALL,
        pick: Pick = pick,
        on_trouble: Callable[[Question, str], None] = lambda question, reason: None,
        hosts: Path = HOSTS,
    ) -> None:
        self._ask = ask or Dns()
        self._means = means
        self._pick = pick
        self._on_trouble = on_trouble
        self._hosts = Hosts(hosts)
        self._loop = asyncio.get_running_loop()
        self._answers = Answers()
        self._asking: dict[Question, asyncio.Task[None]] = {}
        self._kept: dict[Uri, asyncio.Task[None]] = {}

    def locate(self, uri: Uri) -> Sequence[Target] | Awaitable[Sequence[Target]]:
        """Where requests to `uri` go; none if nobody is there. A `Locator`; it does not raise."""
        known = self._known_last if _place(uri) in self._kept else self._known
        search = find(uri, self._pick, self._means)
        try:
            questions = next(search)
            while True:
                answers = [known(question) for question in questions]
                if any(answer is None for answer in answers):
                    return self._locate(search, questions)
                questions = search.send([answer for answer in answers if answer is not None])
        except StopIteration as found:
            targets: list[Target] = found.value
            return targets

    def keep(self, uri: Uri) -> None:
        """Always know where `uri` is, from now on."""
        place = _place(uri)
        if place not in self._kept:
            self._kept[place] = self._loop.create_task(self._keep(place))

    async def close(self) -> None:
        """Ask no more."""
        tasks = [*self._kept.values(), *self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _locate(self, search: Search, questions: Sequence[Question]) -> Sequence[Target]:
        deadline = self._loop.time() + TOTAL
        try:
            while True:
                await self._settle(questions, self._known, deadline)
                questions = search.send([self._known_last(it) or () for it in questions])
        except StopIteration as found:
            targets: list[Target] = found.value
            return targets

    async def _settle(
        self,
        questions: Sequence[Question],
        known: Callable[[Question], Answer | None],
        deadline: float,
    ) -> None:
        """Ask what is not known, and wait for it as long as there is time."""
        tasks = [self._asked(it) for it in questions if known(it) is None]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, deadline - self._loop.time()))

    def _known(self, question: Question) -> Answer | None:
        own = self._hosts.get(question)
        return own if own is not None else self._answers.get(question, self._loop.time())

    def _known_last(self, question: Question) -> Answer | None:
        own = self._hosts.get(question)
        return own if own is not None else self._answers.get_last(question, self._loop.time())

    def _asked(self, question: Question) -> asyncio.Task[None]:
        """The task that asks; one, however many wait for it."""
        task = self._asking.get(question)
        if task is None:
            task = self._asking[question] = self._loop.create_task(self._put(question))
            task.add_done_callback(lambda _: self._asking.pop(question))
        return task

    async def _put(self, question: Question) -> None:
        """Put a question to the servers, and note what became of it."""
        try:
            async with asyncio.timeout(EACH):
                reply = await self._ask(question)
        except NoSuchName:
            if self._answers.note_missing(question, self._loop.time()):
                self._on_trouble(question, "no such name any more")
        except (Unanswered, TimeoutError, OSError) as error:
            if self._answers.note_failure(question, self._loop.time()):
                self._on_trouble(question, str(error) or "no answer")
        else:
            self._answers.note(question, reply.records, reply.ttl, self._loop.time())

    async def _keep(self, place: Uri) -> None:
        while True:
            due = await self._refresh(place)
            if due is None:
                return  # an address: nothing to ask, ever
            await asyncio.sleep(max(due - self._loop.time(), 1.0))

    async def _refresh(self, place: Uri) -> float | None:
        """Ask what is due; return when something is due again."""
        search = find(place, self._pick, self._means)
        deadline = self._loop.time() + TOTAL
        due: list[float] = []
        try:
            questions = next(search)
            while True:
                await self._settle(questions, self._not_due, deadline)
                due += (at for it in questions if (at := self._answers.refresh_at(it)) is not None)
                questions = search.send([self._known_last(it) or () for it in questions])
        except StopIteration:
            return min(due, default=None)

    def _not_due(self, question: Question) -> Answer | None:
        due = self._answers.refresh_at(question)
        return self._known(question) if due is None or self._loop.time() < due else None


def _place(uri: Uri) -> Uri:
    """What of a URI says where it is."""
    params = tuple((name, (uri.param(name) or "").lower()) for name in ("transport", "maddr"))
    given = tuple(pair for pair in params if pair[1])
    return Uri(uri.scheme, None, uri.host.lower(), uri.port, given)


class Hosts:
    """A hosts file, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed: int | None = None
        self._addresses: dict[str, list[str]] = {}

    def get(self, question: Question) -> Answer | None:
        """The addresses of a name that stands there; None for another name.

        Who writes a name there means that address: such a name has no NAPTR or SRV.
        """
        self._read()
        labels = question.name.split(".")
        while len(labels) > 1 and labels[0].startswith("_"):
            del labels[0]
        found = self._addresses.get(".".join(labels))
        if found is None and labels[-1] == "localhost":
            found = ["127.0.0.1", "::1"]
        if found is None:
            return None
        family = {"A": 4, "AAAA": 6}.get(question.kind)
        return [it for it in found if (ip := parse_ip(it)) and ip.version == family]

    def _read(self) -> None:
        try:
            changed = self._path.stat().st_mtime_ns
            if changed == self._changed:
                return
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        self._changed, self._addresses = changed, {}
        for line in text.split("\n"):
            address, *names = line.partition("#")[0].split() or [""]
            if parse_ip(address):
                for name in names:
                    self._addresses.setdefault(name.lower().rstrip("."), []).append(address)


class Dns:
    """Asks the servers of resolv.conf, or the operating system where there is none."""

    def __init__(
        self, servers: dns.asyncresolver.Resolver | None = None, lifetime: float = LIFETIME
    ) -> None:
        self._servers = servers
        self._lifetime = lifetime
        self._given = servers is not None
        self._changed: int | None = None

    async def __call__(self, question: Question) -> Reply:
        if not self._given:
            self._read()
        if self._servers is None:
            return await ask_os(question)
        try:
            answer = await self._servers.resolve(
                question.name,
                question.kind,
                raise_on_no_answer=False,
                search="." not in question.name,
                lifetime=self._lifetime,
            )
        except dns.resolver.NXDOMAIN as error:
            raise NoSuchName(str(error)) from None
        except dns.exception.DNSException as error:
            raise Unanswered(str(error)) from None
        records = [it for rdata in [*answer][:MAX_RECORDS] if (it := _record(rdata)) is not None]
        return Reply(records, answer.chaining_result.minimum_ttl)

    def _read(self) -> None:
        """Follow resolv.conf: another network has other servers."""
        try:
            changed = RESOLV_CONF.stat().st_mtime_ns
        except OSError:
            changed = None
        if changed is not None and changed == self._changed:
            return
        self._changed, self._servers = changed, None
        with suppress(dns.resolver.NoResolverConfiguration, OSError, ValueError):
            self._servers = dns.asyncresolver.Resolver(str(RESOLV_CONF))
            self._servers.timeout = ATTEMPT


async def ask_os(question: Question) -> Reply:
    """Ask the operating system, which knows addresses only."""
    family = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}.get(question.kind)
    if family is None:
        return Reply((), OS_TTL)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(question.name, None, family=family, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            raise NoSuchName(str(error)) from None
        raise Unanswered(str(error)) from None
    except UnicodeError as error:  # a label that is empty or too long
        raise NoSuchName(str(error)) from None
    return Reply(list(dict.fromkeys(str(address[0]) for *_, address in found)), OS_TTL)


def _record(rdata: dns.rdata.Rdata) -> Record | None:
    match rdata:
        case A() | AAAA():
            return str(rdata.address)
        case SRV():
            target = rdata.target.to_text(omit_final_dot=True)
            return Srv(rdata.priority, rdata.weight, rdata.port, target)
        case NAPTR():
            flags, service, regexp = (
                text.decode("ascii", "replace")
                for text in (rdata.flags, rdata.service, rdata.regexp)
            )
            replacement = rdata.replacement.to_text(omit_final_dot=True)
            return Naptr(rdata.order, rdata.preference, flags, service, regexp, replacement)
        case _:
            return None
