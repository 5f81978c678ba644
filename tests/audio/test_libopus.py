"""The library is found or asked for, and its errors are ours."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from gateway.audio import libopus
from gateway.audio.frame import AudioError, silence
from gateway.audio.libopus import DecoderState, EncoderState


@pytest.fixture
def _again() -> Iterator[None]:
    """As at start: nothing is loaded yet."""
    libopus.library.cache_clear()
    yield
    libopus.library.cache_clear()


@pytest.mark.usefixtures("_again")
class TestLibrary:
    def test_the_one_of_pyav_comes_first(self) -> None:
        """So everybody has the same, and one that is new."""
        libopus.library.cache_clear()
        assert "av" in libopus.library()._name

    def test_macos_has_it_elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        library = tmp_path / "av" / ".dylibs" / "libopus.0.dylib"
        library.parent.mkdir(parents=True)
        library.touch()
        spec = ModuleSpec("av", None, origin=str(tmp_path / "av" / "__init__.py"))
        monkeypatch.setattr(libopus, "find_spec", lambda _name: spec)
        assert next(libopus._names()) == str(library)

    def test_without_pyav_the_systems(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(libopus, "find_spec", lambda _name: None)
        assert list(libopus._names()) == ["libopus.so.0", "libopus.0.dylib", "opus.dll"]

    def test_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(libopus, "_names", lambda: iter(["/no/such/libopus.so"]))
        with pytest.raises(OSError, match="install the package `av`"):
            libopus.library()

    def test_a_library_that_is_another_is_passed_over(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = ctypes.PyDLL(None)._name  # this process, which has no Opus
        monkeypatch.setattr(libopus, "_names", lambda: iter([other]))
        with pytest.raises(OSError, match="libopus"):
            libopus.library()


class TestStates:
    def test_requests(self) -> None:
        state = EncoderState(16000)
        state.set(libopus.SET_BITRATE, 20_000)
        assert state.get(libopus.SET_BITRATE + 1) == 20_000  # OPUS_GET_BITRATE
        assert 0 < state.get(libopus.GET_LOOKAHEAD) < 160

    def test_a_value_out_of_range(self) -> None:
        with pytest.raises(ValueError, match="libopus: invalid argument"):
            EncoderState(16000).set(libopus.SET_COMPLEXITY, 11)

    def test_a_request_that_it_does_not_know(self) -> None:
        with pytest.raises(ValueError, match="libopus: request not implemented"):
            EncoderState(16000).get(1)

    @pytest.mark.parametrize("count", [0, 1, 480, 800])
    def test_frames_have_few_lengths(self, count: int) -> None:
        """RFC 6716 §2.1.4: no 30 and no 50 ms."""
        with pytest.raises(ValueError, match="libopus"):
            EncoderState(16000).encode(silence(count))

    def test_no_more_than_120_ms(self) -> None:
        with pytest.raises(ValueError):  # noqa: PT011  numpy's words
            EncoderState(16000).encode(silence(2000))

    def test_samples_that_do_not_lie_in_one_piece(self) -> None:
        sound = np.arange(640, dtype=np.int16)
        apart, together = EncoderState(16000), EncoderState(16000)
        assert apart.encode(sound[::2]) == together.encode(sound[::2].copy())

    def test_a_broken_packet(self) -> None:
        with pytest.raises(AudioError, match="libopus: corrupted stream"):
            DecoderState(16000).decode(b"\x4b")

    def test_a_gap_that_is_no_whole_2_5_ms(self) -> None:
        with pytest.raises(AudioError, match="libopus"):
            DecoderState(16000).conceal(41)
