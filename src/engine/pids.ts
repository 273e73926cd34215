/** Before a restore: are the pids of the checkpoint free? */
import { readProcessTree, type TreeEntry } from "../criu/images/process_tree.ts";
import { CedanaError } from "../errors.ts";
import { groupAndSession } from "../system/groups.ts";
import { isDying, listDir, type ProcStat, readStat, readStatus } from "../system/proc.ts";

/** How long the dead are waited for, ms: some hosts' init reaps after about a second (linux.md). */
const reapWait = 5000;
/** How long a process that only shares a group or session is waited for, ms: mostly a child that outlived its parent. */
const groupWait = 1500;

interface Holder {
  id: number;
  stat: ProcStat;
  as: "process" | "group" | "session";
}

/** Waits for the dying to be gone; throws PID_IN_USE naming who holds a pid otherwise. */
export async function waitForPids(imagesDir: string): Promise<void> {
  const tree = await readProcessTree(imagesDir);
  for (let waited = 0; ; waited += 20) {
    const holder = findHolder(tree);
    if (holder === undefined) return;
    const patience = isDying(holder.stat) ? reapWait : holder.as === "process" ? 0 : groupWait;
    if (waited >= patience) throw inUse(holder);
    await Bun.sleep(20);
  }
}

/**
 * The same for a container that shares its pid namespace with others: waits for those who died in one with such a pid and
 * are not collected yet. Who else has a pid there is CRIU's to say.
 */
export async function waitForNamespacePids(imagesDir: string): Promise<void> {
  const ids = new Set((await readProcessTree(imagesDir)).map(({ pid }) => pid));
  for (
    let waited = 0;
    waited < reapWait && listDir("/proc").some((name) => isDeadInside(name, ids));
    waited += 20
  )
    await Bun.sleep(20);
}

function isDeadInside(name: string, ids: ReadonlySet<number>): boolean {
  if (!/^\d+$/.test(name) || readStat(Number(name))?.state !== "Z") return false;
  // One number for each namespace that it is in, its own last (proc_pid_status(5)).
  const [, ...inner] = readStatus(Number(name))?.get("NSpid")?.split(/\s+/) ?? [];
  return inner.length > 0 && ids.has(Number(inner.at(-1)));
}

function findHolder(tree: TreeEntry[]): Holder | undefined {
  for (const id of tree.flatMap(({ threads }) => threads)) {
    const stat = readStat(id);
    if (stat !== undefined) return { id, stat, as: "process" };
  }
  // A pid is also taken while a group or session has its number, and only the restored leader may bring that.
  const ids = new Set(tree.map(({ pid }) => pid));
  for (const pid of listDir("/proc").map(Number).filter(Number.isInteger)) {
    const of = groupAndSession(pid);
    if (of === undefined || !(ids.has(of.group) || ids.has(of.session))) continue;
    const stat = readStat(pid);
    if (stat === undefined) continue;
    return ids.has(of.group) ? { id: of.group, stat, as: "group" } : { id: of.session, stat, as: "session" };
  }
  return undefined;
}

function inUse({ id, stat, as }: Holder): CedanaError {
  const who = `process ${stat.pid} (${stat.comm})`;
  const how = as === "process" ? `is held by ${who}` : `is the ${as} of ${who}`;
  const zombie = stat.state === "Z" ? ", which has ended but was not waited for by its parent" : "";
  return new CedanaError({
    reason: "PID_IN_USE",
    message: `cannot restore: pid ${id} ${how}${zombie}`,
    hint:
      stat.state === "Z" ? `end its parent, process ${stat.ppid}` : "end that process, or wait for it to end",
  });
}
