"""Profiles: where to connect, as whom, and what each provider does not take."""

from __future__ import annotations

import pytest

from gateway.realtime.profile import AudioFormat, Profile, compatible, openai, simulator, yandex

PCM_44K = AudioFormat("audio/pcm", 44100)
PCMU = AudioFormat("audio/pcmu", 8000)


class TestAudioFormat:
    """How sound is written."""

    def test_pcm_says_its_rate(self) -> None:
        """A server left to its own default may send 44.1 kHz: the rate is always said."""
        assert AudioFormat().settings() == {"type": "audio/pcm", "rate": 24000}

    def test_g711_has_no_rate(self) -> None:
        """The format of G.711 has no rate field, and is the codec of a phone."""
        assert PCMU.settings() == {"type": "audio/pcmu"}
        assert (PCMU.law, AudioFormat().law) == ("PCMU", None)
        assert AudioFormat("audio/pcma", 8000).settings() == {"type": "audio/pcma"}

    @pytest.mark.parametrize(("kind", "rate"), [("audio/opus", 48000), ("audio/pcmu", 24000)])
    def test_refuses_what_there_is_not(self, kind: str, rate: int) -> None:
        """There are three types, and G.711 is 8 kHz."""
        with pytest.raises(ValueError, match="audio"):
            AudioFormat(kind, rate)


class TestYandex:
    """Yandex AI Studio."""

    def test_by_api_key(self) -> None:
        """The model is a whole gpt:// URI in the query, percent-encoded."""
        profile = yandex(folder="b1gfolder", model="speech-realtime-x", api_key="AQVN-key")
        assert profile.url == (
            "wss://ai.api.cloud.yandex.net/v1/realtime"
            "?model=gpt%3A%2F%2Fb1gfolder%2Fspeech-realtime-x"
        )
        assert profile.headers == (("Authorization", "Api-Key AQVN-key"),)
        assert profile.host == "ai.api.cloud.yandex.net"

    def test_by_iam_token(self) -> None:
        """An IAM token is a Bearer."""
        profile = yandex(folder="f", model="m", iam_token="t1.token")
        assert profile.headers == (("Authorization", "Bearer t1.token"),)

    @pytest.mark.parametrize("key", [None, "k"])
    def test_needs_one_key(self, key: str | None) -> None:
        """Neither or both is a mistake."""
        with pytest.raises(ValueError, match="either api_key or iam_token"):
            yandex(folder="f", model="m", api_key=key, iam_token=key)

    def test_model_as_a_whole_uri(self) -> None:
        """A model that is a URI already is not put into the folder."""
        profile = yandex(folder="f", model="gpt://other/m/latest", api_key="k")
        assert profile.url.endswith("?model=gpt%3A%2F%2Fother%2Fm%2Flatest")

    def test_another_url(self) -> None:
        """Host and path may be changed; the model is added to what is there."""
        for url, whole in {
            "wss://host/v2": "wss://host/v2?model=gpt%3A%2F%2Ff%2Fm",
            "wss://host/v2?": "wss://host/v2?model=gpt%3A%2F%2Ff%2Fm",
            "wss://host/v2?a=1": "wss://host/v2?a=1&model=gpt%3A%2F%2Ff%2Fm",
            "wss://host/v2?model=n": "wss://host/v2?model=n",
        }.items():
            assert yandex(folder="f", model="m", api_key="k", url=url).url == whole

    def test_rates(self) -> None:
        """24 kHz both ways; its samples use 44.1 kHz, so a rate is an argument."""
        profile = yandex(folder="f", model="m", api_key="k", output_format=PCM_44K)
        assert (profile.input, profile.output) == (AudioFormat("audio/pcm", 24000), PCM_44K)

    def test_what_it_does_not_take(self) -> None:
        """No clear events, no item that the assistant said; and two functions are its own."""
        profile = yandex(folder="f", model="m", api_key="k")
        assert profile.builtin_tools == {"web_search", "file_search"}
        assert profile.refuses == {"input_audio_buffer.clear", "output_audio_buffer.clear"}
        assert not profile.assistant_items


