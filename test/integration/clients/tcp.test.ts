/** TCP: the token is all that tells who calls. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Metadata, status } from "@grpc/grpc-js";
import { startTestDaemon, type TestDaemon } from "../daemon.ts";
import { daemonService, type GrpcService } from "./grpc.ts";

const token = "correct horse";
let daemon: TestDaemon;
let client: GrpcService;
beforeAll(async () => {
  daemon = await startTestDaemon({ token });
  client = daemonService(daemon.address);
});
afterAll(async () => {
  client.close();
  await daemon.stop();
});

function bearing(header: string): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", header);
  return metadata;
}

test("the right token is the daemon's own user", async () => {
  expect(await client.unary("List", {}, bearing(`Bearer ${token}`))).toEqual({ jobs: [] });
});

test.each(["Bearer wrong", "Bearer ", token, `Basic ${token}`, `Bearer ${token}x`])(
  "another is refused: %p",
  async (header) => {
    const error = await client.unary("List", {}, bearing(header)).catch((error) => error);
    expect(error.code).toBe(status.UNAUTHENTICATED);
  },
);

test("none is refused over HTTP too, with the reason and a hint", async () => {
  const url = `http://${daemon.address}/cedana.daemon.v1.DaemonService/List`;
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: "{}",
  });
  expect(response.status).toBe(401);
  expect(await response.json()).toMatchObject({
    code: "unauthenticated",
    details: [
      { debug: { reason: "UNAUTHENTICATED", hint: expect.stringContaining("connection.auth_token") } },
    ],
  });
});

test("the command line shows the configured token", async () => {
  expect(await daemon.cli(["ps"])).toMatchObject({ code: 0 });
  const refused = await daemon.cli(["ps"], { env: { CEDANA_AUTH_TOKEN: "wrong" } });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("token");
});
