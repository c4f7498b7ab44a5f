"""A server that does nothing: uvicorn with the sandbox's protocol gives every call the same bytes.

`python -m benchmarks.support.bare_http BYTES`; prints its port once it can be called.
"""

import asyncio
import socket
import sys
from typing import Any

import uvicorn


def main(size_bytes: int) -> None:
    body = b"x" * size_bytes
    headers = [(b"content-type", b"application/json"), (b"content-length", str(size_bytes).encode())]

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with socket.create_server(("127.0.0.1", 0)) as door:
        config = uvicorn.Config(
            answer, http="httptools", ws="none", lifespan="off", log_level="error", access_log=False
        )
        # The socket listens already: a call that comes early waits in its queue.
        print(door.getsockname()[1], flush=True)
        asyncio.run(uvicorn.Server(config).serve(sockets=[door]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
