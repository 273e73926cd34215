/** Opens a bucket of a test's server, and moves bytes that can be told apart. */
import { openStorage, type Storage, type StorageOptions } from "../../../src/storage/storage.ts";
import type { S3Server } from "./server.ts";

export const MiB = 1024 * 1024;

/** Tests wait less for a silent store than people do. */
export const brief = { tries: 4, idleMs: 1000, stalls: 4, slowest: 4 * MiB, baseMs: 10, capMs: 100 };

type Keys = Partial<StorageOptions["settings"]["aws"]>;

/** The place `url` ("s3://bucket/prefix") as the owner of the server's keys sees it; `keys` stand for some of them. */
export function open(server: S3Server, url: string, keys: Keys = {}): Storage {
  const gcs = { access_key_id: "", secret_access_key: "", endpoint: "" };
  const own = { access_key_id: server.accessKey, secret_access_key: server.secretKey };
  const aws = { ...own, session_token: "", region: "us-east-1", endpoint: server.endpoint, ...keys };
  return openStorage({
    url,
    settings: { aws, gcs },
    owner: { home: "/nonexistent", env: {} },
    patience: brief,
  });
}

/** Bytes that differ at every position and for every seed. */
export function bytes(size: number, seed = 0): Buffer {
  const data = Buffer.alloc(size);
  let word = seed + 1;
  for (let at = 0; at + 4 <= size; at += 4) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    data.writeUInt32LE(word, at);
  }
  return data;
}

/** All of `data` as the object `name`, in pieces of odd sizes; what fails is undone. */
export async function put(storage: Storage, name: string, data: Buffer): Promise<number> {
  const sink = storage.sink(name);
  try {
    for (let at = 0; at < data.length; at += 700_001) await sink.write(data.subarray(at, at + 700_001));
    const size = await sink.finish();
    await sink.commit();
    return size;
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** All of the object `name`, by reads in flight at once. */
export async function get(storage: Storage, name: string): Promise<Buffer> {
  const source = await storage.source(name);
  const whole = Buffer.alloc(source.size);
  const starts = Array.from({ length: Math.ceil(source.size / MiB) }, (_, index) => index * MiB);
  await Promise.all(starts.map((start) => source.read(whole.subarray(start, start + MiB), start)));
  return whole;
}

/** Uploads that the server still holds open in `bucket`. */
export async function openUploads(server: S3Server, bucket: string): Promise<number> {
  const answer = await (await server.ask(`/${bucket}?uploads=`)).text();
  return answer.split("<UploadId>").length - 1;
}
