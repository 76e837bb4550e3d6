"""The peer of the stream: `websockets.broadcast`, as its documentation has it.

    python websockets_broadcast.py      (in an environment that has websockets, and nothing of ours)

Prints its port. A line `COUNT SIZE` on stdin broadcasts so many messages of that size, each with
one mark (`^`) that readers count.
"""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve


async def main() -> None:
    connections: set[ServerConnection] = set()

    async def hold(connection: ServerConnection) -> None:
        connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            connections.discard(connection)

    async with serve(hold, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        orders = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
        )
        while line := await orders.readline():
            count, size = map(int, line.split())
            message = "^".ljust(size, "x")
            for _message in range(count):
                broadcast(connections, message)
                await asyncio.sleep(0)


asyncio.run(main())