class TestOpenai:
    """OpenAI, and those who speak as it does."""

    def test_url_and_header(self) -> None:
        """A Bearer, and no OpenAI-Beta."""
        profile = openai(api_key="sk-key", model="gpt-realtime-2.1")
        assert profile.url == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
        assert profile.headers == (("Authorization", "Bearer sk-key"),)
        assert profile.assistant_items

    def test_g711_goes_through(self) -> None:
        """Formats are arguments."""
        profile = openai(api_key="k", model="m", input_format=PCMU, output_format=PCMU)
        assert (profile.input, profile.output) == (PCMU, PCMU)

    def test_output_audio_buffer_is_not_ours(self) -> None:
        """output_audio_buffer.clear exists where the server owns the line, and nowhere else."""
        assert openai(api_key="k", model="m").refuses == {"output_audio_buffer.clear"}

    @pytest.mark.parametrize("key", [None, "none"])
    def test_compatible_without_a_key(self, key: str | None) -> None:
        """A local server is sent no header."""
        profile = compatible(url="ws://127.0.0.1:9100/v1/realtime", model="any", api_key=key)
        assert profile.headers == ()
        assert profile.secrets == ()
        assert profile.host == "127.0.0.1:9100"

    def test_compatible_with_a_key(self) -> None:
        """With one it is a Bearer."""
        profile = compatible(url="ws://host/v1/realtime", model="a b/c", api_key="k")
        assert profile.headers == (("Authorization", "Bearer k"),)
        assert profile.url == "ws://host/v1/realtime?model=a%20b%2Fc"

    def test_says_what_others_do_not_assume(self) -> None:
        """Some servers create no response and stop none unless told to."""
        vad = compatible(url="ws://host", model="m").turn_detection
        assert vad["create_response"] is vad["interrupt_response"] is True


class TestSimulator:
    """Our own server."""

    def test_dialects(self) -> None:
        """It is told apart from the real ones by name, and like them in all else."""
        assert simulator("ws://127.0.0.1:1/v1/realtime").assistant_items
        profile = simulator("ws://127.0.0.1:1/v1/realtime", "yandex")
        assert (profile.name, profile.headers) == ("simulator", ())
        assert not profile.assistant_items
        assert profile.url.endswith("?model=gpt%3A%2F%2Fsimulator%2Fsimulator")

    def test_formats(self) -> None:
        """It takes those of every provider."""
        profile = simulator("ws://127.0.0.1:1", input_format=PCMU, output_format=PCM_44K)
        assert (profile.input, profile.output) == (PCMU, PCM_44K)


class TestSecrets:
    """A key is written into a header and nowhere else."""

    @pytest.mark.parametrize(
        "profile",
        [
            yandex(folder="f", model="m", api_key="s3cret"),
            yandex(folder="f", model="m", iam_token="s3cret"),
            openai(api_key="s3cret", model="m", url="wss://host/?key=s3cret"),
        ],
    )
    def test_are_not_in_the_repr(self, profile: Profile) -> None:
        """A profile can be logged."""
        assert "s3cret" not in repr(profile)
        assert profile.secrets == ("s3cret",)

    def test_from_a_file(self) -> None:
        """The newline at the end of a file is no part of the key."""
        assert openai(api_key="sk-key\n", model="m").secrets == ("sk-key",)

    @pytest.mark.parametrize("key", ["", " ", "s3cret\r\nX: y", "s3 cret", "s3cretй"])
    def test_that_no_header_can_hold(self, key: str) -> None:
        """Such a key is refused, and not repeated."""
        with pytest.raises(ValueError, match="the key is empty or has characters") as caught:
            openai(api_key=key, model="m")
        assert "s3" not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        [
            "http://host/v1",
            "ws://",
            "host/v1",
            "wss://host:99999/",
            "wss://host:0/",
            "wss://user:s3cret@host/",
            "wss://host/#x",
            "wss://host/a b",
            "wss://[::1/",
        ],
    )
    def test_url_that_is_none(self, url: str) -> None:
        """A URL is ws or wss, has a host, and no user, fragment or space."""
        with pytest.raises(ValueError, match=r".") as caught:
            compatible(url=url, model="m")
        assert "s3cret" not in str(caught.value)
