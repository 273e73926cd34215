/** What a container has that asks for nothing: containerd's own defaults (1.6, its package oci), plain data. */
import type { DeviceRule, SpecMount } from "./spec.ts";

export const defaultEnv = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];

const closed = ["nosuid", "noexec", "nodev"];

function mount(destination: string, type: string, source: string, options: readonly string[]): SpecMount {
  return { destination, type, source, options: [...options] };
}

export const defaultMounts: readonly SpecMount[] = [
  mount("/proc", "proc", "proc", closed),
  mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
  mount("/dev/pts", "devpts", "devpts", [
    "nosuid",
    "noexec",
    "newinstance",
    "ptmxmode=0666",
    "mode=0620",
    "gid=5",
  ]),
  mount("/dev/shm", "tmpfs", "shm", [...closed, "mode=1777", "size=65536k"]),
  mount("/dev/mqueue", "mqueue", "mqueue", closed),
  mount("/sys", "sysfs", "sysfs", [...closed, "ro"]),
  mount("/run", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
];

/** With the host's network, names are looked up as the host does. */
export const hostNetworkMounts: readonly SpecMount[] = ["/etc/hosts", "/etc/resolv.conf"].map((path) =>
  mount(path, "bind", path, ["rbind", "ro"]),
);

/** Of the kernel's, what a container should not read, and what it should not write. */
export const maskedPaths = [
  ...["acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug"].map(
    (name) => `/proc/${name}`,
  ),
  "/sys/firmware",
  "/proc/scsi",
];
export const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

export const capabilities = [
  ...["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP"],
  ...["SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"],
].map((name) => `CAP_${name}`);

/** null, random, full, tty, zero, urandom, console, every terminal of /dev/pts, ptmx. */
const devices = [[1, 3], [1, 8], [1, 7], [5, 0], [1, 5], [1, 9], [5, 1], [136], [5, 2]] as const;

export const deviceRules: readonly DeviceRule[] = [
  { allow: false, access: "rwm" },
  ...devices.map(([major, minor]) => ({
    allow: true,
    type: "c",
    major,
    ...(minor !== undefined && { minor }),
    access: "rwm",
  })),
];

export const openFiles = 1024;
