/** Many jobs of one daemon. */
import type { Ours } from "./ours.ts";

export const many = 100;

/** Starts them all at once, each by a command of its own; ms until the last command has ended. */
export async function startJobs({ daemon, time }: Ours): Promise<number> {
  const from = performance.now();
  const names = Array.from({ length: many }, () => `bench-${crypto.randomUUID()}`);
  await Promise.all(
    names.map((jid) =>
      time(["run", "process", "--jid", jid, "--out", `${daemon.dir}/${jid}.log`, "--", "sleep", "600"]),
    ),
  );
  return performance.now() - from;
}

/** How many jobs run. */
export async function countRunning({ daemon }: Ours): Promise<number> {
  const listed: { status: string }[] = JSON.parse((await daemon.cli(["ps", "--format", "json"])).stdout);
  return listed.filter(({ status }) => status !== "halted" && status !== "zombie").length;
}
