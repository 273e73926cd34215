/** curl, which knows nothing of us: the Connect protocol as plain HTTP and JSON, and gRPC-Web as bytes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startTestDaemon, type TestDaemon } from "../daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

async function curl(path: string, ...options: string[]): Promise<{ status: number; body: Buffer }> {
  const marker = "\nstatus ";
  const command = ["curl", "-sS", "--unix-socket", daemon.socket, "-w", `${marker}%{http_code}`, ...options];
  const child = Bun.spawn([...command, `http://localhost/${path}`], { stdout: "pipe", stderr: "pipe" });
  const output = Buffer.from(await new Response(child.stdout).arrayBuffer());
  if ((await child.exited) !== 0) throw new Error(await child.stderr.text());
  const end = output.lastIndexOf(marker);
  return { status: Number(output.subarray(end + marker.length).toString()), body: output.subarray(0, end) };
}

function call(method: string, request: object, ...options: string[]) {
  const json = ["-H", "Content-Type: application/json", "-d", JSON.stringify(request)];
  return curl(`cedana.daemon.v1.DaemonService/${method}`, ...json, ...options);
}

describe.each([
  ["HTTP/1.1", "--http1.1"],
  ["HTTP/2", "--http2-prior-knowledge"],
])("curl over %s", (_, version) => {
  test("lists jobs in JSON", async () => {
    const { status, body } = await call("List", {}, version);
    expect(status).toBe(200);
    expect(JSON.parse(body.toString())).toHaveProperty("jobs");
  });

  test("gets a code, a message, the reason and a status for what is not there", async () => {
    const { status, body } = await call("Get", { target: { jid: "nobody" } }, version);
    expect(status).toBe(404);
    expect(JSON.parse(body.toString())).toMatchObject({
      code: "not_found",
      message: expect.stringContaining("nobody"),
      details: [{ type: "cedana.daemon.v1.ErrorDetail", debug: { reason: "JOB_NOT_FOUND" } }],
    });
  });

  test("is told which field is wrong", async () => {
    const { status, body } = await call("Run", { args: ["true"], cwd: "relative" }, version);
    expect(status).toBe(400);
    expect(JSON.parse(body.toString()).message).toStartWith("cwd: ");
  });

  test("gets an error for a body that is no JSON, and for a method that is none", async () => {
    expect((await call("List", {}, version, "-d", "{{{")).status).toBe(400);
    expect((await call("Nothing", {}, version)).status).toBe(404);
    expect((await curl("", version)).status).toBe(404);
  });

  test("asks the health service", async () => {
    const json = ["-H", "Content-Type: application/json", "-d", "{}"];
    const { body } = await curl("grpc.health.v1.Health/Check", ...json, version);
    expect(JSON.parse(body.toString())).toEqual({ status: "SERVING" });
  });

  test("speaks gRPC-Web: a frame in, a frame and trailers out", async () => {
    // No flags, four bytes of length, and an empty ListRequest.
    const frame = `${daemon.dir}/frame`;
    await Bun.write(frame, new Uint8Array(5));
    const headers = ["-H", "Content-Type: application/grpc-web+proto", "-H", "X-Grpc-Web: 1"];
    const path = "cedana.daemon.v1.DaemonService/List";
    const { status, body } = await curl(path, ...headers, "--data-binary", `@${frame}`, version);
    expect(status).toBe(200);
    const trailers = body.subarray(5 + body.readUInt32BE(1));
    expect(body[0]).toBe(0);
    expect(trailers[0]).toBe(0x80);
    expect(trailers.subarray(5).toString()).toContain("grpc-status: 0");
  });
});
