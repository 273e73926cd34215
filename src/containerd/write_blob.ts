/** Putting a blob into containerd's content store. */
import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { WriteAction, type WriteContentRequestSchema } from "../gen/containerd/services/content_pb.ts";
import type { Containerd } from "./connect.ts";
import { labelBlob } from "./content.ts";
import { type Descriptor, descriptorOf } from "./descriptor.ts";
import { codeOf, duringEach, ifFound } from "./failure.ts";
import { bytesOf } from "./json.ts";

/** Far below the 16 MiB that containerd takes as one message. */
const PIECE_BYTES = 1024 * 1024;

export interface BlobSource {
  mediaType: string;
  /** The bytes. A stream may be of any length; when it fails, nothing is left in the store. */
  data: Uint8Array | AsyncIterable<Uint8Array>;
  /** Among them `containerd.io/gc.ref.…`: without one, an image or a lease, a blob does not stay. */
  labels?: Record<string, string>;
  signal?: AbortSignal;
}

/** Resolves when the store has it, under the digest that we and containerd both found; one it had gets the labels. */
export async function writeBlob(containerd: Containerd, source: BlobSource): Promise<Descriptor> {
  const { mediaType, data, labels = {}, signal } = source;
  const ref = `cedana-${crypto.randomUUID()}`;
  const sent = { hash: createHash("sha256"), size: 0, digest: "" };
  // Known in advance, it spares the sending of what the store has.
  const expected = data instanceof Uint8Array ? descriptorOf(mediaType, data).digest : "";
  const stream = containerd.services.content.write(requests({ ref, expected, labels, data, sent }), {
    signal,
  });
  try {
    for await (const _ of duringEach({ ...containerd, signal }, "write a blob to containerd", stream)) {
      // Each message is answered; only the last answer counts, which is the stream's end.
    }
  } catch (error) {
    if (codeOf(error) !== Code.AlreadyExists) {
      // A failed ingest would lie there for a day.
      await ifFound(containerd.services.content.abort({ ref })).catch(() => {});
      throw error;
    }
    if (Object.keys(labels).length > 0) await labelBlob(containerd, expected || sent.digest, labels);
  }
  if (data instanceof Uint8Array) return descriptorOf(mediaType, data);
  return { mediaType, digest: sent.digest, size: sent.size };
}

/** The same for a value as JSON. */
export function writeJsonBlob(
  containerd: Containerd,
  { value, ...source }: Omit<BlobSource, "data"> & { value: unknown },
): Promise<Descriptor> {
  return writeBlob(containerd, { ...source, data: bytesOf(value) });
}

interface Sending {
  ref: string;
  expected: string;
  labels: Record<string, string>;
  data: BlobSource["data"];
  /** Filled in on the way. */
  sent: { hash: ReturnType<typeof createHash>; size: number; digest: string };
}

async function* requests({
  ref,
  expected,
  labels,
  data,
  sent,
}: Sending): AsyncGenerator<MessageInitShape<typeof WriteContentRequestSchema>, void, undefined> {
  for await (const piece of pieces(data)) {
    yield { action: WriteAction.WRITE, ref, expected, offset: BigInt(sent.size), data: piece };
    sent.hash.update(piece);
    sent.size += piece.length;
  }
  sent.digest = `sha256:${sent.hash.digest("hex")}`;
  const total = BigInt(sent.size);
  yield { action: WriteAction.COMMIT, ref, expected: sent.digest, total, offset: total, labels };
}

async function* pieces(data: BlobSource["data"]): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of data instanceof Uint8Array ? [data] : data) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) yield chunk.subarray(at, at + PIECE_BYTES);
  }
}
