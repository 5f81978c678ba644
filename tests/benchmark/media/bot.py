"""A bot of pipecat-ai that bridges telephone calls by WebSocket to a Realtime server.

    bot.py PORT URL

As in pipecat's own examples of a telephone bot, with everything left out that is not needed: no
voice activity detection, no metrics, no turn tracking. Run by pipecat.py in an environment of its
own, where pipecat-ai is; here it is no module of ours.
"""
# mypy: ignore-errors

from __future__ import annotations

import json
import sys

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

PORT, URL = int(sys.argv[1]), sys.argv[2]
app = FastAPI()


@app.websocket("/call")
async def call(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive_text()  # connected
    start = json.loads(await socket.receive_text())
    serializer = TwilioFrameSerializer(
        start["start"]["streamSid"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        socket,
        FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, serializer=serializer
        ),
    )
    model = OpenAIRealtimeLLMService(api_key="none", base_url=URL)
    worker = PipelineWorker(
        Pipeline([transport.input(), model, transport.output()]),
        params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000),
        enable_turn_tracking=False,
        enable_rtvi=False,
        idle_timeout_secs=None,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


logger.remove()
logger.add(sys.stderr, level="WARNING")
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", loop="uvloop")
