/** Debian's python3-grpcio (packages python3-grpcio and python3-protobuf), from the proto files alone. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { root, startTestDaemon, type TestDaemon } from "../daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

async function run(command: string[]): Promise<string> {
  const child = Bun.spawn(command, { cwd: root, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command.join(" ")}:\n${stderr}`);
  return stdout;
}

test("python3-grpcio runs a job, attaches to it both ways, lists it and gets errors", async () => {
  const descriptors = join(daemon.dir, "descriptors.binpb");
  await run([join(root, "node_modules/.bin/buf"), "build", "--as-file-descriptor-set", "-o", descriptors]);
  const script = join(root, "test/integration/clients/client.py");
  const result = JSON.parse(await run(["/usr/bin/python3", script, `unix:${daemon.socket}`, descriptors]));
  expect(result.run.job).toMatchObject({ jid: "python_cat", attachable: true });
  expect(result.attach).toEqual({ stdout: "from python\n", status: 3 });
  expect(result.list.jobs).toContainEqual(expect.objectContaining({ jid: "python_cat" }));
  expect(result.error).toEqual({ code: "NOT_FOUND", details: expect.stringContaining("nobody") });
});
