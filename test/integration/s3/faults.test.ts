/** What goes wrong between here and a bucket: what passes is ridden out, what does not is one clear line. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { CedanaError } from "../../../src/errors.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { type Fault, type FaultProxy, hang, loseAnswer, reset, startProxy } from "./proxy.ts";
import { type S3Server, startS3 } from "./server.ts";
import { bytes, get, MiB, open, openUploads, put } from "./storage.ts";

let server: S3Server;
let bucket: string;
let proxy: FaultProxy;
let storage: Storage;
/** Without the proxy. */
let direct: Storage;
beforeAll(async () => {
  server = await startS3();
}, 60_000);
beforeEach(async () => {
  bucket = await server.createBucket();
  proxy = await startProxy(server.endpoint);
  storage = open(server, `s3://${bucket}/p`, { endpoint: proxy.endpoint });
  direct = open(server, `s3://${bucket}/p`);
});
afterEach(() => proxy.stop());
afterAll(() => server.stop());

const data = bytes(30 * MiB, 5);
const nothingLeft = async () =>
  expect([await direct.list(""), await openUploads(server, bucket)]).toEqual([[], 0]);

const busy: Fault = { status: 503, code: "SlowDown", headers: { "Retry-After": "0" } };
const passing: [string, Fault][] = [
  ["503 SlowDown", busy],
  ["500", { status: 500, code: "InternalError" }],
  ["429", { status: 429, code: "TooManyRequests" }],
  ["a reset", reset],
  ["a lost answer", loseAnswer],
  ["silence", hang],
  ["a reset in the middle", { cut: "request", after: 3 * MiB, ending: "reset" }],
  ["silence in the middle", { cut: "request", after: 3 * MiB, ending: "hang" }],
  ["an end in the middle", { cut: "request", after: 3 * MiB, ending: "end" }],
];

describe("an upload rides out", () => {
  test.each(passing)("%s at a part", async (_, fault) => {
    proxy.inject(fault, { matches: /partNumber=2/, times: 2 });
    await put(storage, "ck", data);
    await proxy.met(2);
    expect((await get(direct, "ck")).equals(data)).toBe(true);
    expect(await openUploads(server, bucket)).toBe(0);
  });

  test.each(passing.slice(0, 6))("%s at its beginning, and leaves no second upload", async (_, fault) => {
    proxy.inject(fault, { matches: /^POST .*uploads=/ });
    await put(storage, "ck", data);
    await proxy.met();
    expect((await get(direct, "ck")).equals(data)).toBe(true);
    expect(await openUploads(server, bucket)).toBe(0);
  });

  test.each(passing.slice(0, 6))("%s at its end", async (_, fault) => {
    proxy.inject(fault, { matches: /^POST .*uploadId=/ });
    await put(storage, "ck", data);
    await proxy.met();
    expect((await get(direct, "ck")).equals(data)).toBe(true);
  });

  test.each(passing.slice(0, 6))("%s at a small object", async (_, fault) => {
    proxy.inject(fault, { matches: /^PUT/ });
    await put(storage, "ck", bytes(1000));
    await proxy.met();
    expect((await get(direct, "ck")).equals(bytes(1000))).toBe(true);
  });
});

const cut: [string, Fault][] = [
  ...passing.slice(0, 6),
  ["an answer reset in the middle", { cut: "answer", after: 300_000, ending: "reset" }],
  ["an answer silent in the middle", { cut: "answer", after: 300_000, ending: "hang" }],
  ["an answer that ends early", { cut: "answer", after: 300_000, ending: "end" }],
];
describe("a read rides out", () => {
  test.each(cut)("%s", async (_, fault) => {
    await put(direct, "ck", data);
    const source = await storage.source("ck");
    proxy.inject(fault, { times: 2 });
    const buffer = Buffer.alloc(5 * MiB);
    expect(await source.read(buffer, 1234)).toBe(5 * MiB);
    await proxy.met(2);
    expect(buffer.equals(data.subarray(1234, 1234 + 5 * MiB))).toBe(true);
  });

  test("connections that all end early, asking only for what is missing", async () => {
    await put(direct, "ck", data);
    const source = await storage.source("ck");
    proxy.inject({ cut: "answer", after: 2 * MiB, ending: "end" }, { times: 3 });
    const buffer = Buffer.alloc(7 * MiB);
    await source.read(buffer, 0);
    expect(buffer.equals(data.subarray(0, 7 * MiB))).toBe(true);
  });
});

test("a slow line is no dead line", async () => {
  // A part of 8 MiB takes longer than the second of silence after which a try has failed.
  proxy.throttle(5 * MiB);
  await put(storage, "ck", data);
  expect(proxy.requests.filter((each) => each.startsWith("PUT"))).toHaveLength(4);
});

const final: [string, Fault, Partial<CedanaError>][] = [
  ["403", { status: 403, code: "AccessDenied" }, { reason: "PERMISSION_DENIED" }],
  ["an expired token", { status: 400, code: "ExpiredToken" }, { reason: "PERMISSION_DENIED" }],
  ["a wrong key id", { status: 403, code: "InvalidAccessKeyId" }, { reason: "PERMISSION_DENIED" }],
  ["a wrong secret", { status: 403, code: "SignatureDoesNotMatch" }, { reason: "PERMISSION_DENIED" }],
  ["a missing bucket", { status: 404, code: "NoSuchBucket" }, { reason: "PATH_NOT_FOUND" }],
  ["a full store", { status: 403, code: "QuotaExceeded" }, { reason: "DISK_FULL" }],
];
describe("what waiting does not mend is told at the first answer, and leaves nothing:", () => {
  test.each(final)("%s", async (_, fault, facts) => {
    proxy.inject(fault, { matches: /partNumber=/, times: Number.POSITIVE_INFINITY });
    const error = await failure(put(storage, "ck", data));
    expect(error).toMatchObject(facts);
    expect(error.message).toStartWith(`cannot upload s3://${bucket}/p/ck: `);
    expect(error.message).not.toContain("tried");
    expect(error.hint).toBeString();
    await nothingLeft();
  });
});

