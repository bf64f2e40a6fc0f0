"""A program of asyncio with jobs: they share its event loop, and so what lives there.

    python examples/asyncio_program.py

It answers at http://127.0.0.1:8085/ with what a job has counted; Ctrl-C ends it in order.  In a web
framework, ``async with scheduler: yield`` in its lifespan takes the place of ``main()``.
"""

from __future__ import annotations

import asyncio
import sys

from schedcore import AsyncScheduler

scheduler = AsyncScheduler(timezone="UTC")
counted: asyncio.Queue[int] = asyncio.Queue(1_000)


@scheduler.task("interval", seconds=1, id="count")
async def count() -> None:
    """Put one more number into the program's queue, which needs its event loop."""
    await counted.put(counted.qsize() + 1)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request with the count of numbers, and the time of the next one."""
    try:
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        job = scheduler.get_job("count")
        text = f"{counted.qsize()} so far, the next at {job.next_run_time if job else 'no time'}\n"
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        writer.write((head + text).encode("ascii"))
        await writer.drain()
    except (asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
        pass  # a client that sends no request gets no answer
    finally:
        writer.close()


async def main(port: int = 8085) -> None:
    """Serve until a signal arrives."""
    server = await asyncio.start_server(answer, "127.0.0.1", port, limit=8_192)
    async with server, scheduler:
        address = server.sockets[0].getsockname()
        print(f"http://{address[0]}:{address[1]}/", flush=True)
        await scheduler.run_until_stopped()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
