"""`python -m tests.support.relay_process DSN BOOTSTRAP LEASE_SECONDS`: one relay, until SIGTERM."""

import asyncio
import signal
import sys

from libs.messaging.relay import Relay, RelayOptions
from tests.support.bus import kafka_settings


async def main(dsn: str, bootstrap: str, lease_seconds: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options = RelayOptions(lease_seconds=lease_seconds)
    await Relay(worker_dsn=dsn, kafka=kafka_settings(bootstrap), service="ingest", options=options).run(stop)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
