/** cgroups of version 2 alone, in a mount namespace that has no others. Needs root, runc, CRIU. */
import { expect, test } from "bun:test";
import { join } from "node:path";

const script = `umount --recursive /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"`;

test("all that runc.test.ts says is true with cgroups of version 2 alone", async () => {
  const tests = [process.execPath, "test", "--timeout", "60000", join(import.meta.dir, "runc.test.ts")];
  const namespace = ["unshare", "--mount", "--propagation", "private"];
  const run = Bun.spawn([...namespace, "sh", "-c", script, "sh", ...tests], { stderr: "pipe" });
  const said = await run.stderr.text();
  expect(said.match(/^\(fail\).*/gm) ?? []).toEqual([]);
  expect(await run.exited).toBe(0);
}, 180_000);
