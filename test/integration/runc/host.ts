/** A daemon and a runc of a test file's own, until its tests are done. */
import { afterAll } from "bun:test";
import { startTestDaemon, type TestDaemon } from "../daemon.ts";
import { type Runc, startRunc } from "./runc.ts";

export async function runcHost(): Promise<{ daemon: TestDaemon; runc: Runc }> {
  const daemon = await startTestDaemon();
  const runc = startRunc();
  afterAll(async () => {
    await daemon.stop();
    await runc[Symbol.asyncDispose]();
  });
  return { daemon, runc };
}
