"""A gRPC service and stubs for it, with grpcio: messages are bytes, so that no code generator is needed."""
import hashlib
import threading
import time
from concurrent import futures

import grpc

SERVICE = "tunnel.Test"
STREAMS = 100  # open at once; each has a thread of the server's
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Service:
    """What the server does; a test sees what happened on its side."""

    def __init__(self):
        self.cancelled = threading.Event()

    def handlers(self):
        kinds = {"Echo": grpc.unary_unary_rpc_method_handler, "Fail": grpc.unary_unary_rpc_method_handler,
                 "Deadline": grpc.unary_unary_rpc_method_handler, "Metadata": grpc.unary_unary_rpc_method_handler,
                 "Never": grpc.unary_unary_rpc_method_handler, "Count": grpc.unary_stream_rpc_method_handler,
                 "Forever": grpc.unary_stream_rpc_method_handler, "FailLate": grpc.unary_stream_rpc_method_handler,
                 "Bulk": grpc.unary_stream_rpc_method_handler, "Sum": grpc.stream_unary_rpc_method_handler,
                 "Hash": grpc.stream_unary_rpc_method_handler, "Chat": grpc.stream_stream_rpc_method_handler}
        return grpc.method_handlers_generic_handler(SERVICE, {name: make(getattr(self, name)) for name, make in kinds.items()})

    def Echo(self, request, context):
        return request

    def Fail(self, request, context):
        context.set_trailing_metadata((("x-why", "because"), ("x-bytes-bin", b"\x00\xff")))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: ü, \n and %")

    def Deadline(self, request, context):
        return b"%d" % int(context.time_remaining() * 1000)

    def Metadata(self, request, context):
        seen = {key: value for key, value in context.invocation_metadata()}
        context.send_initial_metadata((("x-initial", seen.get("x-asked", "")),))
        context.set_trailing_metadata((("x-trailing-bin", seen.get("x-asked-bin", b"")),))
        return b"ok"

    def Never(self, request, context):
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(20)
        return b""

    def Count(self, request, context):
        for number in range(int(request)):
            yield b"%d" % number

    def Forever(self, request, context):
        context.add_callback(self.cancelled.set)
        number = 0
        while context.is_active():
            yield b"%d" % number
            number += 1
            time.sleep(0.01)

    def FailLate(self, request, context):
        yield b"one"
        yield b"two"
        context.abort(grpc.StatusCode.DATA_LOSS, "the rest is gone")

    def Bulk(self, request, context):
        piece = bytes(range(256)) * 4096  # 1 MiB
        for _ in range(int(request)):
            yield piece

    def Sum(self, requests, context):
        return b"%d" % sum(map(int, requests))

    def Hash(self, requests, context):
        digest = hashlib.sha256()
        size = 0
        for request in requests:
            digest.update(request)
            size += len(request)
        return b"%d %s" % (size, digest.hexdigest().encode())

    def Chat(self, requests, context):
        for request in requests:
            yield b"you said " + request


class Calls:
    """Stubs without generated code."""

    def __init__(self, address, authority):
        self.channel = grpc.insecure_channel(address, options=[("grpc.default_authority", authority), *UNLIMITED,
                                                               ("grpc.use_local_subchannel_pool", 1)])

    def unary(self, name):
        return self.channel.unary_unary(f"/{SERVICE}/{name}")

    def down(self, name):
        return self.channel.unary_stream(f"/{SERVICE}/{name}")

    def up(self, name):
        return self.channel.stream_unary(f"/{SERVICE}/{name}")

    def both(self, name):
        return self.channel.stream_stream(f"/{SERVICE}/{name}")

    def close(self):
        self.channel.close()


def start_server(service, credentials=None, workers=STREAMS + 28):
    server = grpc.server(futures.ThreadPoolExecutor(workers), options=UNLIMITED)
    server.add_generic_rpc_handlers((service.handlers(),))
    port = (server.add_secure_port("127.0.0.1:0", credentials) if credentials else server.add_insecure_port("127.0.0.1:0"))
    server.start()
    return server, port
