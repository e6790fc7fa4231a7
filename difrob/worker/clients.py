"""The supervisor's end of the socket: clients that ask, get answers, and hear events if they want to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.worker.messages import MAX_LINE, encode, parse_request, refusal

log = logging.getLogger(__name__)

MAX_BACKLOG = 2 * MAX_LINE


class Client:
    """One attached client, with what it asked to hear."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.watches = False
        self.worker_of = ""

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; a client that does not read is dropped before it costs memory."""
        self.send_line(encode(message))

    def send_line(self, line: bytes) -> None:
        """Queue a message that is a line already."""
        if self.writer.transport.get_write_buffer_size() > MAX_BACKLOG:
            self.writer.transport.abort()
        elif not self.writer.is_closing():
            self.writer.write(line)


class Clients:
    """All attached clients.

    Args:
        workspace: whose socket it is.
        calls: by name, what answers a call: given the client and the arguments by name, it returns the result.
    """

    def __init__(self, workspace: Workspace, calls: Mapping[str, Callable[..., Any]]) -> None:
        self._workspace = workspace
        self._calls = calls
        self._clients: set[Client] = set()

    @property
    def is_watched(self) -> bool:
        """Whether anybody wants to hear events."""
        return any(client.watches for client in self._clients)

    @property
    def has_people(self) -> bool:
        """Whether anybody but workers is attached."""
        return any(not client.worker_of for client in self._clients)

    def announce(self, event: dict[str, Any]) -> None:
        """Tell an event to all who watch; it is written out once for all of them."""
        watching = [client for client in self._clients if client.watches]
        line = encode(event) if watching else b""
        for client in watching:
            client.send_line(line)

    def tell_worker(self, run_id: str, event: dict[str, Any]) -> None:
        """Tell an event to the worker of a run."""
        for client in self._clients:
            if client.worker_of == run_id:
                client.send(event)

    async def listen(self) -> asyncio.AbstractServer | Any:
        """Open the socket, for this user alone."""
        path = self._workspace.socket_path
        if os.name == "nt":  # pragma: no cover - exercised on Windows only
            loop: Any = asyncio.get_running_loop()

            def protocol() -> asyncio.StreamReaderProtocol:
                return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=MAX_LINE), self._serve)

            return (await loop.start_serving_pipe(protocol, path))[0]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # left by a killed predecessor; the lock on the workspace says that it is dead
        mask = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._serve, path, limit=MAX_LINE)
        finally:
            os.umask(mask)

    def hang_up(self) -> None:
        """Let all clients go, and the socket's file with them."""
        for client in list(self._clients):
            client.writer.close()
        if os.name != "nt":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._workspace.socket_path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(writer)
        self._clients.add(client)
        try:
            while line := await reader.readline():
                await self.answer(client, line)
        except (ValueError, ConnectionError, asyncio.CancelledError):
            pass  # a line longer than the limit, a client that vanished, or our own end: only this client is done
        finally:
            self._clients.discard(client)
            writer.close()

    async def answer(self, client: Client, line: bytes) -> None:
        """Do what one line asks for, and reply: with the result, or with a sentence that says what is wrong."""
        number, name = 0, ""
        try:
            request = parse_request(line)
            number, name = request.id, request.call
            call = self._calls.get(name)
            if call is None:
                raise UserError(f"unknown call '{name}'")
            try:
                result = call(client, **request.args)
            except (TypeError, ValueError, AttributeError, KeyError) as error:
                log.warning("the arguments of the call '%s' do not fit: %r", name, error)
                raise UserError(f"the arguments of '{name}' do not fit: {error}") from None
            if isinstance(result, Coroutine):
                result = await result
            client.send({"id": number, "ok": True, "result": result})
        except (sqlite3.Error, OSError) as error:
            told = f"the queue of '{self._workspace.root}' cannot be written ({error}); free some room and try again"
            client.send(refusal(number, told))
        except UserError as error:
            client.send(refusal(number, str(error)))
        except Exception as error:  # a fault of difrob's own; silence would let the client wait for ever
            log.exception("the call '%s' met an error", name)
            client.send(refusal(number, _own_fault(name, error)))
        await client.writer.drain()


def _own_fault(name: str, error: Exception) -> str:
    """The sentence for an error that nobody foresaw."""
    return (
        f"the supervisor could not answer '{name}': it met an error of its own ({type(error).__name__}: {error}); "
        "it goes on, 'difrob queue' shows what has been done, and supervisor.log in the workspace has the details"
    )
