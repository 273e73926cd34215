/** What we read of runc's containers, against a real runc. Needs root and runc; no daemon takes part. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listContainers } from "../../src/runc/containers.ts";
import { describeContainer } from "../../src/runc/describe.ts";
import { findContainer } from "../../src/runc/find.ts";
import { ownerOf } from "../../src/runc/owner.ts";
import { locateRunc } from "../../src/runc/program.ts";
import { readSpec } from "../../src/runc/spec.ts";
import { readArgs, readStat } from "../../src/system/proc.ts";
import { until } from "./client.ts";
import { type Runc, startRunc } from "./runc/runc.ts";

let runc: Runc;
const find = (id: string) => findContainer({ root: runc.root, id, otherRoots: [] });
const noDocker = { dataRoot: "/nowhere", runcRoot: "/nowhere" };

/** The container as runc itself lists it. */
async function listed(id: string): Promise<Record<string, unknown> | undefined> {
  const all: Record<string, unknown>[] = JSON.parse(await runc.exec(["list", "--format", "json"])) ?? [];
  return all.find((each) => each.id === id);
}

/** What we say is what runc says. */
async function agrees(id: string): Promise<void> {
  const { pid, status, bundle, rootfs, createdAt } = find(id);
  const { created, ...theirs } = (await listed(id)) ?? {};
  expect(theirs).toMatchObject({ id, pid, status, bundle, rootfs });
  expect(createdAt).toBe(Date.parse(String(created)));
}

beforeAll(() => {
  expect(process.geteuid?.()).toBe(0);
  runc = startRunc();
});
afterAll(() => runc[Symbol.asyncDispose]());

describe("a container of runc's", () => {
  test("that is detached runs, counts, and is looked after by nobody", async () => {
    const id = runc.id("detached");
    const bundle = runc.bundle("detached");
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    await bundle.goesOn();
    await agrees(id);
    const container = find(id);
    expect(container).toMatchObject({ status: "running", bundle: bundle.path });
    expect(readArgs(container.pid)[0]).toBe("sh");
    expect(container.mounts).toContainEqual({ source: bundle.shared, destination: "/shared", type: "bind" });
    expect(container.externalDescriptors[0]).toBe("/dev/null");
    expect(find(id.slice(0, 8)).id).toBe(id);
    const info = describeContainer(container, noDocker);
    expect(info).toMatchObject({ id, pid: container.pid, image: "", owner: { kind: "detached" } });
    expect(info.namespaces.map(({ type }) => type).sort()).toEqual(["ipc", "mount", "network", "pid", "uts"]);
    expect(info.namespaces).toContainEqual({
      type: "network",
      name: readlinkSync(`/proc/${container.pid}/ns/net`),
    });
    expect(info.cgroups.length).toBeGreaterThan(0);
    for (const { path } of info.cgroups) expect(path).toEndWith(id);
    await runc.remove(id);
    expect(() => find(id)).toThrow(`no container ${id} in ${runc.root}`);
  });

  test("that is paused is told from one that runs, and from one that was killed while paused", async () => {
    const id = runc.id("paused");
    const bundle = runc.bundle("paused");
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    await bundle.goesOn();
    await runc.exec(["pause", id]);
    expect(find(id).status).toBe("paused");
    await agrees(id);
    await runc.exec(["resume", id]);
    expect(find(id).status).toBe("running");
    await bundle.goesOn();
    await runc.exec(["pause", id]);
    // Version 1's freezer lets it die when it is thawed.
    process.kill(find(id).pid, "SIGKILL");
    await runc.exec(["resume", id]);
    await until("the container has stopped", () => find(id).status === "stopped");
    await agrees(id);
    await runc.remove(id);
  });

  test("that has stopped has no pid, no owner and no namespaces any more", async () => {
    const id = runc.id("stopped");
    const bundle = runc.bundle("stopped", { args: ["true"] });
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    await until("the container has stopped", () => find(id).status === "stopped");
    await agrees(id);
    const info = describeContainer(find(id), noDocker);
    expect(info).toMatchObject({ pid: 0, status: "stopped", owner: undefined });
    expect(info.namespaces.every(({ name }) => name === "")).toBe(true);
    await runc.remove(id);
  });

  test("that is only created waits to be started", async () => {
    const id = runc.id("created");
    const bundle = runc.bundle("created");
    await runc.exec(["create", "--bundle", bundle.path, id]);
    expect(find(id).status).toBe("created");
    expect(ownerOf(find(id).pid)?.kind).toBe("detached");
    await agrees(id);
    await runc.exec(["start", id]);
    await bundle.goesOn();
    expect(find(id).status).toBe("running");
    await runc.remove(id);
  });

  test("in the foreground is looked after by its runc", async () => {
    const id = runc.id("foreground");
    const bundle = runc.bundle("foreground");
    const child = await runc.foreground(bundle, id);
    await agrees(id);
    expect(ownerOf(find(id).pid)).toEqual({ kind: "foreground", pid: child.pid, comm: "runc" });
    await runc.exec(["kill", id, "KILL"]);
    expect(await child.exited).toBe(137);
    expect(readStat(child.pid)).toBeUndefined();
    // A runc in the foreground deletes its container.
    expect(listContainers(runc.root).containers.map((container) => container.id)).not.toContain(id);
  });

  test("may join namespaces that are there", async () => {
    const id = runc.id("joined");
    const bundle = runc.bundle("joined", {
      namespaces: [
        ...["pid", "mount", "uts", "ipc"].map((type) => ({ type })),
        { type: "network", path: "/proc/self/ns/net" },
      ],
    });
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    const info = describeContainer(find(id), noDocker);
    expect(find(id).namespaces).toContainEqual({ type: "network", path: "/proc/self/ns/net" });
    expect(info.namespaces).toContainEqual({ type: "network", name: readlinkSync("/proc/self/ns/net") });
    await runc.remove(id);
  });

  test("of Docker's is described with its image", async () => {
    const id = runc.id("docker");
    const bundle = runc.bundle("docker");
    const dataRoot = join(runc.dir, "docker-data");
    mkdirSync(join(dataRoot, "containers", id), { recursive: true });
    const config = { ID: id, Name: "/web", Config: { Image: "nginx:1.27" } };
    writeFileSync(join(dataRoot, "containers", id, "config.v2.json"), JSON.stringify(config));
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    expect(describeContainer(find(id), { dataRoot, runcRoot: runc.root }).image).toBe("nginx:1.27");
    expect(describeContainer(find(id), { dataRoot, runcRoot: "/run" }).image).toBe("");
    await runc.remove(id);
  });
});

test("the bundle that `runc spec` writes is read", async () => {
  const bundle = runc.bundle("spec");
  await Bun.$`rm ${bundle.path}/config.json && runc spec --bundle ${bundle.path}`.quiet();
  const spec = readSpec(bundle.path);
  expect(spec).toMatchObject({
    process: { terminal: true, args: ["sh"], cwd: "/", uid: 0 },
    root: { path: join(bundle.path, "rootfs"), readonly: true },
    cgroupsPath: "",
  });
  expect(spec.maskedPaths).toContain("/proc/kcore");
  expect(spec.mounts.map(({ destination }) => destination)).toContain("/dev/pts");
});

test("the host's runc is found, and new enough", async () => {
  const { path, version } = await locateRunc();
  expect(path).toEndWith("/runc");
  expect(version[0]).toBeGreaterThanOrEqual(1);
});
