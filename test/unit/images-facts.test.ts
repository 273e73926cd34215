import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { readCredentials } from "../../src/criu/images/credentials.ts";
import { readInventory } from "../../src/criu/images/inventory.ts";
import { readContent } from "../../src/criu/images/read_content.ts";
import { readDumpStatistics, readRestoreStatistics } from "../../src/criu/images/stats.ts";
import { dump, restore, Victim } from "./images-victim.ts";

const shell = ["sh", "-c", "echo ready; while :; do sleep 0.1; done"];

test("the inventory gives the version and the root's namespaces", async () => {
  await using victim = await Victim.start(shell);
  const inventory = await readInventory(await dump(victim));
  expect(inventory).toMatchObject({ imageVersion: 2, tcpClose: false, allowUprobes: false });
  expect(inventory.rootIds?.pidNsId).toBeGreaterThan(0);
  expect(inventory.runId).not.toBe("");
});

test("the statistics of a dump and of a restore are CRIU's", async () => {
  await using victim = await Victim.start(shell);
  const started = performance.now();
  const images = await dump(victim);
  const elapsedUs = (performance.now() - started) * 1000;
  const statistics = await readDumpStatistics(images);
  const pages = readdirSync(images).filter((name) => name.startsWith("pages-"));
  const bytes = pages.reduce((sum, name) => sum + statSync(`${images}/${name}`).size, 0);
  expect(Number(statistics?.pagesWritten) * 4096).toBe(bytes);
  expect(statistics?.frozenUs).toBeGreaterThan(0);
  expect(statistics?.frozenUs).toBeLessThan(elapsedUs);
  expect(await readRestoreStatistics(images)).toBeUndefined();

  await victim.kill();
  const pid = await restore(images);
  try {
    const restored = await readRestoreStatistics(images);
    expect(restored?.restoreUs).toBeGreaterThan(0);
    expect(restored?.forkingUs).toBeGreaterThan(0);
  } finally {
    process.kill(-pid, "SIGKILL");
  }
});

test("the credentials are those of every thread, with groups and capabilities", async () => {
  const uid = 61_234;
  // CRIU without CAP_SYS_RESOURCE dumps only its own user's processes, so both run as that user.
  const as = ["setpriv", "--reuid", `${uid}`, "--regid", `${uid}`];
  await using victim = await Victim.start([...as, "--groups", "61301,61302", "--no-new-privs", ...shell]);
  const rights = [
    "checkpoint_restore",
    "sys_ptrace",
    "sys_admin",
    "net_admin",
    "dac_override",
    "setuid",
    "setgid",
  ];
  const capabilities = rights.map((name) => `+${name}`).join(",");
  const prefix = [...as, "--clear-groups", "--inh-caps", capabilities, "--ambient-caps", capabilities];
  const images = await dump(victim, { prefix, owner: uid, args: ["--unprivileged"] });
  const [root] = await readCredentials(images);
  const ids = { real: uid, effective: uid, saved: uid, filesystem: uid };
  expect(root).toMatchObject({
    pid: victim.pid,
    tid: victim.pid,
    uids: ids,
    gids: ids,
    groups: [61301, 61302],
  });
  const status = readFileSync(`/proc/${victim.pid}/status`, "utf8");
  const mask = (key: string) => BigInt(`0x${new RegExp(`^${key}:\\t(\\w+)`, "m").exec(status)?.[1]}`);
  expect(root?.capabilities).toEqual({
    inheritable: mask("CapInh"),
    permitted: mask("CapPrm"),
    effective: mask("CapEff"),
    bounding: mask("CapBnd"),
    ambient: mask("CapAmb"),
  });
  expect(root?.capabilities.effective).toBe(0n);
  expect(root?.noNewPrivileges).toBe(true);
  const { processes } = await readContent(images);
  expect(processes[0]).toMatchObject({ uid, gid: uid });
});

test("every thread is reported by its own id", async () => {
  const script =
    "import threading, time\nfor _ in range(2): threading.Thread(target=time.sleep, args=(1e6,)).start()\n";
  await using victim = await Victim.start(["python3", "-c", `${script}print("ready", flush=True)`]);
  const credentials = await readCredentials(await dump(victim));
  const tids = readdirSync(`/proc/${victim.pid}/task`).map(Number);
  expect(credentials.map(({ tid }) => tid).sort()).toEqual(tids.sort());
  expect(credentials.map(({ pid }) => pid)).toEqual(tids.map(() => victim.pid));
});
