import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromJson } from "../../src/config/layers.ts";
import { mergeLayers } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { checkHealth } from "../../src/health/check.ts";
import { criuChecks } from "../../src/health/criu.ts";
import { capabilities, cgroups, limits, privileges } from "../../src/health/host.ts";
import { kernelConfig, kernelVersion } from "../../src/health/kernel.ts";
import { daemonAddress } from "../../src/health/network.ts";
import { checkpointFolder, databaseFolder, temporaryFolder } from "../../src/health/storage.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cedana-health-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function configure(settings: object): Config {
  return mergeLayers([fromJson(JSON.stringify(settings), "test")]);
}

describe("the kernel", () => {
  test("is fine from 5.9 on", () => {
    for (const release of ["5.9.0", "5.10.0-28-amd64", "6.18.44", "7.0"]) {
      expect(kernelVersion(release).status).toBe("ok");
    }
    for (const release of ["5.8.18-generic", "4.19.0"]) expect(kernelVersion(release).status).toBe("warning");
  });

  const required = ["CHECKPOINT_RESTORE", "NAMESPACES", "UNIX_DIAG", "INET_DIAG", "EVENTFD", "EPOLL"];
  const written = (names: string[]) => names.map((name) => `CONFIG_${name}=y`).join("\n");

  test("without CONFIG_CHECKPOINT_RESTORE cannot be used, and what is missing is named", () => {
    const item = kernelConfig(`${written(required.slice(1))}\n# CONFIG_CHECKPOINT_RESTORE is not set`);
    expect(item.status).toBe("failure");
    expect(item.value).toBe("without CONFIG_CHECKPOINT_RESTORE");
    expect(item.remedy).toBeDefined();
  });

  test("without soft-dirty bits is a warning", () => {
    const useful = ["USERFAULTFD", "PACKET_DIAG", "NETLINK_DIAG", "INET_UDP_DIAG", "FHANDLE"];
    const item = kernelConfig(`${written([...required, ...useful])}\n# CONFIG_MEM_SOFT_DIRTY is not set`);
    expect(item).toMatchObject({ status: "warning", value: "without CONFIG_MEM_SOFT_DIRTY" });
  });
});

describe("rights", () => {
  const all = 0x1ffffffffffn;

  test("are complete with every capability", () => {
    expect(capabilities(all.toString(16)).status).toBe("ok");
    expect(privileges(0).status).toBe("ok");
  });

  test("without CAP_SYS_RESOURCE are enough for trees of one user", () => {
    const item = capabilities((all & ~(1n << 24n)).toString(16));
    expect(item).toMatchObject({ status: "warning", value: "without CAP_SYS_RESOURCE" });
    expect(item.remedy).toContain("several users");
  });

  test("of root without CAP_SYS_ADMIN are not enough", () => {
    expect(process.geteuid?.()).toBe(0);
    expect(capabilities((all & ~(1n << 21n)).toString(16))).toMatchObject({
      status: "failure",
      value: "without CAP_SYS_ADMIN",
    });
  });

  test("of another user are for their own processes", () => {
    expect(privileges(1000)).toMatchObject({
      status: "warning",
      value: "uid 1000: only this user's own processes",
    });
  });

  test("limits and cgroups of this host are found", () => {
    expect(limits().map(({ name }) => name)).toEqual(["open files", "pid_max"]);
    expect(cgroups().value).not.toBe("");
  });
});

describe("folders", () => {
  test("that exist are told with their free space", () => {
    const item = checkpointFolder(configure({ checkpoint: { dir: folder } }));
    expect(item.value).toMatch(/^\/tmp\/cedana-health-.*, [\d.]+ (GiB|MiB) free$/);
  });

  test("that do not exist are failures that name the key", () => {
    const item = databaseFolder(configure({ db: { path: join(folder, "missing/jobs.db") } }));
    expect(item.status).toBe("failure");
    expect(item.remedy).toContain("db.path");
  });

  test("of buckets are left to their storage", () => {
    expect(checkpointFolder(configure({ checkpoint: { dir: "s3://bucket/prefix" } })).status).toBe("ok");
  });

  test("for temporary files may not be mounted noexec", () => {
    const root = "20 1 254:0 / / rw,relatime - ext4 /dev/vda rw";
    const mounted = "30 20 0:40 / /tmp rw,nosuid,noexec - tmpfs tmpfs rw";
    const other = "31 20 0:41 / /tmpfiles rw,noexec - tmpfs tmpfs rw";
    expect(temporaryFolder(`${root}\n${other}\n`).status).toBe("ok");
    expect(temporaryFolder(`${root}\n${mounted}\n`)).toMatchObject({ status: "warning" });
  });
});

describe("the daemon's address", () => {
  test("is fine whether a daemon listens or not", async () => {
    const address = join(folder, "d.sock");
    const config = configure({ address });
    expect(await daemonAddress(config)).toMatchObject({ status: "ok", value: `${address}, no daemon runs` });
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(address, resolve));
    expect(await daemonAddress(config)).toMatchObject({ status: "ok", value: `${address}, listening` });
    await new Promise((resolve) => server.close(resolve));
  });

  test("cannot be a plain file, nor in a folder that is not there", async () => {
    writeFileSync(join(folder, "file"), "");
    expect((await daemonAddress(configure({ address: join(folder, "file") }))).status).toBe("failure");
    expect((await daemonAddress(configure({ address: join(folder, "no/d.sock") }))).status).toBe("failure");
  });
});

describe("CRIU", () => {
  test("that cannot be used is one failure with the remedy", async () => {
    const [item, ...others] = await criuChecks({
      config: configure({ criu: { binary_path: join(folder, "criu") } }),
    });
    expect(others).toEqual([]);
    expect(item).toMatchObject({ status: "failure", component: "criu" });
    expect(item?.remedy).toContain("criu.binary_path");
  });

  test("of this host checks well, and dumps and restores a process (needs root and CRIU: npm run setup)", async () => {
    const items = await checkHealth({ config: configure({}), full: true });
    expect(items.filter(({ status }) => status === "failure")).toEqual([]);
    expect(
      items.filter(({ component }) => component === "full").map(({ name, status }) => [name, status]),
    ).toEqual([
      ["dump", "ok"],
      ["restore", "ok"],
    ]);
  });
});
