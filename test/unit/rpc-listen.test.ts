import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Listen, listenOn } from "../../src/rpc/listen.ts";

let dir: string;
let open: Server[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "cedana-listen-"));
  open = [];
});

afterEach(async () => {
  await Promise.all(open.map((server) => new Promise((resolve) => server.close(resolve))));
  rmSync(dir, { recursive: true });
});

async function listen(where: Listen): Promise<Server> {
  const server = createServer((socket) => socket.end());
  await listenOn(server, where);
  open.push(server);
  return server;
}

const unix = (name = "d.sock"): Listen => ({ kind: "unix", path: join(dir, name) });

describe("a unix socket", () => {
  test("is open to everyone from its first moment, whatever the umask", async () => {
    const before = process.umask(0o077);
    try {
      await listen(unix());
      expect(process.umask()).toBe(0o077);
    } finally {
      process.umask(before);
    }
    expect(statSync(join(dir, "d.sock")).mode & 0o777).toBe(0o666);
  });

  test("that a killed daemon left behind is replaced", async () => {
    const left = Bun.spawn(
      [
        process.execPath,
        "-e",
        `require("net").createServer().listen(process.env.AT, () => console.log("up"))`,
      ],
      { env: { ...process.env, AT: join(dir, "d.sock") }, stdout: "pipe" },
    );
    await left.stdout.getReader().read();
    left.kill("SIGKILL");
    await left.exited;
    expect(existsSync(join(dir, "d.sock"))).toBe(true);
    expect((await listen(unix())).listening).toBe(true);
  });

  test("on which a daemon listens is left to it", async () => {
    await listen(unix());
    await expect(listen(unix())).rejects.toMatchObject({
      message: `a daemon is already listening on ${join(dir, "d.sock")}`,
    });
  });

  test("is not made in the place of a file", async () => {
    writeFileSync(join(dir, "d.sock"), "precious");
    await expect(listen(unix())).rejects.toMatchObject({ reason: "PATH_NOT_USABLE" });
    expect(await Bun.file(join(dir, "d.sock")).text()).toBe("precious");
  });

  test("in a folder that is missing says which folder", async () => {
    await expect(listen(unix("no/d.sock"))).rejects.toMatchObject({
      reason: "PATH_NOT_FOUND",
      message: expect.stringContaining(`no folder ${join(dir, "no")}`),
    });
  });
});

describe("TCP", () => {
  test("without a token does not start, and says which setting is missing", async () => {
    await expect(listen({ kind: "tcp", host: "127.0.0.1", port: 0, token: "" })).rejects.toMatchObject({
      reason: "BAD_CONFIG",
      hint: expect.stringContaining("connection.auth_token"),
    });
  });

  test.each(["0.0.0.0", "::", "192.0.2.1", "example.com"])("does not leave the host: %s", async (host) => {
    await expect(listen({ kind: "tcp", host, port: 0, token: "t" })).rejects.toMatchObject({
      reason: "BAD_CONFIG",
    });
  });

  test("on a port that is taken says that a daemon listens there", async () => {
    const address = (await listen({ kind: "tcp", host: "127.0.0.1", port: 0, token: "t" })).address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    await expect(listen({ kind: "tcp", host: "127.0.0.1", port, token: "t" })).rejects.toMatchObject({
      message: `a daemon is already listening on 127.0.0.1:${port}`,
    });
  });
});
