/** Objects as range reads. */
import type { ByteSource } from "../archive/bytes.ts";
import { CedanaError } from "../errors.ts";
import type { Client } from "./client.ts";
import { refusalOf } from "./failure.ts";
import { Garbled } from "./refusal.ts";

interface ObjectOptions {
  client: Client;
  key: string;
  signal?: AbortSignal;
}

/** An object that is there now; a read after it was replaced fails with CHECKPOINT_CORRUPT. */
export async function sourceOf(options: ObjectOptions): Promise<ByteSource> {
  const { client, key, signal } = options;
  const label = labelOf(options);
  const { size, etag } = await look(options);
  return {
    size,
    label,
    async read(buffer, position) {
      const wanted = Math.max(0, Math.min(buffer.length, size - position));
      if (wanted === 0) return 0;
      let got = 0; // kept from try to try: only what is missing is asked for again
      const headers = () => ({
        range: `bytes=${position + got}-${position + wanted - 1}`,
        ...(etag === undefined ? {} : { "if-match": etag }),
      });
      await client.send(
        { doing: `read ${label}`, method: "GET", key, headers, signal },
        async (response, progress) => {
          for await (const bytes of rangeIn(response, position + got)) {
            progress();
            if (bytes.length > wanted - got) throw new Garbled(`${label} came with more than was asked for`);
            buffer.set(bytes, got);
            got += bytes.length;
          }
          if (got < wanted) throw new Garbled(`${label} came short: ${got} of ${wanted} bytes`);
        },
      );
      return wanted;
    },
  };
}

/** Throws CHECKPOINT_CORRUPT for an object of more than `limit` bytes. */
export async function readSmall(options: ObjectOptions & { limit?: number }): Promise<Buffer> {
  const { limit = 16 * 1024 * 1024 } = options;
  const source = await sourceOf(options);
  if (source.size > limit) {
    const message = `${source.label} has ${source.size} bytes, where at most ${limit} can be right`;
    throw new CedanaError({ reason: "CHECKPOINT_CORRUPT", message });
  }
  const whole = Buffer.alloc(source.size);
  await source.read(whole, 0);
  return whole;
}

/** Asks for the first byte, not by HEAD: an answer to HEAD has no body that could say what is wrong. */
async function look(options: ObjectOptions): Promise<{ size: number; etag: string | undefined }> {
  const { client, key, signal } = options;
  const headers = () => ({ range: "bytes=0-0" });
  const doing = `open ${labelOf(options)}`;
  try {
    return await client.send({ doing, method: "GET", key, headers, signal }, async (response) => {
      await response.arrayBuffer();
      const total = /^bytes 0-0\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1];
      // An empty object has no first byte: some stores answer with all of it.
      const size = total ?? (response.headers.get("content-length") === "0" ? "0" : undefined);
      if (size === undefined) throw new Garbled(`${doing}: the answer does not say its size`);
      return { size: Number(size), etag: response.headers.get("etag") ?? undefined };
    });
  } catch (error) {
    if (refusalOf(error)?.status === 416) return { size: 0, etag: undefined };
    throw error;
  }
}

function rangeIn(response: Response, start: number): ReadableStream<Uint8Array> {
  const range = response.headers.get("content-range") ?? "";
  if (response.status !== 206 || !range.startsWith(`bytes ${start}-`) || response.body === null)
    throw new Garbled(`the answer is not the range asked for (${response.status} ${range})`);
  return response.body;
}

function labelOf({ client: { place }, key }: ObjectOptions): string {
  return `${place.scheme}://${place.bucket}/${key}`;
}
