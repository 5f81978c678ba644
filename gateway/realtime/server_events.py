"""The 46 events that a server sends, in the order of the published reference.

Pure. Every field that some server was seen to leave out has a default: indices are 0, names
are "". Required is only what an event means nothing without. Fields that the gateway has no
use for are left out and passed over. Names are those of the current API; events.py turns the
beta's names into these.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .items import Item, Part, Whole
from .objects import Conversation, ErrorDetail, RateLimit, Response


class _Server(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=""):
    event_id: str = ""


class _OfItem(_Server, frozen=True, kw_only=True, tag=""):
    item_id: str = ""


class _OfOutput(_OfItem, frozen=True, kw_only=True, tag=""):
    response_id: str = ""
    output_index: Whole = 0


class _OfPart(_OfOutput, frozen=True, kw_only=True, tag=""):
    content_index: Whole = 0


class Error(_Server, frozen=True, tag="error"):
    """Something was refused or failed. Most are recoverable; the socket stays open."""

    error: ErrorDetail


class SessionCreated(_Server, frozen=True, tag="session.created"):
    """The first event on the socket, with the server's defaults."""

    session: dict[str, Any] = {}


class SessionUpdated(_Server, frozen=True, tag="session.updated"):
    """The settings now in force. The echoed rate may be null or wrong."""

    session: dict[str, Any] = {}


class ConversationCreated(_Server, frozen=True, tag="conversation.created"):
    """A leftover of the beta."""

    conversation: Conversation = Conversation()


class ConversationItemAdded(_Server, frozen=True, tag="conversation.item.added"):
    """An item entered the conversation; an assistant's is still empty."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemDone(_Server, frozen=True, tag="conversation.item.done"):
    """An item is final."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemCreated(_Server, frozen=True, tag="conversation.item.created"):
    """What the beta and Yandex say for added; Yandex says it again when the item is filled."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemDeleted(_OfItem, frozen=True, tag="conversation.item.deleted"):
    """Our delete was done."""


class ConversationItemRetrieved(_Server, frozen=True, tag="conversation.item.retrieved"):
    """The item that we asked for, with its audio."""

    item: Item


class ConversationItemTruncated(_OfItem, frozen=True, tag="conversation.item.truncated"):
    """Our truncate was done."""

    content_index: Whole = 0
    audio_end_ms: Whole = 0


class ConversationItemInputAudioTranscriptionDelta(
    _OfItem, frozen=True, tag="conversation.item.input_audio_transcription.delta"
):
    """More of what the caller said, from servers that transcribe as she speaks."""

    delta: str = ""
    content_index: Whole = 0


class ConversationItemInputAudioTranscriptionCompleted(
    _OfItem, frozen=True, tag="conversation.item.input_audio_transcription.completed"
):
    """What the caller said. Comes before, during or after the answer; Yandex repeats it, longer."""

    transcript: str = ""
    content_index: Whole = 0


class ConversationItemInputAudioTranscriptionFailed(
    _OfItem, frozen=True, tag="conversation.item.input_audio_transcription.failed"
):
    """The transcription failed; the turn itself is valid."""

    error: ErrorDetail = ErrorDetail()
    content_index: Whole = 0


class ConversationItemInputAudioTranscriptionSegment(
    _OfItem, frozen=True, tag="conversation.item.input_audio_transcription.segment"
):
    """A stretch of the caller's speech, by speaker."""

    text: str = ""
    speaker: str = ""
    start: float = 0.0  # s
    end: float = 0.0  # s
    content_index: Whole = 0


class InputAudioBufferCommitted(_OfItem, frozen=True, tag="input_audio_buffer.committed"):
    """The caller's turn became an item."""

    previous_item_id: str | None = None


class InputAudioBufferCleared(_Server, frozen=True, tag="input_audio_buffer.cleared"):
    """Our clear was done."""


class InputAudioBufferSpeechStarted(_OfItem, frozen=True, tag="input_audio_buffer.speech_started"):
    """The server hears the caller speak; `item_id` is her future item."""

    audio_start_ms: Whole = 0  # in all audio appended, moved back by the prefix padding


class InputAudioBufferSpeechStopped(_OfItem, frozen=True, tag="input_audio_buffer.speech_stopped"):
    """The server hears that she has stopped."""

    audio_end_ms: Whole = 0  # in all audio appended, with the silence that it waited for


class InputAudioBufferTimeoutTriggered(
    _OfItem, frozen=True, tag="input_audio_buffer.timeout_triggered"
):
    """Nobody spoke for the idle timeout; the server commits the silence and answers it."""

    audio_start_ms: Whole = 0
    audio_end_ms: Whole = 0


class InputAudioBufferDtmfEventReceived(
    _Server, frozen=True, tag="input_audio_buffer.dtmf_event_received"
):
    """A key was pressed, where the server owns the line. Either time is there, or none."""

    digit: str  # 0-9 * # A-D
    timestamp_ms: Whole | None = None  # Yandex's shape
    received_at: Whole | None = None  # s since 1970, OpenAI's shape


class OutputAudioBufferStarted(_Server, frozen=True, tag="output_audio_buffer.started"):
    """The server began to play a response to the caller (WebRTC, SIP)."""

    response_id: str = ""


class OutputAudioBufferStopped(_Server, frozen=True, tag="output_audio_buffer.stopped"):
    """The server has played all of it, after response.done."""

    response_id: str = ""


class OutputAudioBufferCleared(_Server, frozen=True, tag="output_audio_buffer.cleared"):
    """The server dropped what it had not played."""

    response_id: str = ""


class ResponseCreated(_Server, frozen=True, tag="response.created"):
    """A response begins, ours or one that the server's VAD made."""

    response: Response


