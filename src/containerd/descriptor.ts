/** What points at a blob: its type, digest and size in bytes. */
import { create } from "@bufbuild/protobuf";
import { DescriptorSchema, type Descriptor as Message } from "../gen/containerd/types/types_pb.ts";
import { digestOf } from "./digest.ts";

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
}

export function descriptorOf(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

export function toMessage({ size, ...descriptor }: Descriptor): Message {
  return create(DescriptorSchema, { ...descriptor, size: BigInt(size) });
}

export function fromMessage(message: Message | undefined): Descriptor {
  const { mediaType = "", digest = "", size = 0n, annotations = {} } = message ?? {};
  const some = Object.keys(annotations).length > 0;
  return { mediaType, digest, size: Number(size), ...(some && { annotations }) };
}
