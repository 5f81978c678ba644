"""What the dialects say of themselves."""

from __future__ import annotations

import pytest

from gateway.simulator.dialect import OPENAI, YANDEX, dialect


def test_a_dialect_is_found_by_its_name() -> None:
    assert dialect("yandex") is YANDEX
    with pytest.raises(ValueError, match="no dialect 'azure'; there are openai, compatible, yan"):
        dialect("azure")


def test_the_echo_of_a_format_and_of_the_modalities() -> None:
    pcm = {"type": "audio/pcm", "rate": 24000}
    assert OPENAI.echo(pcm) == pcm
    assert YANDEX.echo(pcm) == {"type": "audio/pcm", "rate": None}
    assert OPENAI.modalities("text") == ["text"]
    assert YANDEX.modalities("text") == ["text", "audio"]
