/** The folders that are written to: there, writable, and with room. */
import { accessSync, constants, readFileSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Config } from "../config/schema.ts";
import { messageOf } from "../errors.ts";
import type { HealthItem } from "./types.ts";

const MiB = 2 ** 20;
/** A checkpoint is as large as the process's memory: with less than this, few fit. */
const checkpointSpace = 1024 * MiB;
/** The database holds about a kilobyte per job. */
const databaseSpace = 64 * MiB;

export function checkpointFolder({ checkpoint: { dir } }: Config): HealthItem {
  // A bucket is not looked at here: only its storage knows how.
  if (/^[a-z0-9]+:\/\//.test(dir))
    return { component: "storage", name: "checkpoint.dir", value: dir, status: "ok" };
  return folder("checkpoint.dir", dir, checkpointSpace);
}

export function databaseFolder({ db: { path } }: Config): HealthItem {
  return folder("db.path", dirname(path), databaseSpace);
}

function folder(key: string, path: string, enough: number): HealthItem {
  const item = { component: "storage", name: key };
  try {
    if (!statSync(path).isDirectory()) throw new Error(`${path} is not a folder`);
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    const remedy = `create it writable, or set ${key} to another place`;
    return { ...item, value: messageOf(error), status: "failure", remedy };
  }
  const { bavail, bsize } = statfsSync(path);
  const free = bavail * bsize;
  const value = `${path}, ${formatFree(free)} free`;
  if (free >= enough) return { ...item, value, status: "ok" };
  return { ...item, value, status: "warning", remedy: `make room, or set ${key} to another place` };
}

function formatFree(bytes: number): string {
  return bytes >= 1024 * MiB ? `${(bytes / 1024 / MiB).toFixed(1)} GiB` : `${Math.floor(bytes / MiB)} MiB`;
}

/** Bun unpacks the binary's native parts into $BUN_TMPDIR, else /tmp, and loads them from there. */
export function temporaryFolder(mounts = readFileSync("/proc/self/mountinfo", "utf8")): HealthItem {
  const path = process.env.BUN_TMPDIR ?? "/tmp";
  const item = { component: "storage", name: "temporary files" };
  if (!isNoexec(path, mounts)) return { ...item, value: `${path}, programs may run`, status: "ok" };
  const remedy = "set BUN_TMPDIR to a folder where they may; without it lz4 checkpoints do not work";
  return { ...item, value: `${path} is mounted noexec`, status: "warning", remedy };
}

/** Whether the mount that holds `path` forbids running programs. */
function isNoexec(path: string, mounts: string): boolean {
  const rows = mounts.split("\n").map((line) => line.split(" "));
  const holders = rows.filter(([, , , , point = "-"]) => point === "/" || `${path}/`.startsWith(`${point}/`));
  // The longest mount point is the innermost; of equals the last covers the others.
  const inner = holders.sort((a, b) => (a[4] ?? "").length - (b[4] ?? "").length).at(-1);
  return (inner?.[5] ?? "").split(",").includes("noexec");
}
