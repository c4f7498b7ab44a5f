"""sandbox: a stand-in for the platforms, written from their documents only; it shares no code with libs/platforms.

Started by `python -m services.sandbox`. Every platform answers under its real host name: as the first path segment of
the main port (`/graph.facebook.com/v26.0/me`), and as itself through the proxy port, with an authority that is made
anew at each start. `/_sandbox/` shows the world it made up, the log of calls, faults, clock and limits. Nothing ever
leaves the machine, nothing is kept: a restart or `POST /_sandbox/reset` begins again from the seed.

Consumes: nothing
Publishes: nothing
Owns: nothing (its state lies in memory)
Calls: what has subscribed to webhooks, if it lies on this machine or its private network
"""
