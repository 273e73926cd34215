/** google.protobuf.Any as containerd writes it: a bare message name, or a URL of its own whose value is JSON. */
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { bytesOf, type Json, parseObject } from "../system/json.ts";

const jsonTypes = {
  spec: "types.containerd.io/opencontainers/runtime-spec/1/Spec",
  process: "types.containerd.io/opencontainers/runtime-spec/1/Process",
};

export function jsonAny(type: keyof typeof jsonTypes, value: object): Any {
  return create(AnySchema, { typeUrl: jsonTypes[type], value: bytesOf(value) });
}

/** The object in it; an empty one when there is none. */
export function jsonIn(any: Any | undefined): Json {
  return parseObject(new TextDecoder().decode(any?.value)) ?? {};
}

export function messageAny<D extends DescMessage>(schema: D, message: MessageShape<D>): Any {
  return create(AnySchema, { typeUrl: schema.typeName, value: toBinary(schema, message) });
}

/** The message in it; undefined when it is another. */
export function messageIn<D extends DescMessage>(
  schema: D,
  any: Any | undefined,
): MessageShape<D> | undefined {
  if (any === undefined || any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1) !== schema.typeName)
    return undefined;
  return fromBinary(schema, any.value);
}
