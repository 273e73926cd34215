/** gRPC's own JavaScript client, from the proto files alone. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { status } from "@grpc/grpc-js";
import { startTestDaemon, type TestDaemon } from "../daemon.ts";
import { daemonService, GrpcService } from "./grpc.ts";

let daemon: TestDaemon;
let client: GrpcService;
beforeAll(async () => {
  daemon = await startTestDaemon();
  client = daemonService(`unix:${daemon.socket}`);
});
afterAll(async () => {
  client.close();
  await daemon.stop();
});

const env = ["PATH=/usr/bin:/bin"];

describe("grpc-js", () => {
  test("runs a job, sees it in the list and kills it", async () => {
    const log = `${daemon.dir}/sleep.log`;
    const answer = await client.unary("Run", { args: ["sleep", "1000"], env, jid: "grpc_sleep", log });
    const job = { jid: "grpc_sleep", args: ["sleep", "1000"], uid: process.getuid?.(), log };
    expect(answer).toMatchObject({ job });
    expect(await client.unary("List", {})).toMatchObject({ jobs: [job] });
    expect(await client.unary("Kill", { jids: ["grpc_sleep"] })).toEqual({ jids: ["grpc_sleep"] });
  });

  test("gets the status code of what is not there, and the error's detail in the trailers", async () => {
    const error = await client.unary("Get", { target: { jid: "nobody" } }).catch((error) => error);
    expect(error.code).toBe(status.NOT_FOUND);
    expect(error.details).toContain("nobody");
    expect(error.metadata.get("grpc-status-details-bin").toString()).toContain("JOB_NOT_FOUND");
  });

  test("gets INVALID_ARGUMENT that names the field", async () => {
    const error = await client.unary("Freeze", { target: { pid: 0 } }).catch((error) => error);
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.details).toStartWith("target.pid: ");
  });

  test("talks with a job both ways at once, to the exit status", async () => {
    const args = ["sh", "-c", "cat; echo end >&2; exit 7"];
    await client.unary("Run", {
      args,
      env,
      jid: "grpc_cat",
      stdio: "STDIO_ATTACHABLE",
      attach_follows: true,
    });
    const call = client.both("Attach");
    const over = new Promise((resolve, reject) => call.on("end", resolve).on("error", reject));
    const seen = { stdout: "", stderr: "", exit: undefined };
    call.on("data", (answer: object) => {
      const kind = Reflect.get(answer, "message");
      const value = Reflect.get(answer, kind);
      if (kind === "started") call.write({ stdin: Buffer.from("first\n") });
      else if (kind === "exit") seen.exit = value;
      else if (kind === "stderr") seen.stderr += value;
      else {
        seen.stdout += value;
        // The answer to what was sent came back before the stream was closed: that is both ways at once.
        if (seen.stdout === "first\n") call.write({ stdin: Buffer.from("second\n") });
        if (seen.stdout === "first\nsecond\n") call.write({ stdin_eof: true });
      }
    });
    call.write({ start: { target: { jid: "grpc_cat" } } });
    await over;
    expect(seen).toMatchObject({
      stdout: "first\nsecond\n",
      stderr: "end\n",
      exit: { status: 7, signal: 0 },
    });
  });

  test("is refused when Attach does not begin with its start", async () => {
    const call = client.both("Attach");
    const failed = new Promise<{ code: number; details: string }>((resolve) => call.on("error", resolve));
    call.on("data", () => {});
    call.write({ stdin: Buffer.from("x") });
    const error = await failed;
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.details).toStartWith("start: ");
  });

  test("asks and watches the health service", async () => {
    const health = new GrpcService(
      `unix:${daemon.socket}`,
      "grpc/health/v1/health.proto",
      "grpc.health.v1.Health",
    );
    expect(await health.unary("Check", {})).toEqual({ status: "SERVING" });
    const error = await health.unary("Check", { service: "no.Such" }).catch((error) => error);
    expect(error.code).toBe(status.NOT_FOUND);
    const watch = health.watch("Watch", { service: "cedana.daemon.v1.DaemonService" });
    watch.on("error", () => {});
    const first = await new Promise((resolve) => watch.once("data", resolve));
    expect(first).toEqual({ status: "SERVING" });
    watch.cancel();
    health.close();
  });
});
