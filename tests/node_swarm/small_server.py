"""A real gRPC server in this process whose answers a test writes; it checks signatures like a coordinator."""

from contextlib import asynccontextmanager

import grpc
import grpc.aio
from autoresearch import errors, signing, status
from autoresearch.calls import SWARM_SERVICE
from autoresearch.v1 import swarm_pb2

from node.swarm.calling import RPCS


class SmallServer:
    """Answers by method name; knows keys; may have another clock."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.known_keys = {}
        self.nonces = set()
        self.now_ms = 1_800_000_000_000
        self.target = ""

    async def answer(self, method, body, context):
        name = method.rpartition("/")[2]
        trailer = [(status.SERVER_TIME_KEY, str(self.now_ms))]
        self.asked.append(name)
        try:
            if RPCS[method].is_signed:
                self.check(method, body, context.invocation_metadata())
            reply = self.answers[name](body)
        except errors.SwarmError as error:
            trailer.append((status.ERROR_CODE_KEY, error.code))
            if error.retry_after_s is not None:
                trailer.append((status.RETRY_AFTER_KEY, str(error.retry_after_s)))
            await context.abort(status.status_of(error), error.message, tuple(trailer))
        context.set_trailing_metadata(tuple(trailer))
        return reply if isinstance(reply, bytes) else reply.SerializeToString()

    def check(self, method, body, metadata):
        call = signing.read_signature(metadata)
        if method == SWARM_SERVICE + "Enrol":
            public_key = swarm_pb2.EnrolRequest.FromString(body).public_key
        elif call.node_id in self.known_keys:
            public_key = self.known_keys[call.node_id]
        else:
            raise errors.Unauthenticated(f"node {call.node_id} is not enrolled here")
        signing.verify_call(call, public_key=public_key, method=method, body=body, now_ms=self.now_ms)
        if call.nonce in self.nonces:
            raise errors.Unauthenticated("seen before")
        self.nonces.add(call.nonce)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, server):
        self._server = server

    def service(self, details):
        async def behave(body, context):
            return await self._server.answer(details.method, body, context)

        return grpc.unary_unary_rpc_method_handler(behave)


@asynccontextmanager
async def small_server():
    server = SmallServer()
    listener = grpc.aio.server()
    listener.add_generic_rpc_handlers((_Handlers(server),))
    port = listener.add_insecure_port("127.0.0.1:0")
    server.target = f"127.0.0.1:{port}"
    await listener.start()
    try:
        yield server
    finally:
        await listener.stop(None)