test("a store that stays out of order is given up after some tries, with nothing left", async () => {
  proxy.inject(busy, { matches: /partNumber=/, times: Number.POSITIVE_INFINITY });
  const error = await failure(put(storage, "ck", data));
  expect(error.reason).toBe("STORAGE_UNAVAILABLE");
  expect(error.message).toEndWith("answers 503 SlowDown (tried 4 times)");
  await nothingLeft();
});

test("a store that falls behind holds the writer back, within its memory", async () => {
  proxy.inject(hang, { matches: /partNumber=/, times: Number.POSITIVE_INFINITY });
  const sink = storage.sink("ck", { memory: 16 * MiB });
  let accepted = 0;
  const writing = async () => {
    for (; accepted < 100 * MiB; accepted += MiB) await sink.write(data.subarray(0, MiB));
  };
  expect((await failure(writing())).reason).toBe("STORAGE_UNAVAILABLE");
  await sink.abort();
  expect(accepted).toBeGreaterThan(5 * MiB);
  expect(accepted).toBeLessThanOrEqual(16 * MiB);
  await nothingLeft();
});

test("a small object whose answers are all lost is removed again", async () => {
  proxy.inject(loseAnswer, { matches: /^PUT/, times: Number.POSITIVE_INFINITY });
  expect((await failure(put(storage, "ck", bytes(100)))).reason).toBe("STORAGE_UNAVAILABLE");
  await nothingLeft();
});

test("an upload that was cancelled while the store is silent does not wait for it", async () => {
  proxy.inject(hang, { matches: /partNumber=1/ });
  const stop = new AbortController();
  const sink = storage.sink("ck", { signal: stop.signal });
  await sink.write(data);
  await proxy.met();
  stop.abort();
  expect((await failure(sink.finish())).reason).toBe("CANCELLED");
  await sink.abort();
  await nothingLeft();
});

describe("before anything is frozen, one line tells of", () => {
  const at = (keys: Parameters<typeof open>[2], url = `s3://${bucket}/p`) => open(server, url, keys);
  const lines: [string, () => Storage, RegExp, CedanaError["reason"]][] = [
    [
      "a missing bucket",
      () => at({}, "s3://no-such-bucket/p"),
      /no bucket no-such-bucket at /,
      "PATH_NOT_FOUND",
    ],
    ["a wrong secret", () => at({ secret_access_key: "no" }), /secret key does not fit/, "PERMISSION_DENIED"],
    ["a wrong key id", () => at({ access_key_id: "no" }), /key id is not known/, "PERMISSION_DENIED"],
    [
      "a dead port",
      () => at({ endpoint: "http://127.0.0.1:9" }),
      /refuses the connection/,
      "STORAGE_UNAVAILABLE",
    ],
    [
      "a name nobody knows",
      () => at({ endpoint: "http://no.invalid" }),
      /cannot be reached/,
      "STORAGE_UNAVAILABLE",
    ],
    ["what is no S3", () => at({ endpoint: `${proxy.endpoint}/a/b` }), /.+/, "PATH_NOT_USABLE"],
  ];
  for (const access of ["read", "write"] as const) {
    test.each(lines)(`%s (${access})`, async (_, place, message, reason) => {
      proxy.inject({ status: 405, code: "<html>" }, { times: Number.POSITIVE_INFINITY });
      const error = await failure(place().check(access));
      expect(error.message).toMatch(message);
      expect(error.message).toStartWith(`cannot ${access === "read" ? "read from" : "write to"} s3://`);
      expect([error.reason, typeof error.hint, error.message.includes("\n")]).toEqual([
        reason,
        "string",
        false,
      ]);
    });
  }

  test("a store that is silent", async () => {
    proxy.inject(hang, { times: Number.POSITIVE_INFINITY });
    const error = await failure(storage.check("write"));
    expect(error.reason).toBe("STORAGE_UNAVAILABLE");
    expect(error.message).toContain("is silent: nothing came or went for 1 s");
  });

  test("nothing, where all is well, and nothing is left of the question", async () => {
    await storage.check("read");
    await storage.check("write");
    await nothingLeft();
  });
});

test("no secret is in any error", async () => {
  const secret = "wrong-secret-of-ours";
  const error = await failure(open(server, `s3://${bucket}/p`, { secret_access_key: secret }).check("write"));
  expect(Bun.inspect(error)).not.toContain(secret);
});

test("an object that is not there", async () => {
  expect(await failure(storage.source("none"))).toMatchObject({
    reason: "PATH_NOT_FOUND",
    message: `cannot open s3://${bucket}/p/none: there is no such object`,
  });
});

async function failure(promise: Promise<unknown>): Promise<CedanaError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof CedanaError) return error;
  throw new Error(`no CedanaError, but ${error}`, { cause: error });
}
