/** What a container is owed after a dump: to be cleaned up as its owner would, or to run on. */
import { writeFileSync } from "node:fs";
import { CedanaError, errnoOf } from "../errors.ts";
import { type RuncContainer, readContainer } from "../runc/containers.ts";
import { dockerPlaces, readDockerContainer } from "../runc/docker.ts";
import type { Owner } from "../runc/owner.ts";
import { locateRunc } from "../runc/program.ts";
import { readStat } from "../system/proc.ts";
import { cleanEnvironment } from "../system/self.ts";

/** How long is waited for init's end, and for its owner to clean up, ms. */
const patience = 5000;

/**
 * A detached container is deleted, as `runc checkpoint` does. A shim, a `runc run` in the foreground and a supervisor of
 * ours do that themselves, once they have seen its end.
 */
export async function forgetDumped(container: RuncContainer, owner: Owner): Promise<void> {
  const { id, root, init } = container;
  const detached = owner.kind === "detached";
  // containerd has its shim keep what is left of a container until its client asks for it.
  const isLeft = () =>
    owner.kind === "shim" ? runsForDocker(container) : readContainer(root, id) !== undefined;
  const hasEnded = () => {
    const stat = readStat(init.pid);
    if (stat !== undefined && stat.startTime === init.startTime && stat.state !== "Z") return false;
    return detached || !isLeft();
  };
  for (let waited = 0; waited < patience && !hasEnded(); waited += 10) await Bun.sleep(10);
  if (!detached || readContainer(root, id)?.status !== "stopped") return;
  await runc(["--root", root, "delete", id], `delete container ${id}`);
}

/** Docker has not seen its end yet, and would not start it again. */
function runsForDocker({ id, root, init }: RuncContainer): boolean {
  const places = dockerPlaces();
  if (root !== places.runcRoot) return false;
  const known = readDockerContainer(places, id);
  return known?.running === true && known.pid === init.pid;
}

/** Runs runc to its end. Throws RUNTIME_FAILED with what it said. */
export async function runc(args: string[], what: string): Promise<void> {
  const { path } = await locateRunc();
  const child = Bun.spawn([path, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
    env: cleanEnvironment(),
    cwd: "/",
  });
  const [said, status] = await Promise.all([child.stderr.text(), child.exited]);
  if (status === 0) return;
  const why = /msg="?(.*?)"?$/m.exec(said)?.[1] ?? said.trim();
  throw new CedanaError({ reason: "RUNTIME_FAILED", message: `runc cannot ${what}: ${why}` });
}

/** A CRIU that was killed while it held a paused container leaves it thawed. */
export function pauseAgain(container: RuncContainer): void {
  if (container.status === "paused") freezeCgroup(container, true);
}

export function letRun(container: RuncContainer): void {
  freezeCgroup(container, false);
}

function freezeCgroup({ cgroupPaths }: RuncContainer, still: boolean): void {
  const old = cgroupPaths.get("freezer");
  const unified = cgroupPaths.get("");
  try {
    if (old) writeFileSync(`${old}/freezer.state`, still ? "FROZEN" : "THAWED");
    else if (unified) writeFileSync(`${unified}/cgroup.freeze`, still ? "1" : "0");
  } catch (error) {
    // The container has ended.
    if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENODEV") throw error;
  }
}
