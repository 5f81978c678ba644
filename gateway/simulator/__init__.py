"""Both other ends of a call, for the demo, for tests, and for any Realtime client.

    a Realtime server                                          a caller
    server ● ── text ──▶ conversation ──▶ responses            phone ●
                          │     │  │
              validation ─┘     │  └─ prompter ── script       handset ●, its sound
              (schema)          │                              scrambler, encrypted
                         input_audio ── vad                    manners, when it is called
                         items, session
    dialect: how OpenAI, Yandex and others differ              formats: the audio on the wire
    speech, espeak ●: its voice

`●` marks the files that touch sockets, tasks, processes or the clock. Nothing here imports
`gateway.call`.
"""
