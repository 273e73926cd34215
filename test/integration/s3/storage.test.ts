/** Checkpoints' bytes in a bucket, against a real S3 server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openStorage } from "../../../src/storage/storage.ts";
import { type S3Server, startS3 } from "./server.ts";
import { bytes, get, MiB, open, openUploads, put } from "./storage.ts";

let server: S3Server;
let bucket: string;
beforeAll(async () => {
  server = await startS3({ sessions: true });
  bucket = await server.createBucket();
}, 60_000);
afterAll(() => server.stop());

const place = (prefix: string) => open(server, `s3://${bucket}/${prefix}`);
const sizes = [
  ["nothing", 0],
  ["a byte", 1],
  ["a part to the byte", 8 * MiB],
  ["a part and a byte", 8 * MiB + 1],
  ["eleven parts and a bit", 88 * MiB + 4321],
] as const;

test.each(sizes)("%s comes back as it went", async (name, size) => {
  const storage = place("there and back");
  const data = bytes(size, size);
  expect(await put(storage, name, data)).toBe(size);
  expect((await get(storage, name)).equals(data)).toBe(true);
  expect((await storage.read(name, { limit: 100 * MiB })).equals(data)).toBe(true);
});

test("keys may hold any character but control characters", async () => {
  const storage = place("a+b &c=ü%20'()*");
  const name = 'ck 1/~!@#$^{}[]|;,<>?\\"日本';
  await put(storage, name, bytes(10));
  expect(await storage.list("")).toEqual([{ name, size: 10 }]);
  expect((await get(storage, name)).equals(bytes(10))).toBe(true);
  await storage.remove([name]);
  expect(await storage.list("")).toEqual([]);
});

test("nobody sees an object before it is committed, be it small or in parts", async () => {
  const storage = place("unseen");
  for (const size of [100, 20 * MiB]) {
    const sink = storage.sink("ck");
    await sink.write(bytes(size));
    expect(await sink.finish()).toBe(size);
    expect(await storage.list("")).toEqual([]);
    await sink.commit();
    expect(await storage.list("")).toEqual([{ name: "ck", size }]);
    await storage.remove(["ck"]);
  }
});

test("an upload given up at any point leaves nothing", async () => {
  const own = await server.createBucket();
  const storage = open(server, `s3://${own}/p`);
  for (const size of [0, 100, 40 * MiB]) {
    for (const until of ["write", "finish", "commit"]) {
      const sink = storage.sink("ck");
      await sink.write(bytes(size));
      if (until !== "write") await sink.finish();
      if (until === "commit") await sink.commit();
      await sink.abort();
      expect([await storage.list(""), await openUploads(server, own)]).toEqual([[], 0]);
    }
  }
});

test("a writer may use its bytes again at once", async () => {
  const storage = place("reuse");
  const sink = storage.sink("ck");
  const block = Buffer.alloc(MiB);
  for (let index = 0; index < 20; index++) await sink.write(block.fill(index));
  await sink.finish();
  await sink.commit();
  const whole = await get(storage, "ck");
  expect(Array.from({ length: 20 }, (_, index) => whole[index * MiB + 77])).toEqual([...Array(20).keys()]);
});

test("a cancelled upload ends at once, with nothing left", async () => {
  const own = await server.createBucket();
  const storage = open(server, `s3://${own}/p`);
  const stop = new AbortController();
  const sink = storage.sink("ck", { signal: stop.signal });
  await sink.write(bytes(30 * MiB));
  stop.abort();
  const failed = await sink.finish().catch((error: unknown) => error);
  expect(failed).toMatchObject({ reason: "CANCELLED" });
  await sink.abort();
  expect([await storage.list(""), await openUploads(server, own)]).toEqual([[], 0]);
});

test("a read at the end gives what there is, beyond it nothing", async () => {
  const storage = place("edges");
  await put(storage, "ck", bytes(1000));
  const source = await storage.source("ck");
  expect(source.size).toBe(1000);
  expect(source.label).toBe(`s3://${bucket}/edges/ck`);
  const buffer = Buffer.alloc(600);
  expect(await source.read(buffer, 900)).toBe(100);
  expect(buffer.subarray(0, 100).equals(bytes(1000).subarray(900))).toBe(true);
  expect(await source.read(buffer, 1000)).toBe(0);
});

test("an object that was replaced while it was read is told, not mixed", async () => {
  const storage = place("replaced");
  await put(storage, "ck", bytes(1000));
  const source = await storage.source("ck");
  await put(storage, "ck", bytes(1000, 7));
  const failed = await source.read(Buffer.alloc(10), 0).catch((error: unknown) => error);
  expect(failed).toMatchObject({ reason: "CHECKPOINT_CORRUPT" });
});

test("lists go on past a page, and know their own prefix", async () => {
  const storage = place("many");
  const names = Array.from({ length: 1100 }, (_, index) => `ck/img-${String(index).padStart(4, "0")}`);
  const left = [...names];
  const worker = async () => {
    for (let name = left.pop(); name !== undefined; name = left.pop()) await put(storage, name, bytes(1));
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  await put(place("many-others"), "ck/img-0000", bytes(1));
  expect((await storage.list("ck/")).map((each) => each.name)).toEqual(names);
  expect(await storage.list("ck/img-000")).toHaveLength(10);
  await storage.remove(names);
  expect(await storage.list("")).toEqual([]);
}, 60_000);

describe("what a killed process left half uploaded", () => {
  test("is aborted by its name, and nothing beside it", async () => {
    const own = await server.createBucket();
    const storage = open(server, `s3://${own}/p`);
    for (const key of ["p/ck", "p/ck/img-0", "p/ck-2", "p2/ck"])
      await server.ask(`/${own}/${key}?uploads=`, { method: "POST" });
    expect((await storage.abandon("ck")).sort()).toEqual(["ck", "ck/img-0"]);
    expect(await openUploads(server, own)).toBe(2);
    expect(await storage.abandon("")).toEqual(["ck-2"]);
    expect(await openUploads(server, own)).toBe(1);
  });

  test("by kill -9 in the middle of a part, too", async () => {
    const own = await server.createBucket();
    const module = `${import.meta.dir}/storage.ts`;
    const program = `const { open, bytes } = await import(${JSON.stringify(module)});
      const { endpoint, accessKey, secretKey } = JSON.parse(await Bun.stdin.text());
      const sink = open({ endpoint, accessKey, secretKey }, "s3://${own}/p").sink("ck");
      for (;;) { await sink.write(bytes(1 << 20)); console.log("wrote"); }`;
    const child = Bun.spawn([process.execPath, "-e", program], { stdin: "pipe", stdout: "pipe" });
    child.stdin.write(JSON.stringify(server));
    child.stdin.end();
    let wrote = 0;
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      wrote += text.split("wrote").length - 1;
      if (wrote > 30) break;
    }
    child.kill("SIGKILL");
    await child.exited;
    expect(await openUploads(server, own)).toBe(1);
    const storage = open(server, `s3://${own}/p`);
    expect(await storage.abandon("ck")).toEqual(["ck"]);
    expect([await storage.list(""), await openUploads(server, own)]).toEqual([[], 0]);
  });
});

test("temporary keys need their session token, and work with it", async () => {
  const { accessKey, secretKey, sessionToken } = await server.sessionKeys();
  const keys = { access_key_id: accessKey, secret_access_key: secretKey };
  const storage = open(server, `s3://${bucket}/session`, { ...keys, session_token: sessionToken });
  await put(storage, "ck", bytes(20 * MiB));
  expect((await get(storage, "ck")).equals(bytes(20 * MiB))).toBe(true);
  const without = open(server, `s3://${bucket}/session`, keys).check("read");
  expect(await without.catch((error: unknown) => error)).toMatchObject({ reason: "PERMISSION_DENIED" });
});

test("gs:// is the same code with keys and an endpoint of its own", async () => {
  const { endpoint, accessKey, secretKey } = server;
  const aws = { access_key_id: "", secret_access_key: "", session_token: "", region: "", endpoint: "" };
  const gcs = { access_key_id: accessKey, secret_access_key: secretKey, endpoint };
  const owner = { home: "/nonexistent", env: {} };
  const storage = openStorage({ url: `gs://${bucket}/google`, settings: { aws, gcs }, owner });
  await storage.check("write");
  await put(storage, "ck", bytes(20 * MiB));
  expect((await get(storage, "ck")).equals(bytes(20 * MiB))).toBe(true);
  expect((await storage.source("ck")).label).toBe(`gs://${bucket}/google/ck`);
});
