/** CRIU's command line, from one typed object: the only place that knows its flags. */
import { optionsFromJson } from "./override.ts";

/** What a person can choose of a dump or restore; false and absent mean the same. */
export interface CriuFlags {
  tcpEstablished?: boolean;
  tcpClose?: boolean;
  skipInFlight?: boolean;
  fileLocks?: boolean;
  linkRemap?: boolean;
  shellJob?: boolean;
  external?: string[];
  leaveStopped?: boolean;
  /** "" leaves it to CRIU. */
  manageCgroups?: string;
  /** CRIU's -v level, 0–4. */
  logLevel?: number;
  /** JSON with the field names of CRIU's rpc.proto. */
  criuOpts?: string;
}

/** What a container needs beside. */
export interface ContainerFlags {
  /** Its root file system. */
  root: string;
  /** Folder of the cgroup to freeze it by. */
  freezeCgroup?: string;
  /** As long as it has no connections, nothing in its network is held still. */
  unlocked: boolean;
}

export interface DumpCommand extends CriuFlags {
  pid: number;
  container?: ContainerFlags;
  imagesDir: string;
  workDir: string;
  leaveRunning: boolean;
  unprivileged: boolean;
  /** Images go through the streamer in imagesDir, which must listen by then. */
  stream?: boolean;
  /** Script that CRIU runs at its hooks. */
  actionScript?: string;
}

export interface RestoreCommand extends CriuFlags {
  imagesDir: string;
  workDir: string;
  unprivileged: boolean;
  /** Images come from the streamer in imagesDir, which must listen by then. */
  stream?: boolean;
  /** Script that CRIU runs at its hooks. */
  actionScript?: string;
  /** Keys of files that are replaced by open fds, as the CRIU process numbers them. */
  inherit: { fd: number; key: string }[];
}

/** What runc calls a network namespace that it gives CRIU open (libcontainer, criuNsToKey). */
export const networkKey = "extRootNetNS";
export const logName = "criu.log";
export const pidFileName = "restored.pid";

function flags(options: CriuFlags): string[] {
  const args: string[] = ["--no-default-config", `-v${options.logLevel ?? 2}`, "-o", logName];
  if (options.tcpEstablished) args.push("--tcp-established");
  if (options.tcpClose) args.push("--tcp-close");
  if (options.fileLocks) args.push("--file-locks");
  if (options.linkRemap) args.push("--link-remap");
  if (options.shellJob) args.push("--shell-job");
  if (options.leaveStopped) args.push("--leave-stopped");
  if (options.manageCgroups) args.push(`--manage-cgroups=${options.manageCgroups}`);
  for (const external of options.external ?? []) args.push("--external", external);
  // CRIU locks connections with iptables unless told otherwise, and not every host has it (linux.md).
  if (options.tcpEstablished && Bun.which("iptables-restore") === null)
    args.push("--network-lock", "nftables");
  return args;
}

interface Places {
  imagesDir: string;
  workDir: string;
  unprivileged: boolean;
  stream?: boolean;
}

function places(command: Places): string[] {
  const args = ["-D", command.imagesDir, "-W", command.workDir];
  if (command.unprivileged) args.push("--unprivileged");
  if (command.stream) args.push("--stream");
  return args;
}

/** As runc tells CRIU: devices of a new network namespace are its own to make again. */
function containerFlags({ root, freezeCgroup, unlocked }: ContainerFlags, connected: boolean): string[] {
  return [
    ...["--root", root, "--empty-ns", "net"],
    ...(freezeCgroup === undefined ? [] : ["--freeze-cgroup", freezeCgroup]),
    ...(unlocked && !connected ? ["--network-lock", "skip"] : []),
  ];
}

/** Arguments after the CRIU binary. */
export function dumpArguments(command: DumpCommand): string[] {
  const args = ["dump", "-t", String(command.pid), ...places(command), ...flags(command)];
  const chosen = optionsFromJson(command.criuOpts, "dump");
  // Else CRIU refuses a tree that has connections.
  const connected = [...args, ...chosen].includes("--tcp-established");
  if (command.container !== undefined) args.push(...containerFlags(command.container, connected));
  if (command.leaveRunning) args.push("--leave-running");
  if (command.skipInFlight) args.push("--skip-in-flight");
  if (command.actionScript !== undefined) args.push("--action-script", command.actionScript);
  return [...args, ...chosen];
}

/** Arguments after the CRIU binary. The restored root becomes a child of the process that starts CRIU. */
export function restoreArguments(command: RestoreCommand): string[] {
  const args = [
    "restore",
    "-d",
    "--restore-sibling",
    "--pidfile",
    pidFileName,
    ...places(command),
    ...flags(command),
  ];
  if (command.actionScript !== undefined) args.push("--action-script", command.actionScript);
  for (const { fd, key } of command.inherit) args.push("--inherit-fd", `fd[${fd}]:${key}`);
  return [...args, ...optionsFromJson(command.criuOpts, "restore")];
}

/**
 * Words before `swrk`, by which runc has CRIU restore a container: what runc does not know of, since its own requests
 * win. CRIU cuts the first letter off the key of a file that is inherited so, and then takes the file whatever its size
 * (files-reg.c; measured with CRIU 4.2.1).
 */
export function swrkArguments(options: CriuFlags, inherit: { fd: number; key: string }[]): string[] {
  return [
    ...(options.tcpClose ? ["--tcp-close"] : []),
    ...(options.linkRemap ? ["--link-remap"] : []),
    ...(options.external ?? []).flatMap((external) => ["--external", external]),
    ...inherit.flatMap(({ fd, key }) => ["--inherit-fd", `fd[${fd}]:${key.replace(/^file/, "ile")}`]),
    ...optionsFromJson(options.criuOpts, "restore"),
  ];
}
