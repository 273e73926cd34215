/** Peers that mean harm or know no better: the daemon refuses them and goes on answering everyone else. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { connectDaemon } from "../../../src/rpc/client.ts";
import { startTestDaemon, type TestDaemon } from "../daemon.ts";

let daemon: TestDaemon;
let pid: number;
let open: Socket[] = [];
beforeAll(async () => {
  daemon = await startTestDaemon();
  pid = daemon.pid();
});
afterAll(() => daemon.stop());

afterEach(async () => {
  for (const socket of open) socket.destroy();
  open = [];
  await answers();
});

/** The same daemon, and quickly. */
async function answers(): Promise<void> {
  const client = connectDaemon({ address: daemon.socket, protocol: "unix" });
  expect((await client.list({}, { timeoutMs: 5000 })).jobs).toEqual([]);
  client.close();
  expect(daemon.pid()).toBe(pid);
}

function residentBytes(): number {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) * 1024;
}

function dial(bytes?: string | Uint8Array): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: daemon.socket });
    open.push(socket);
    socket.once("connect", () => {
      // The daemon hangs up in the middle: that is what is wanted.
      socket.off("error", reject).on("error", () => {});
      if (bytes !== undefined) socket.write(bytes);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

const post = "POST /cedana.daemon.v1.DaemonService/List HTTP/1.1\r\nHost: x\r\n";
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

test.each<[string, string | Uint8Array]>([
  ["random bytes", crypto.getRandomValues(new Uint8Array(20_000))],
  ["zeros", new Uint8Array(100_000)],
  ["half a preface", "PRI * HTTP/2.0\r\n\r\nS"],
  ["one letter", "P"],
  ["a preface and garbage", Buffer.concat([Buffer.from(preface), Buffer.alloc(5000, 0xff)])],
  ["HTTP/2 without settings", preface],
  ["no Host", "POST /cedana.daemon.v1.DaemonService/List HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"],
  [
    "a Host that is none",
    `${post.replace("Host: x", "Host: [")}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
  ],
  ["two lengths", `${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`],
  ["a megabyte of headers", `${post}X: ${"x".repeat(1_000_000)}\r\n\r\n`],
  [
    "a chunk of 4 GB",
    `${post}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\nxx`,
  ],
])("%s", async (_, bytes) => {
  await dial(bytes);
  await answers();
});

test("a message that claims to be 1 GB is refused before it is sent", async () => {
  const before = residentBytes();
  const length = await dial(`${post}Content-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n{`);
  expect(await firstOf(length)).toContain("429 Too Many Requests");
  const envelope = Buffer.from([0, 0x40, 0, 0, 0]);
  const head = `${post}Content-Type: application/grpc-web+proto\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n`;
  const framed = await dial(Buffer.concat([Buffer.from(head), envelope, Buffer.from("\r\n")]));
  expect(await firstOf(framed)).toContain("200 OK");
  expect(residentBytes() - before).toBeLessThan(200 * 1024 * 1024);
});

function firstOf(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once("data", (data) => resolve(data.toString("latin1")));
    socket.once("close", () => reject(new Error("closed without an answer")));
  });
}

test("200 connections that say nothing", async () => {
  await Promise.all(Array.from({ length: 200 }, () => dial()));
  await answers();
});

test("100 requests whose headers never end", async () => {
  const sockets = await Promise.all(Array.from({ length: 100 }, () => dial(post)));
  for (let i = 0; i < 10; i++) {
    for (const socket of sockets) socket.write(`X-${i}: x\r\n`);
    await Bun.sleep(20);
  }
  await answers();
});

test("one user's thousand connections leave the daemon to the others (needs root)", async () => {
  const hold = `const net = require("net"); let open = 0;
    for (let i = 0; i < 1000; i++) net.connect({ path: process.env.AT }).on("error", () => {});
    setTimeout(() => console.log("held"), 500); setInterval(() => {}, 1000);`;
  // A user without a name may not read Bun's own folder: setpriv keeps it by keeping the capability.
  const user = ["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"];
  const keep = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"];
  const child = Bun.spawn([...user, ...keep, process.execPath, "-e", hold], {
    env: { AT: daemon.socket, PATH: "/usr/bin:/bin" },
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    await child.stdout.getReader().read();
    await answers();
    expect(await daemon.log()).toContain("uid 4711");
  } finally {
    child.kill();
    await child.exited;
  }
});
