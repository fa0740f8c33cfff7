"""One connection, from accept to close: let in, located, read, answered."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

import structlog

from vmkeep.base.errors import VmkeepError
from vmkeep.base.units import KIB
from vmkeep.fabric.wire.admission import Admission
from vmkeep.fabric.wire.agents import Agent, Agents
from vmkeep.fabric.wire.answers import JSON, Answer, Answers, Call, CapturePending
from vmkeep.fabric.wire.errors import RequestRefused
from vmkeep.fabric.wire.http import Exchange, Response
from vmkeep.fabric.wire.identity import GuestIdentity, Position, Positions
from vmkeep.fabric.wire.limits import WireLimits
from vmkeep.fabric.wire.routes import Route, Service, find_route
from vmkeep.fabric.wire.snapshot_api import dosnapshot_reply, refusal

log = structlog.get_logger()
T = TypeVar("T")

STREAM_BUFFER = 64 * KIB
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def reset(connection: socket.socket) -> None:
    """Close at once; the kernel keeps nothing for a peer that does not read."""
    if connection.fileno() >= 0:  # not closed yet by its transport
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    connection.close()


class Reception:
    """Serves connections. Event loop only; handlers run on `executor`."""

    def __init__(
        self,
        *,
        agents: Agents,
        answers: Answers,
        positions: Positions,
        admission: Admission,
        limits: WireLimits,
        executor: Executor,
    ) -> None:
        self._agents = agents
        self._answers = answers
        self._positions = positions
        self._admission = admission
        self._limits = limits
        self._executor = executor
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._strangers: Counter[str] = Counter()

    def admit(self, connection: socket.socket, position: Position) -> bool:
        """Count a fresh connection in, or reset it."""
        if self._admission.enter(position):
            return True
        reset(connection)
        return False

    async def serve(self, connection: socket.socket, position: Position, service: Service) -> None:
        """Serve an admitted connection to its end; raises nothing that a guest could cause."""
        try:
            identity = await self._positions.find(position)
            if identity is None:
                self._count_stranger(position)
                reset(connection)
            else:
                await self._converse(connection, identity, service)
        except OSError:  # timeouts and lost connections are the guest's own business
            reset(connection)
        except VmkeepError as error:
            log.warning("wire.agent.unusable", bridge=position.bridge, ip=position.ip, error=str(error))
        finally:
            self._admission.leave(position)
            connection.close()

    async def _converse(self, connection: socket.socket, identity: GuestIdentity, service: Service) -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=STREAM_BUFFER)
        writer.transport.set_write_buffer_limits(high=0)
        exchange = Exchange(reader, writer, self._limits)
        try:
            agent = await self._in_turn(identity, partial(self._agents.put, identity.vm_uuid))
            agent.vm_name = identity.vm_name
            try:
                response = await self._respond(exchange, agent, identity, service)
            except RequestRefused as refused:
                _note_refusal(agent, identity, refused)
                await exchange.answer(Response(refused.status, refused.body))
                await exchange.linger()
            else:
                await exchange.answer(response)
        finally:
            writer.transport.abort()

    async def _respond(
        self, exchange: Exchange, agent: Agent, identity: GuestIdentity, service: Service
    ) -> Response:
        head = await exchange.head()
        route = find_route(service, head, agent.container_id)
        body = await exchange.body(route.body)
        call = Call(head, body, agent, identity)
        answer = await self._in_turn(identity, partial(self._handle, route, call))
        return await self._capture(exchange, answer) if isinstance(answer, CapturePending) else answer

    def _handle(self, route: Route, call: Call) -> Answer:
        call.agent.saw(route.signal)
        try:
            return route.handler(self._answers, call)
        except RequestRefused:
            raise
        except Exception as error:
            log.exception("wire.request.failed", vm=call.identity.vm_name, route=route.path)
            raise refusal("the host failed to answer") from error

    async def _capture(self, exchange: Exchange, pending: CapturePending) -> Response:
        """Wait for the disks as long as the guest is surely frozen: it waits for us, and not too long."""
        captured = asyncio.wrap_future(pending.answer)
        gone = asyncio.ensure_future(exchange.peer_gone())
        waiting: set[asyncio.Future[Any]] = {captured, gone}  # whichever ends first
        await asyncio.wait(waiting, timeout=self._limits.answer_s, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        disks = () if pending.answer.cancel() else pending.answer.result()
        return Response(body=dosnapshot_reply(pending.task, disks), content_type=JSON)

    async def _in_turn(self, identity: GuestIdentity, work: Callable[[], T]) -> T:
        """Do blocking work off the loop; a VM with much to do waits for itself."""
        turns = self._turns.setdefault(identity.vm_uuid, asyncio.Semaphore(self._limits.requests_per_vm))
        async with turns:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _count_stranger(self, position: Position) -> None:
        self._strangers[position.bridge] += 1
        count = self._strangers[position.bridge]
        if _is_milestone(count):
            log.info("wire.position.unknown", bridge=position.bridge, ip=position.ip, count=count)


def _note_refusal(agent: Agent, identity: GuestIdentity, refused: RequestRefused) -> None:
    count = agent.refused(refused.why)
    if _is_milestone(count):
        log.info(
            "wire.request.refused", vm=identity.vm_name, why=refused.why, status=refused.status, count=count
        )


def _is_milestone(count: int) -> bool:
    """Powers of two only: a guest must not fill the log."""
    return count & (count - 1) == 0
