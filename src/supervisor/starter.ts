/**
 * Starting supervisors. A process of this binary takes some 30 ms to be there, which everybody who runs or restores
 * would wait for; so one is kept ready, and gets its job when there is one:
 *
 *   daemon ── empty memory file, pipe ──▶ supervisor (waits)
 *          ── spec into the file, a byte ──▶ (works)           the pipe closes instead: we are gone, so is it
 */
import { closeSync, writeSync } from "node:fs";
import { CedanaError, errnoOf } from "../errors.ts";
import { specFd, statusFd } from "../system/exec.ts";
import { closeAll, memoryFile, pipe, writeAll } from "../system/fd.ts";
import { cleanEnvironment, selfCommand } from "../system/self.ts";
import type { Expected, SupervisorReady, SupervisorSpec, Word } from "./spec.ts";

/** The fd of the pipe that a supervisor waits at. */
export const goFd = 5;
/** A new one is made ready when nothing was started for so long, ms: it must not compete with what is under way. */
const quietMs = 30;

interface Waiting {
  specFile: number;
  go: number;
  status: number;
}

export class SupervisorStarter {
  private spare: Waiting | undefined;
  /** Of the work that came last. */
  private kind: SupervisorSpec["start"]["kind"] | undefined;
  private timer: NodeJS.Timeout | undefined;

  /**
   * Starts a supervisor and waits until its job runs. It shares nothing with us afterwards: its own session, nothing
   * inherited, what it has to say of itself in the job's folder.
   */
  async start(spec: SupervisorSpec): Promise<{ pid: number; startTime: bigint }> {
    try {
      return await answerOf(this.hand(spec), spec);
    } finally {
      this.prepare();
    }
  }

  /** To the one that waits, unless it has died; returns where it answers. */
  private hand(spec: SupervisorSpec): number {
    clearTimeout(this.timer);
    this.kind = spec.start.kind;
    const { spare } = this;
    this.spare = undefined;
    if (spare !== undefined && give(spare, spec)) return spare.status;
    if (spare !== undefined) closeSync(spare.status);
    const fresh = spawnWaiting();
    give(fresh, spec); // one that dies says nothing, which is seen
    return fresh.status;
  }

  /** Work of that kind comes soon: what it takes is loaded meanwhile, in 3 ms, or in 30 for containerd's client. */
  expect(work: Expected): void {
    if (this.spare !== undefined) say(this.spare.go, { expect: work });
  }

  /** Has one ready soon. */
  prepare(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.spare !== undefined) return;
      this.spare = spawnWaiting();
      // Where one task of containerd's was, there will be more; others load what they need in no time.
      if (this.kind === "task") this.expect({ kind: "task" });
    }, quietMs);
    this.timer.unref();
  }
}

/** False when it has died: then it has not begun. */
function give({ specFile, go }: Waiting, spec: SupervisorSpec): boolean {
  writeAll(specFile, JSON.stringify(spec));
  const heard = say(go, { go: true });
  closeAll([specFile, go]);
  return heard;
}

function say(go: number, word: Word): boolean {
  try {
    writeSync(go, `${JSON.stringify(word)}\n`);
    return true;
  } catch (error) {
    if (errnoOf(error) !== "EPIPE") throw error;
    return false;
  }
}

async function answerOf(status: number, spec: SupervisorSpec): Promise<{ pid: number; startTime: bigint }> {
  const answer = await Bun.file(status).text();
  closeSync(status);
  if (answer === "") {
    const message = `the supervisor of ${spec.jid} died while starting`;
    throw new CedanaError({ reason: "INTERNAL", message, hint: `see ${spec.folder}/supervisor.log` });
  }
  const ready: SupervisorReady = JSON.parse(answer);
  if (!ready.ok) throw new CedanaError(ready.error);
  return { pid: ready.pid, startTime: BigInt(ready.startTime) };
}

function spawnWaiting(): Waiting {
  const specFile = memoryFile("supervisor-spec", "");
  const [status, go] = [pipe(), pipe()];
  const handOver: number[] = [];
  handOver[specFd - 3] = specFile;
  handOver[statusFd - 3] = status.write;
  handOver[goFd - 3] = go.read;
  try {
    const child = Bun.spawn([...selfCommand(), "__supervise"], {
      stdio: ["ignore", "ignore", "ignore", ...handOver],
      env: cleanEnvironment(),
      cwd: "/",
      detached: true,
    });
    child.unref();
    return { specFile, go: go.write, status: status.read };
  } finally {
    closeAll([status.write, go.read]);
  }
}
