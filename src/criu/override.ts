/** `--criu-opts`: JSON with the field names of CRIU's rpc.proto (images of `criu_opts`), turned into its flags. */
import { CedanaError, messageOf } from "../errors.ts";

type Field = { kind: "switch" | "number" | "text" | "list"; flag: string; on?: "dump" | "restore" };

/** CRIU 4.2, rpc.proto and crtools.c: the fields that a dump or restore through its command line can honour. */
const fields: Readonly<Record<string, Field>> = {
  leave_running: { kind: "switch", flag: "--leave-running", on: "dump" },
  leave_stopped: { kind: "switch", flag: "--leave-stopped" },
  ext_unix_sk: { kind: "switch", flag: "--ext-unix-sk" },
  tcp_established: { kind: "switch", flag: "--tcp-established" },
  tcp_close: { kind: "switch", flag: "--tcp-close" },
  tcp_skip_in_flight: { kind: "switch", flag: "--skip-in-flight" },
  evasive_devices: { kind: "switch", flag: "--evasive-devices" },
  shell_job: { kind: "switch", flag: "--shell-job" },
  file_locks: { kind: "switch", flag: "--file-locks" },
  link_remap: { kind: "switch", flag: "--link-remap" },
  force_irmap: { kind: "switch", flag: "--force-irmap", on: "dump" },
  auto_dedup: { kind: "switch", flag: "--auto-dedup" },
  weak_sysctls: { kind: "switch", flag: "--weak-sysctls", on: "restore" },
  orphan_pts_master: { kind: "switch", flag: "--orphan-pts-master" },
  mntns_compat_mode: { kind: "switch", flag: "--mntns-compat-mode" },
  skip_file_rwx_check: { kind: "switch", flag: "--skip-file-rwx-check", on: "restore" },
  display_stats: { kind: "switch", flag: "--display-stats" },
  log_level: { kind: "number", flag: "--verbosity" },
  ghost_limit: { kind: "number", flag: "--ghost-limit", on: "dump" },
  timeout: { kind: "number", flag: "--timeout" },
  root: { kind: "text", flag: "--root" },
  freeze_cgroup: { kind: "text", flag: "--freeze-cgroup", on: "dump" },
  cgroup_props: { kind: "text", flag: "--cgroup-props" },
  lsm_profile: { kind: "text", flag: "--lsm-profile", on: "restore" },
  lsm_mount_context: { kind: "text", flag: "--lsm-mount-context", on: "restore" },
  network_lock: { kind: "text", flag: "--network-lock" },
  manage_cgroups_mode: { kind: "text", flag: "--manage-cgroups" },
  cpu_cap: { kind: "text", flag: "--cpu-cap" },
  external: { kind: "list", flag: "--external" },
  skip_mnt: { kind: "list", flag: "--skip-mnt" },
  enable_fs: { kind: "list", flag: "--enable-fs" },
  irmap_scan_paths: { kind: "list", flag: "--irmap-scan-path", on: "dump" },
};

/** CRIU reads most of its numbers as int, and takes a larger one for something else. */
const maxNumber = 0x7fffffff;

function refuse(message: string, hint?: string): CedanaError {
  return new CedanaError({ reason: "INVALID_ARGUMENT", message: `--criu-opts: ${message}`, hint });
}

function parse(json: string): [string, unknown][] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw refuse(
      `not valid JSON (${messageOf(error)})`,
      `give an object, such as '{"tcp_established": true}'`,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refuse("not a JSON object", `give an object, such as '{"tcp_established": true}'`);
  }
  return Object.entries(value);
}

/**
 * Flags for the JSON's fields, to stand after all others so that they win. Fields of the other direction are left
 * out: one JSON may serve a dump and its restore.
 */
export function optionsFromJson(json: string | undefined, direction: "dump" | "restore"): string[] {
  if (json === undefined || json === "") return [];
  const args: string[] = [];
  for (const [name, value] of parse(json)) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field === undefined)
      throw refuse(`unknown field "${name}"`, `known: ${Object.keys(fields).join(", ")}`);
    const flagsOfField = toFlags(name, field, value);
    if (field.on === undefined || field.on === direction) args.push(...flagsOfField);
  }
  return args;
}

/** What the JSON says about the tree's fate after a dump; undefined when it says nothing. */
export function leavesRunning(json: string | undefined): boolean | undefined {
  if (json === undefined || json === "") return undefined;
  const values = new Map(parse(json));
  const [running, stopped] = [values.get("leave_running"), values.get("leave_stopped")];
  if (stopped === true) return true;
  return typeof running === "boolean" ? running : undefined;
}

function toFlags(name: string, { kind, flag }: Field, value: unknown): string[] {
  switch (kind) {
    case "switch":
      if (typeof value !== "boolean") throw refuse(`"${name}" must be true or false`);
      return value ? [flag] : [`--no-${flag.slice(2)}`];
    case "number":
      if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > maxNumber) {
        throw refuse(`"${name}" must be a whole number from 0 to ${maxNumber}`);
      }
      return [`${flag}=${value}`];
    case "text":
      if (typeof value !== "string" || value.includes("\0")) throw refuse(`"${name}" must be a string`);
      return [`${flag}=${value}`];
    case "list":
      if (!Array.isArray(value) || !value.every((item): item is string => typeof item === "string")) {
        throw refuse(`"${name}" must be a list of strings`);
      }
      return value.map((item) => `${flag}=${item}`);
  }
}