class RateLimitsUpdated(_Server, frozen=True, tag="rate_limits.updated"):
    """What is left of the quotas."""

    rate_limits: list[RateLimit] = []


class ResponseOutputItemAdded(_Server, frozen=True, tag="response.output_item.added"):
    """A response begins an item."""

    item: Item
    response_id: str = ""
    output_index: Whole = 0


class ResponseContentPartAdded(_OfPart, frozen=True, tag="response.content_part.added"):
    """An item begins a part."""

    part: Part = Part()


class ResponseOutputTextDelta(_OfPart, frozen=True, tag="response.output_text.delta"):
    """More text. On Yandex this is the transcript of the speech."""

    delta: str = ""


class ResponseOutputTextDone(_OfPart, frozen=True, tag="response.output_text.done"):
    """All the text of a part."""

    text: str = ""


class ResponseOutputAudioTranscriptDelta(
    _OfPart, frozen=True, tag="response.output_audio_transcript.delta"
):
    """More of the words of the speech; not in step with its sound."""

    delta: str = ""


class ResponseOutputAudioTranscriptDone(
    _OfPart, frozen=True, tag="response.output_audio_transcript.done"
):
    """All the words of a part."""

    transcript: str = ""


class ResponseOutputAudioDelta(_OfPart, frozen=True, tag="response.output_audio.delta"):
    """More sound, faster than real time."""

    delta: str  # base64, left so: the playout decodes it when its turn comes


class ResponseOutputAudioDone(_OfPart, frozen=True, tag="response.output_audio.done"):
    """No more sound in this part; also when it was cancelled."""


class ResponseContentPartDone(_OfPart, frozen=True, tag="response.content_part.done"):
    """A part is final; also when it was cancelled."""

    part: Part = Part()


class ResponseOutputItemDone(_Server, frozen=True, tag="response.output_item.done"):
    """An item of a response is final. A function is called only where its status is completed."""

    item: Item
    response_id: str = ""
    output_index: Whole = 0


class ResponseFunctionCallArgumentsDelta(
    _OfOutput, frozen=True, tag="response.function_call_arguments.delta"
):
    """More of the JSON of a function's arguments."""

    delta: str = ""
    call_id: str = ""


class ResponseFunctionCallArgumentsDone(
    _OfOutput, frozen=True, tag="response.function_call_arguments.done"
):
    """A function's arguments; only half of them if the response was cancelled."""

    arguments: str = ""
    call_id: str = ""
    name: str = ""  # missing in some servers: the item has it


class ResponseMcpCallArgumentsDelta(
    _OfOutput, frozen=True, tag="response.mcp_call_arguments.delta"
):
    """More of the arguments of a tool that the server calls itself."""

    delta: str = ""


class ResponseMcpCallArgumentsDone(_OfOutput, frozen=True, tag="response.mcp_call_arguments.done"):
    """Its arguments."""

    arguments: str = ""


class ResponseMcpCallInProgress(_OfOutput, frozen=True, tag="response.mcp_call.in_progress"):
    """The server calls an MCP tool."""


class ResponseMcpCallCompleted(_OfOutput, frozen=True, tag="response.mcp_call.completed"):
    """The tool answered."""


class ResponseMcpCallFailed(_OfOutput, frozen=True, tag="response.mcp_call.failed"):
    """The tool failed."""


class McpListToolsInProgress(_OfItem, frozen=True, tag="mcp_list_tools.in_progress"):
    """The server asks an MCP server for its tools."""


class McpListToolsCompleted(_OfItem, frozen=True, tag="mcp_list_tools.completed"):
    """It has them."""


class McpListToolsFailed(_OfItem, frozen=True, tag="mcp_list_tools.failed"):
    """It could not get them."""


class ResponseDone(_Server, frozen=True, tag="response.done"):
    """A response has ended, whatever the outcome. Generated, not heard: often seconds before."""

    response: Response


KnownEvent = (
    Error
    | SessionCreated
    | SessionUpdated
    | ConversationCreated
    | ConversationItemAdded
    | ConversationItemDone
    | ConversationItemCreated
    | ConversationItemDeleted
    | ConversationItemRetrieved
    | ConversationItemTruncated
    | ConversationItemInputAudioTranscriptionDelta
    | ConversationItemInputAudioTranscriptionCompleted
    | ConversationItemInputAudioTranscriptionFailed
    | ConversationItemInputAudioTranscriptionSegment
    | InputAudioBufferCommitted
    | InputAudioBufferCleared
    | InputAudioBufferSpeechStarted
    | InputAudioBufferSpeechStopped
    | InputAudioBufferTimeoutTriggered
    | InputAudioBufferDtmfEventReceived
    | OutputAudioBufferStarted
    | OutputAudioBufferStopped
    | OutputAudioBufferCleared
    | ResponseCreated
    | RateLimitsUpdated
    | ResponseOutputItemAdded
    | ResponseContentPartAdded
    | ResponseOutputTextDelta
    | ResponseOutputTextDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
    | ResponseOutputAudioDelta
    | ResponseOutputAudioDone
    | ResponseContentPartDone
    | ResponseOutputItemDone
    | ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
    | ResponseMcpCallInProgress
    | ResponseMcpCallCompleted
    | ResponseMcpCallFailed
    | McpListToolsInProgress
    | McpListToolsCompleted
    | McpListToolsFailed
    | ResponseDone
)


class Unknown(msgspec.Struct, frozen=True):
    """An event of a type that the reference does not have: logged and passed over."""

    type: str


class Malformed(msgspec.Struct, frozen=True):
    """A message that is no event: logged by its reason; the session lives on."""

    reason: str  # holds nothing of what was said
    text: str  # its beginning


ServerEvent = KnownEvent | Unknown | Malformed
