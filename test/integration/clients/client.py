"""Debian's python3-grpcio and our proto files alone: argv is the target and a descriptor set made of them."""

import json
import queue
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

target, descriptors = sys.argv[1:]
pool = descriptor_pool.DescriptorPool()
with open(descriptors, "rb") as file:
    for proto in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
        pool.Add(proto)
factory = message_factory.MessageFactory(pool)
service = pool.FindServiceByName("cedana.daemon.v1.DaemonService")


def types(name):
    method = service.methods_by_name[name]
    return factory.GetPrototype(method.input_type), factory.GetPrototype(method.output_type)


def unary(channel, name, request):
    asked, answered = types(name)
    call = channel.unary_unary(
        f"/{service.full_name}/{name}", asked.SerializeToString, answered.FromString
    )
    return json_format.MessageToDict(call(json_format.ParseDict(request, asked()), timeout=20))


def attach(channel, jid):
    asked, answered = types("Attach")
    outbox = queue.Queue()
    outbox.put(asked(start={"target": {"jid": jid}}))
    call = channel.stream_stream(
        f"/{service.full_name}/Attach", asked.SerializeToString, answered.FromString
    )
    seen = {"stdout": ""}
    for answer in call(iter(outbox.get, None), timeout=20):
        kind = answer.WhichOneof("message")
        if kind == "started":
            outbox.put(asked(stdin=b"from python\n"))
            outbox.put(asked(stdin_eof=True))
        elif kind == "stdout":
            seen["stdout"] += answer.stdout.decode()
        elif kind == "exit":
            seen["status"] = answer.exit.status
    outbox.put(None)
    return seen


with grpc.insecure_channel(target) as channel:
    result = {}
    job = {"args": ["sh", "-c", "cat; exit 3"], "env": ["PATH=/usr/bin:/bin"], "jid": "python_cat"}
    result["run"] = unary(channel, "Run", {**job, "stdio": "STDIO_ATTACHABLE", "attach_follows": True})
    result["attach"] = attach(channel, "python_cat")
    result["list"] = unary(channel, "List", {})
    try:
        unary(channel, "Get", {"target": {"jid": "nobody"}})
    except grpc.RpcError as error:
        result["error"] = {"code": error.code().name, "details": error.details()}
    json.dump(result, sys.stdout)
