/** One request to a bucket: signed, watched, and made again where that may help. */
import { setTimeout as sleep } from "node:timers/promises";
import { AwsV4Signer } from "aws4fetch";
import { CedanaError, errnoOf } from "../errors.ts";
import type { Credentials } from "./credentials.ts";
import { cancelled, isCertificateFault, storageFailure } from "./failure.ts";
import { type Haste, type Patience, pauseAfter } from "./patience.ts";
import type { Place } from "./place.ts";
import { Garbled, isTransient, Refusal, refusalIn } from "./refusal.ts";
import { Stalled, type Watch, watch } from "./watch.ts";

export interface Call extends Haste {
  /** Continues "cannot …" and "cancelled: …". */
  doing: string;
  method: "GET" | "PUT" | "POST" | "DELETE";
  /** The object; without it, the bucket. */
  key?: string;
  query?: Record<string, string>;
  /** Asked for at every try. */
  headers?: () => Record<string, string>;
  /** Must not change before the call has ended. */
  body?: Uint8Array;
  signal?: AbortSignal;
  /** A try failed, and the store may have done what it was asked all the same. */
  onRetry?: () => void;
}

/** Takes what is needed from an answer. `progress` is to be called as bytes come. May be called for several tries. */
export type Reader<T> = (response: Response, progress: () => void) => Promise<T>;

export interface Client {
  readonly place: Place;
  /** Rejects with a CedanaError whose cause is the last try's failure. */
  send<T>(call: Call, read: Reader<T>): Promise<T>;
}

export function createClient(options: {
  place: Place;
  credentials: Credentials;
  patience: Patience;
}): Client {
  const { place, credentials, patience } = options;
  const base = baseOf(place, credentials);
  const host = new URL(base).host;
  // aws4fetch keeps the day's signing key there.
  const cache = new Map<string, ArrayBuffer>();

  async function attempt<T>(call: Call, read: Reader<T>): Promise<T> {
    using watched = watch(patience.idleMs * (call.patient ?? 1), call.signal);
    const { url, headers } = await new AwsV4Signer({
      ...credentials,
      method: call.method,
      url: base + pathOf(call),
      headers: call.headers?.(),
      service: "s3",
      cache,
    }).sign();
    // Not signed: Google's front ends change this header on the way.
    headers.set("accept-encoding", "identity");
    if (call.body !== undefined) headers.set("content-length", String(call.body.length));
    const response = await fetch(url, {
      method: call.method,
      headers,
      body: call.body === undefined ? undefined : piecewise(call.body, watched.progress, patience),
      signal: watched.signal,
      redirect: "manual",
    });
    watched.progress();
    if (!response.ok) throw await refusalIn(response);
    return await read(response, watched.progress);
  }

  return {
    place,
    async send(call, read) {
      for (let tried = 0, stalled = 0; ; tried++) {
        try {
          if (call.signal?.aborted === true) throw call.signal.reason;
          return await attempt(call, read);
        } catch (error) {
          if (call.signal?.aborted === true) throw cancelled(call.doing, call.signal.reason);
          if (error instanceof Stalled) stalled++;
          const enough = tried + 1 >= (call.tries ?? patience.tries) || stalled >= patience.stalls;
          if (!mayPass(error) || enough)
            throw storageFailure({ doing: call.doing, place, host, error, tries: tried + 1 });
          call.onRetry?.();
          const retryAfter = error instanceof Refusal ? error.retryAfter : null;
          await sleep(pauseAfter(tried, patience, retryAfter), undefined, { signal: call.signal }).catch(
            () => {
              throw cancelled(call.doing, call.signal?.reason);
            },
          );
        }
      }
    },
  };
}

/** Whether the same request may succeed later. Bun's own network failures have a `code`; our mistakes have none. */
function mayPass(error: unknown): boolean {
  if (error instanceof CedanaError) return false;
  if (error instanceof Refusal) return isTransient(error);
  if (error instanceof Stalled || error instanceof Garbled) return true;
  const errno = errnoOf(error);
  return errno !== undefined && !isCertificateFault(errno);
}

/**
 * Amazon's own buckets are asked by their own host names, as it wants for new ones, unless a dot in the name would
 * fail its certificate. All others by path, which every one of them knows.
 */
function baseOf({ scheme, bucket }: Place, { endpoint, region }: Credentials): string {
  if (endpoint !== undefined) return `${endpoint.replace(/\/+$/, "")}/${bucket}`;
  if (scheme === "gs") return `https://storage.googleapis.com/${bucket}`;
  const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  if (bucket.includes(".")) return `https://s3.${region}.${domain}/${bucket}`;
  return `https://${bucket}.s3.${region}.${domain}`;
}

function pathOf({ key, query = {} }: Call): string {
  const path = key === undefined ? "" : `/${key.split("/").map(encode).join("/")}`;
  const pairs = Object.entries(query).map(([name, value]) => `${encode(name)}=${encode(value)}`);
  return pairs.length === 0 ? path : `${path}?${pairs.join("&")}`;
}

/** As SigV4 wants it: all but letters, digits and "-._~". */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** A quarter of a MiB: small enough to see a slow line move, large enough for 1.5 GB/s. */
const PIECE = 256 * 1024;

/**
 * fetch asks for the next piece when the socket has taken the last one: that is how a stalled upload is seen. The
 * last megabytes fit into the kernel's buffer at once, and nothing shows how they leave it: they get time on trust.
 */
function piecewise(bytes: Uint8Array, progress: Watch["progress"], { slowest }: Patience) {
  if (bytes.length <= PIECE) return bytes;
  let at = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (at >= bytes.length) {
          progress((bytes.length / slowest) * 1000);
          return controller.close();
        }
        progress();
        controller.enqueue(bytes.subarray(at, at + PIECE));
        at += PIECE;
      },
    },
    { highWaterMark: 0 },
  );
}
