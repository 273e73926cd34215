/** Taking away what a test left in its containerd, and then what containerd leaves behind on a host. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { OpenContainerd } from "../../../src/containerd/connect.ts";
import { listContainers } from "../../../src/containerd/containers.ts";
import { removeContainer } from "../../../src/containerd/remove_container.ts";
import { deleteTask, findTask, killTask, resumeTask, waitTask } from "../../../src/containerd/tasks.ts";

const SIGKILL = 9;

/** Ends every task and deletes every container, in each namespace. */
export async function clear(connect: (namespace: string) => Promise<OpenContainerd>): Promise<void> {
  for (const namespace of await namespaces(connect)) {
    using containerd = await connect(namespace);
    for (const { id } of await listContainers(containerd)) {
      await endTask(containerd, id);
      await removeContainer(containerd, id);
    }
  }
}

async function namespaces(connect: (namespace: string) => Promise<OpenContainerd>): Promise<string[]> {
  using containerd = await connect("default");
  return (await containerd.services.namespaces.list({})).namespaces.map(({ name }) => name);
}

async function endTask(containerd: OpenContainerd, id: string): Promise<void> {
  const task = await findTask(containerd, id);
  if (task === undefined) return;
  // A frozen process takes no signal.
  if (task.status === "paused") await resumeTask(containerd, id);
  await killTask(containerd, id, { signal: SIGKILL, all: true });
  await waitTask(containerd, id, { signal: AbortSignal.timeout(10_000) });
  await deleteTask(containerd, id);
}

/** When containerd has ended: shims that live on without it, and their sockets, mounts and cgroups. */
export async function sweep({ dir, address }: { dir: string; address: string }): Promise<void> {
  for (const { pid, namespace, id } of shims(address)) {
    for (const each of [...childrenOf(pid), pid]) kill(each);
    const name = createHash("sha256")
      .update(join(address, namespace, id))
      .digest("hex");
    rmSync(`/run/containerd/s/${name}`, { force: true });
  }
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .filter((path) => path.startsWith(`${dir}/`));
  for (const path of mounts.reverse()) Bun.spawnSync(["umount", "--lazy", path]);
  for (const namespace of foldersIn(join(dir, "root/io.containerd.runtime.v2.task"))) {
    if (!namespace.startsWith("cedana-test-")) continue;
    await removeCgroups(namespace);
  }
}

/** runc removes a container's cgroup, not the namespace's above it. */
async function removeCgroups(namespace: string): Promise<void> {
  const hierarchies = ["", ...foldersIn("/sys/fs/cgroup")].map((name) =>
    join("/sys/fs/cgroup", name, namespace),
  );
  for (const path of hierarchies.filter((each) => existsSync(each))) {
    for (const name of foldersIn(path)) rmdirSync(join(path, name));
    rmdirSync(path);
  }
}

function shims(address: string): { pid: number; namespace: string; id: string }[] {
  return foldersIn("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const args = commandLine(Number(name));
    if (!args[0]?.endsWith("containerd-shim-runc-v2") || !args.includes(address)) return [];
    const after = (flag: string) => args[args.indexOf(flag) + 1] ?? "";
    return [{ pid: Number(name), namespace: after("-namespace"), id: after("-id") }];
  });
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // it ended
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .trim()
      .split(" ")
      .map(Number)
      .filter(Boolean);
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, SIGKILL);
  } catch {
    // It ended by itself.
  }
}

function foldersIn(path: string): string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}
