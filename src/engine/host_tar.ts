/**
 * Trees of files, with owners, devices and extended attributes, as the host's own GNU tar packs and unpacks them. It is
 * unpacked into new folders only: there no link can lead a member anywhere, and tar itself makes none before its end.
 */
import { mkdirSync } from "node:fs";
import { CedanaError } from "../errors.ts";
import { cleanEnvironment } from "../system/self.ts";

const whole = ["--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "--sparse"];

/** What is mounted in it is left out. */
export async function packTree(folder: string, archive: string, signal?: AbortSignal): Promise<void> {
  const what = ["--create", `--file=${archive}`, `--directory=${folder}`, "--one-file-system", "."];
  await tar([...whole, ...what], `pack the root file system ${folder}`, signal);
}

/** `folder` is made. */
export async function unpackTree(archive: string, folder: string, signal?: AbortSignal): Promise<void> {
  mkdirSync(folder, { mode: 0o755 });
  const what = ["--extract", `--file=${archive}`, `--directory=${folder}`, "--same-permissions"];
  await tar([...whole, ...what], `unpack ${archive}`, signal);
}

async function tar(args: string[], what: string, signal: AbortSignal | undefined): Promise<void> {
  const program = Bun.which("tar");
  if (program === null) {
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: `cannot ${what}: this host has no tar`,
      hint: "apt install tar",
    });
  }
  const child = Bun.spawn([program, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...cleanEnvironment(), LC_ALL: "C" },
    cwd: "/",
    signal,
  });
  const [said, status] = await Promise.all([child.stderr.text(), child.exited]);
  if (status === 0) return;
  if (signal?.aborted) throw new CedanaError({ reason: "CANCELLED", message: `cancelled: ${what}` });
  const [why = `tar ended with ${status}`] = said.split("\n");
  const full = /No space left on device/.test(said);
  throw new CedanaError({
    reason: full ? "DISK_FULL" : "RUNTIME_FAILED",
    message: `cannot ${what}: ${why.replace(/^\S*tar: /, "")}`,
    hint: /xattrs|unrecognized option/.test(said) ? "GNU tar is needed: apt install tar" : undefined,
  });
}
