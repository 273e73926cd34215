/**
 * Putting a blob into containerd's content store, each over a connection of its own and with few bytes on the way.
 *
 * containerd's gRPC raises HTTP/2's initial window in the middle of a stream, as far as it has seen bytes between a ping
 * and its answer, and Bun's client (1.4.5) then waits for ever for leave to send on: once the window is raised above four
 * times what it was. 64 KiB on the way raise it to 128 KiB and no further.
 */
import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { WriteAction, type WriteContentRequestSchema } from "../gen/containerd/services/content_pb.ts";
import { bytesOf } from "../system/json.ts";
import type { Containerd } from "./connect.ts";
import { labelBlob } from "./content.ts";
import { type Descriptor, descriptorOf } from "./descriptor.ts";
import { codeOf, duringEach, ifFound } from "./failure.ts";
import { Unanswered } from "./unanswered.ts";

const PIECE_BYTES = 32 * 1024;
const PIECES_UNDER_WAY = 2;

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
  // Known in advance, it spares the sending of what the store has.
  const expected = data instanceof Uint8Array ? descriptorOf(mediaType, data).digest : "";
  const ref = `cedana-${crypto.randomUUID()}`;
  const sending = new Sending({ ref, expected, data, labels });
  using apart = containerd.apart();
  const stream = apart.services.content.write(sending.requests(), { signal });
  const where = { address: containerd.address, signal };
  try {
    for await (const _ of duringEach(where, "write a blob to containerd", stream)) sending.answered();
  } catch (error) {
    sending.end();
    if (codeOf(error) !== Code.AlreadyExists) {
      // A failed ingest would lie there for a day.
      await ifFound(containerd.services.content.abort({ ref })).catch(() => {});
      throw error;
    }
    if (Object.keys(labels).length > 0) await labelBlob(containerd, expected || sending.digest, labels);
  }
  return data instanceof Uint8Array
    ? descriptorOf(mediaType, data)
    : { mediaType, digest: sending.digest, size: sending.size };
}

/** The same for a value as JSON. */
export function writeJsonBlob(
  containerd: Containerd,
  { value, ...source }: Omit<BlobSource, "data"> & { value: unknown },
): Promise<Descriptor> {
  return writeBlob(containerd, { ...source, data: bytesOf(value) });
}

interface Upload extends Pick<BlobSource, "data" | "labels"> {
  /** Names the ingest: nobody else may write with it at the same time. */
  ref: string;
  expected: string;
}

class Sending {
  size = 0;
  /** Once all is sent. */
  digest = "";
  readonly #upload: Upload;
  readonly #hash = createHash("sha256");
  readonly #unanswered = new Unanswered(PIECES_UNDER_WAY);

  constructor(upload: Upload) {
    this.#upload = upload;
  }

  async *requests(): AsyncGenerator<MessageInitShape<typeof WriteContentRequestSchema>, void, undefined> {
    const { ref, expected, data, labels } = this.#upload;
    for await (const piece of pieces(data)) {
      if (!(await this.#unanswered.admit())) return;
      yield { action: WriteAction.WRITE, ref, expected, offset: BigInt(this.size), data: piece };
      this.#hash.update(piece);
      this.size += piece.length;
    }
    this.digest = `sha256:${this.#hash.digest("hex")}`;
    const total = BigInt(this.size);
    yield { action: WriteAction.COMMIT, ref, expected: this.digest, total, offset: total, labels };
  }

  /** containerd answers each piece when it has written it. */
  answered(): void {
    this.#unanswered.answer();
  }

  end(): void {
    this.#unanswered.end();
  }
}

async function* pieces(data: BlobSource["data"]): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of data instanceof Uint8Array ? [data] : data) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) yield chunk.subarray(at, at + PIECE_BYTES);
  }
}
