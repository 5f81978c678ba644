"""The sound of the phone, against the gateway in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.calls.house import GATEWAY, house, noise, phone_on
from tests.clock import Network, run


def test_what_it_says_arrives_and_what_it_hears_is_kept(tmp_path: Path) -> None:
    """On the axis of the RTP timestamps, from the answer on."""

    async def main() -> None:
        script = {"turns": [{"say": "Good day to you, and what else"}]}
        async with house(tmp_path, script) as home, home.phone() as phone:
            media = await phone.dial("100", GATEWAY)
            await phone.say(noise(0.5))
            assert 25 <= phone.sent <= 27
            await phone.until_sound()
            await phone.until_silence()
            loud = np.abs(phone.recording().astype(int)) > 1000
            assert phone.media == media
            assert home.model.answers("input_audio_buffer.speech_started")
            assert 0.05 < loud.mean() < 0.9
            assert phone.heard[-1].source[0] == GATEWAY[0]

    run(main())


def test_keys_need_telephone_event() -> None:
    async def main() -> None:
        async with phone_on(Network()) as phone:
            with pytest.raises(ValueError, match="telephone-event"):
                await phone.press("1")

    run(main())


def test_before_the_first_packet_there_is_nothing_to_hear() -> None:
    async def main() -> None:
        async with phone_on(Network()) as phone:
            assert len(phone.recording()) == 0

    run(main())
