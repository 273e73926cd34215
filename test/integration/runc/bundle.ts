/** Bundles for runc: busybox, a config.json whose parts a test may replace, and a folder that both sides see. */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { until } from "../client.ts";

/** Debian's busybox-static. */
const busybox = "/bin/busybox";
const applets = ["cat", "echo", "env", "ls", "mv", "sh", "sleep", "stty", "test", "touch", "true"];

/** Where the container sees the bundle's shared folder. */
export const sharedPath = "/shared";

export interface BundleParts {
  /** Default: count into /shared/count. */
  args?: string[];
  env?: string[];
  cwd?: string;
  terminal?: boolean;
  /** Beside those that every container needs. */
  mounts?: SpecMountJson[];
  /** In place of new ones of every type; a path joins that which is there. */
  namespaces?: { type: string; path?: string }[];
  /** Who its root is on the host, in a user namespace of its own; ids from there on are its others. */
  rootId?: number;
  readonly?: boolean;
  cgroupsPath?: string;
  annotations?: Record<string, string>;
  /** Names its shared folder from the bundle, as runc allows. */
  relative?: boolean;
}

export interface SpecMountJson {
  destination: string;
  type: string;
  source: string;
  options?: string[];
}

/**
 * Counts on in a file, by a command of the shell's: over what was there, at one length, so that it is never another file, nor
 * shorter, whenever it is dumped.
 */
export const countOn = (file = `${sharedPath}/count`) => `i=$((i + 1)); printf '%-20d\\n' $i 1<>${file}`;

/** Says hello for ever, and counts in a file so that a test sees it go on. */
export const countingArgs = (file?: string) => [
  "sh",
  "-c",
  `i=0; while :; do ${countOn(file)}; echo "hello $i"; sleep 0.05; done`,
];

export interface Bundle {
  path: string;
  /** The host's side of /shared. */
  shared: string;
  /** What countingArgs has counted to; 0 before it has begun. */
  count(): number;
  /** Resolves when the count has grown. */
  goesOn(): Promise<void>;
}

/** Makes a bundle in `path`, which must not be there; whoever removes the folder removes all of it. */
export function makeBundle(path: string, parts: BundleParts = {}): Bundle {
  const shared = join(path, "shared");
  makeRootfs(join(path, "rootfs"));
  mkdirSync(shared);
  const source = parts.relative ? "shared" : shared;
  writeFileSync(join(path, "config.json"), JSON.stringify(specOf(source, parts), undefined, 2));
  if (parts.rootId !== undefined) chownSync(shared, parts.rootId, parts.rootId);
  const count = () => {
    try {
      return Number(readFileSync(join(shared, "count"), "utf8"));
    } catch {
      // Not there yet.
      return 0;
    }
  };
  const goesOn = async () => {
    const before = count();
    await until(`the container of ${path} counts beyond ${before}`, () => count() > before);
  };
  return { path, shared, count, goesOn };
}

/** A root file system of busybox and the folders that a container's mounts need. */
export function makeRootfs(path: string): void {
  for (const name of ["bin", "dev", "etc", "proc", "shared", "sys", "tmp"])
    mkdirSync(join(path, name), { recursive: true });
  copyFileSync(busybox, join(path, "bin/busybox"));
  chmodSync(join(path, "bin/busybox"), 0o755);
  for (const applet of applets) symlinkSync("busybox", join(path, "bin", applet));
}

/** What config.json holds, as `runc spec` writes it, less what no test needs. */
export function specOf(shared: string, parts: BundleParts = {}): Record<string, unknown> {
  const newNamespaces = ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type }));
  const { rootId } = parts;
  const map = rootId === undefined ? [] : [{ containerID: 0, hostID: rootId, size: 65536 }];
  const user = rootId === undefined ? [] : [{ type: "user" }];
  const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: parts.terminal ?? false,
      user: { uid: 0, gid: 0 },
      args: parts.args ?? countingArgs(),
      env: parts.env ?? ["PATH=/bin", "TERM=xterm"],
      cwd: parts.cwd ?? "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: parts.readonly ?? false },
    hostname: "cedana-test",
    mounts: [
      ...baseMounts,
      { destination: sharedPath, type: "bind", source: shared, options: ["rbind", "rw"] },
      ...(parts.mounts ?? []),
    ],
    annotations: parts.annotations,
    linux: {
      cgroupsPath: parts.cgroupsPath,
      resources: { devices: [{ allow: false, access: "rwm" }] },
      namespaces: [...(parts.namespaces ?? newNamespaces), ...user],
      uidMappings: map,
      gidMappings: map,
      maskedPaths: ["/proc/kcore", "/proc/keys", "/sys/firmware"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}

const baseMounts: SpecMountJson[] = [
  { destination: "/proc", type: "proc", source: "proc" },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
  },
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
  },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
];
