/** Tries a private copy: does it run, is it new enough, and does the kernel have all it needs? */
import { CedanaError } from "../errors.ts";
import { commandIn } from "./private.ts";
import { formatVersion, isNewEnough, readVersion } from "./version.ts";

/** Throws CRIU_FAILED with CRIU's own words. */
export async function checkCopy(folder: string, signal?: AbortSignal): Promise<void> {
  const command = commandIn(folder);
  if (!command) throw failure(`${folder} holds no CRIU for this machine`);
  const version = readVersion(await run([...command, "--version"], signal));
  if (!version || !isNewEnough(version)) {
    throw failure(`the CRIU in ${folder} is ${version ? formatVersion(version) : "of no known version"}`);
  }
  // Without root CRIU can only look at what an ordinary user may use.
  const unprivileged = process.geteuid?.() === 0 ? [] : ["--unprivileged"];
  await run([...command, "check", ...unprivileged], signal);
}

async function run(command: string[], signal: AbortSignal | undefined): Promise<string> {
  const child = Bun.spawn(command, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    ...(signal && { signal }),
  });
  const [out, err, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status === 0) return out;
  const line =
    `${err}\n${out}`.split("\n").find((each) => each.includes("Error")) ??
    `${err}${out}`.trim().split("\n")[0];
  throw failure(`CRIU was fetched but does not work here: ${line}`);
}

function failure(message: string): CedanaError {
  return new CedanaError({ reason: "CRIU_FAILED", message });
}
