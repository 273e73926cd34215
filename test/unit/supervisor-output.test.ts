/** A job's output and the clients that take it, or do not. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { frame } from "../../src/supervisor/frames.ts";
import { Output } from "../../src/supervisor/output.ts";

const dir = mkdtempSync("/tmp/cedana-output-");
const sockets: Socket[] = [];
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  rmSync(dir, { recursive: true, force: true });
});

/** The supervisor's end of a connection whose other end reads nothing. */
async function stuckClient(name: string): Promise<Socket> {
  const path = join(dir, name);
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const server = createServer((socket) => resolve(socket)).listen(path);
  const other = connect(path).pause();
  const socket = await promise;
  server.close();
  sockets.push(other, socket);
  return socket;
}

test("a client that takes nothing for long enough is let go, and the job writes on", async () => {
  const output = new Output(false, 50);
  const client = await stuckClient("stuck");
  const closed = new Promise((resolve) => client.once("close", resolve));
  output.attach(client);
  for (let megabyte = 0; megabyte < 8; megabyte++) await output.write(frame.stdout, Buffer.alloc(1 << 20));
  await closed;
  expect(client.destroyed).toBe(true);
});

test("the end is told to nobody for ever", async () => {
  const output = new Output(false, 50);
  const client = await stuckClient("end");
  output.attach(client);
  void output.write(frame.stdout, Buffer.alloc(1 << 20));
  await output.end(frame.exit, { status: 0 });
  expect(client.destroyed).toBe(true);
});

test("what comes before an announced attach is kept whole, and what an outliving child writes is not waited for", async () => {
  const output = new Output(true);
  void output.write(frame.stdout, Buffer.alloc(100_000));
  void output.write(frame.stderr, Buffer.alloc(100_000));
  await output.drain(new Promise(() => {}));
  const kept = output.tail.frames().reduce((sum, { length }) => sum + length, 0);
  expect(kept).toBeGreaterThanOrEqual(200_000);
});
