/**
 * Bytes of unknown number → one object. Up to the size of a part they wait for commit() and go as one PUT; more go as a
 * multipart upload, parts at once, each from a buffer that is filled again when its part has arrived:
 *
 *     write → [filling] → [on its way] [on its way] [on its way] → free ↺
 *
 * A part in which something is reserved waits for that, in a buffer of its own, while those behind it go.
 *
 * Parts grow with the object, as no store takes more than 10,000: 5 to 8 MiB for the first thousand, then twice as many
 * for every further thousand, which makes 5 TiB, the largest object there is. Fewer are on their way then.
 */
import type { ByteSink } from "../archive/bytes.ts";
import type { Client } from "./client.ts";
import { beginMultipart, type Multipart } from "./multipart.ts";
import { removeObjects } from "./objects.ts";
import { hasty } from "./patience.ts";

const MiB = 1024 * 1024;
/** Of every part but the last, for all stores. */
const SMALLEST = 5 * MiB;
const USUAL = 8 * MiB;
/** One connection to a distant store carries 50 to 100 MB/s, whatever the line. */
const BUFFERS = 8;

/** Bytes of part `number` (from 1) where the first ones have `first`. */
export function partSize(number: number, first: number): number {
  return first * 2 ** Math.floor((number - 1) / 1000);
}

interface Part {
  /** From 1. */
  number: number;
  buffer: Buffer;
  filled: number;
  /** Places in it that are reserved and not filled yet. */
  owed: number;
  /** Nothing more is added to it. */
  closed: boolean;
}

interface UploadOptions {
  client: Client;
  key: string;
  /** Bytes that buffers may take. */
  memory?: number;
  signal?: AbortSignal;
}

export function createUpload({ client, key, memory = BUFFERS * USUAL, signal }: UploadOptions): ByteSink {
  const doing = `upload ${client.place.scheme}://${client.place.bucket}/${key}`;
  const first = Math.min(USUAL, Math.max(SMALLEST, Math.floor(memory / BUFFERS)));
  const gaveUp = new AbortController();
  const either = signal === undefined ? gaveUp.signal : AbortSignal.any([signal, gaveUp.signal]);
  const target = { client, key, doing, signal: either };

  let filling: Part | undefined;
  let begun = 0;
  let closed = 0;
  let size = 0;
  let reserved = 0;
  let beginning: Promise<Multipart> | undefined;
  const free: Buffer[] = [];
  const onTheirWay = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  let committing = false;

  const check = () => {
    if (failure !== undefined) throw failure.error;
  };
  const fail = (error: unknown) => {
    failure ??= { error };
    gaveUp.abort(error); // the other parts' bytes would be for nothing
    return undefined;
  };

  /** The next part, once few enough others are on their way. */
  async function nextPart(): Promise<Part> {
    const number = ++begun;
    const bytes = partSize(number, first);
    const most = Math.max(2, Math.min(BUFFERS, Math.floor(memory / bytes)));
    while (onTheirWay.size >= most) {
      await Promise.race(onTheirWay);
      check();
    }
    const buffer = free.pop();
    const fits = buffer?.length === bytes ? buffer : Buffer.allocUnsafeSlow(bytes);
    return { number, buffer: fits, filled: 0, owed: 0, closed: false };
  }

  /** The part that is being filled, with room in it. */
  async function roomy(): Promise<Part> {
    check();
    if (filling?.filled === filling?.buffer.length) await closePart();
    filling ??= await nextPart();
    return filling;
  }

  /** Nothing is added to it any more: it goes as soon as it has all that was reserved. */
  async function closePart(): Promise<void> {
    const part = filling;
    if (part === undefined || part.filled === 0) return;
    filling = undefined;
    part.closed = true;
    closed++;
    if (part.owed === 0) await send(part);
  }

  async function send({ number, buffer, filled }: Part): Promise<void> {
    beginning ??= beginMultipart(target);
    const upload = await beginning.catch(fail);
    check();
    const sending = upload?.part(number, buffer.subarray(0, filled)).then(() => {
      free.push(buffer);
    }, fail);
    if (sending === undefined) return;
    const done = sending.finally(() => onTheirWay.delete(done));
    onTheirWay.add(done);
  }

  return {
    async write(bytes) {
      for (let at = 0; at < bytes.length; ) {
        const part = await roomy();
        const piece = bytes.subarray(at, at + part.buffer.length - part.filled);
        part.buffer.set(piece, part.filled);
        part.filled += piece.length;
        at += piece.length;
      }
      size += bytes.length;
    },
    async reserve(length) {
      const places: { part: Part; room: Buffer }[] = [];
      for (let left = length; left > 0; ) {
        const part = await roomy();
        const room = part.buffer.subarray(part.filled, part.filled + left);
        part.filled += room.length;
        part.owed++;
        left -= room.length;
        places.push({ part, room });
      }
      size += length;
      reserved++;
      return async (bytes) => {
        reserved--;
        let at = 0;
        for (const { part, room } of places) {
          room.set(bytes.subarray(at, at + room.length));
          at += room.length;
          part.owed--;
          if (part.closed && part.owed === 0) await send(part);
        }
      };
    },
    async finish() {
      check();
      if (reserved > 0) throw new Error(`${doing}: ${reserved} reserved places were never filled`);
      if (closed > 0) await closePart();
      await Promise.all(onTheirWay);
      check();
      return size;
    },
    async commit() {
      check();
      committing = true;
      const multipart = await beginning;
      if (multipart !== undefined) return multipart.complete(size);
      const body = filling?.buffer.subarray(0, filling.filled) ?? new Uint8Array();
      const call = { doing, method: "PUT", key, body, signal: either } as const;
      await client.send(call, (response) => response.text());
    },
    async abort() {
      gaveUp.abort();
      await Promise.all(onTheirWay);
      const multipart = await beginning?.catch(() => undefined); // write() told of it, and nothing was begun
      await multipart?.abort();
      // A PUT or the last request whose answer was lost may have made it visible.
      if (committing) await removeObjects({ client, keys: [key], haste: hasty });
    },
  };
}
