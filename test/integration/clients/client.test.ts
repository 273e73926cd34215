/** Our own client, when the daemon is away, goes away, or is slow to be read. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { connectDaemon, type DaemonClient } from "../../../src/rpc/client.ts";
import { accepts, startTestDaemon, type TestDaemon } from "../daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const unix = (address: string) => connectDaemon({ address, protocol: "unix" });
const env = ["PATH=/usr/bin:/bin"];

async function startAttachable(client: DaemonClient, jid: string, ...args: string[]): Promise<void> {
  await client.run({ args, env, jid, stdio: 2, attachFollows: true });
}

/** What Attach is sent first; the stream then stays open until `end`. */
async function* attachTo(jid: string, end: Promise<unknown>) {
  yield {
    message: { case: "start" as const, value: { target: { target: { case: "jid" as const, value: jid } } } },
  };
  await end;
}

describe("the client", () => {
  test("says that no daemon runs when there is no socket, and when nobody listens on it", async () => {
    await Bun.write(join(daemon.dir, "file"), "");
    for (const address of [join(daemon.dir, "none.sock"), join(daemon.dir, "file")]) {
      const expected = {
        reason: "DAEMON_NOT_RUNNING",
        message: `the daemon is not running: nothing listens on ${address}`,
        hint: "start it with: cedana daemon start",
      };
      await expect(unix(address).list({})).rejects.toMatchObject(expected);
      const stream = unix(address).attach(attachTo("x", Promise.resolve()));
      await expect(Array.fromAsync(stream)).rejects.toMatchObject(expected);
    }
  });

  test("says so when what listens is no daemon of ours", async () => {
    const path = join(daemon.dir, "other.sock");
    const other = createServer((socket) =>
      socket.resume().end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
    );
    await new Promise<void>((listening) => other.listen(path, listening));
    await expect(unix(path).list({})).rejects.toMatchObject({
      message: `what listens on ${path} is no cedana daemon`,
    });
    await new Promise((closed) => other.close(closed));
  });

  test("gives up when its time is over", async () => {
    const path = join(daemon.dir, "mute.sock");
    const mute = createServer((socket) => socket.on("error", () => {}).resume());
    await new Promise<void>((listening) => mute.listen(path, listening));
    await expect(unix(path).list({}, { timeoutMs: 100 })).rejects.toMatchObject({
      reason: "CANCELLED",
      message: "the daemon did not answer within the time given",
    });
    mute.close();
  });

  test("reads what the engine says of an error", async () => {
    const failing = unix(daemon.socket).get({ target: { target: { case: "jid", value: "nobody" } } });
    await expect(failing).rejects.toMatchObject({ name: "CedanaError", reason: "JOB_NOT_FOUND" });
  });

  test("detaches when told to, and the job goes on", async () => {
    const client = unix(daemon.socket);
    await startAttachable(client, "detached", "cat");
    const detach = new AbortController();
    const stream = client.attach(attachTo("detached", new Promise(() => {})), { signal: detach.signal });
    const seen = async () => {
      for await (const { message } of stream) if (message.case === "started") detach.abort();
    };
    await expect(seen()).rejects.toMatchObject({ reason: "CANCELLED" });
    const { job } = await client.get({ target: { target: { case: "jid", value: "detached" } } });
    expect(job?.exit).toBeUndefined();
    client.close();
  });

  test("that reads slowly slows the job down and does not fill the daemon", async () => {
    const client = unix(daemon.socket);
    await startAttachable(client, "flood", "yes");
    const resident = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid()}/status`, "utf8"))?.[1]);
    const before = resident();
    const over = Promise.withResolvers<void>();
    let bytes = 0;
    for await (const { message } of client.attach(attachTo("flood", over.promise))) {
      if (message.case !== "stdout") continue;
      bytes += message.value.length;
      if (bytes > 8_000_000) break;
      if (bytes > 1_000_000) await Bun.sleep(10);
    }
    over.resolve();
    client.close();
    expect(resident() - before).toBeLessThan(100_000);
  });
});

describe("a daemon that ends", () => {
  test("by SIGTERM tells whoever is attached, answers nobody new and leaves the job running", async () => {
    await using ending = await startTestDaemon();
    const client = unix(ending.socket);
    await startAttachable(client, "stays", "sleep", "1000");
    const { job } = await client.get({ target: { target: { case: "jid", value: "stays" } } });
    let ended: Promise<number> | undefined;
    const attached = async () => {
      for await (const { message } of client.attach(attachTo("stays", new Promise(() => {})))) {
        if (message.case === "started") ended = ending.terminate();
      }
    };
    await expect(attached()).rejects.toMatchObject({
      reason: "SHUTTING_DOWN",
      message: "the daemon is shutting down",
    });
    expect(await ended).toBe(0);
    expect(await accepts(ending.socket)).toBe(false);
    expect(readFileSync(`/proc/${job?.pid}/comm`, "utf8")).toBe("sleep\n");
    client.close();
  });

  test("by SIGKILL is a lost connection to whoever is attached", async () => {
    await using ending = await startTestDaemon();
    const client = unix(ending.socket);
    await startAttachable(client, "orphan", "sleep", "1000");
    const attached = async () => {
      for await (const { message } of client.attach(attachTo("orphan", new Promise(() => {})))) {
        if (message.case === "started") await ending.kill9();
      }
    };
    await expect(attached()).rejects.toMatchObject({
      reason: "DAEMON_NOT_RUNNING",
      message: `the connection to the daemon on ${ending.socket} was lost in the middle of the call`,
    });
    client.close();
  });
});
