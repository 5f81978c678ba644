"""How the servers that the simulator imitates differ, as values (pure).

`openai` is the published GA protocol to the letter. `yandex` is what was seen of Yandex AI
Studio: `rate: null` in the echo, `conversation.item.created` repeated instead of added and
done, the transcript as text deltas, audio at content_index 1, cumulative transcriptions.
`compatible` stands for the servers that speak OpenAI's events at other sample rates.

A difference is a field here; no other file asks for a dialect by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Dialect:
    name: str
    strict: bool = True  # unknown parameters are refused, session.type is required
    rates: tuple[int, int] = (24000, 24000)  # Hz, lowest and highest of audio/pcm
    g711: bool = True
    echoes_rate: bool = True  # else the session says rate: null, whatever was asked
    both_modalities: bool = False  # the echo says text and audio, whatever was asked
    updates_twice: bool = False  # session.updated comes two times
    beta_item_events: bool = False  # item.created, empty and then filled, for added and done
    text_part: bool = False  # an audio reply has a text part at 0; audio is at 1
    assistant_items: bool = True  # may a client create assistant messages
    clears: bool = True  # input_audio_buffer.clear is there
    always_transcribes: bool = False  # cumulative, and repeated as it grows
    rate_limits: bool = True  # rate_limits.updated follows response.created

    def echo(self, format: dict[str, Any]) -> dict[str, Any]:
        """An audio format as the server repeats it."""
        return format if self.echoes_rate else format | {"rate": None}

    def modalities(self, modality: str) -> list[str]:
        """`output_modalities` as the server repeats them."""
        return ["text", "audio"] if self.both_modalities else [modality]


OPENAI = Dialect("openai")
COMPATIBLE = replace(OPENAI, name="compatible", rates=(8000, 48000))
YANDEX = Dialect(
    "yandex",
    strict=False,
    rates=(8000, 48000),
    g711=False,
    echoes_rate=False,
    both_modalities=True,
    updates_twice=True,
    beta_item_events=True,
    text_part=True,
    assistant_items=False,
    clears=False,
    always_transcribes=True,
    rate_limits=False,
)

DIALECTS = {dialect.name: dialect for dialect in (OPENAI, COMPATIBLE, YANDEX)}


def dialect(name: str) -> Dialect:
    """The dialect of that name; ValueError says which there are."""
    try:
        return DIALECTS[name]
    except KeyError:
        raise ValueError(f"no dialect {name!r}; there are {', '.join(DIALECTS)}") from None
