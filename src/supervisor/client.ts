/** The daemon's side: starting a supervisor, attaching to it, telling it things. */
import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { CedanaError, errnoOf } from "../errors.ts";
import { specFd, statusFd } from "../system/exec.ts";
import { closeAll, memoryFile, pipe } from "../system/fd.ts";
import { cleanEnvironment, selfCommand } from "../system/self.ts";
import { decodeJson, encodeJson, FrameReader, frame } from "./frames.ts";
import type { ControlRequest, ControlState, SupervisorReady, SupervisorSpec } from "./spec.ts";

/**
 * Starts a supervisor and waits until its job runs. It shares nothing with us afterwards: its own session, nothing
 * inherited, what it has to say of itself in the job's folder.
 */
export async function startSupervisor(spec: SupervisorSpec): Promise<{ pid: number; startTime: bigint }> {
  const specFile = memoryFile("supervisor-spec", JSON.stringify(spec));
  const status = pipe();
  const complaints = openSync(
    `${spec.folder}/supervisor.log`,
    constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
    0o600,
  );
  const handOver: number[] = [];
  handOver[specFd - 3] = specFile;
  handOver[statusFd - 3] = status.write;
  try {
    const child = Bun.spawn([...selfCommand(), "__supervise"], {
      stdio: ["ignore", complaints, complaints, ...handOver],
      env: cleanEnvironment(),
      cwd: "/",
      detached: true,
    });
    child.unref();
  } finally {
    closeAll([specFile, status.write, complaints]);
  }
  const answer = await Bun.file(status.read).text();
  closeSync(status.read);
  if (answer === "") {
    const message = `the supervisor of ${spec.jid} died while starting`;
    throw new CedanaError({ reason: "INTERNAL", message, hint: `see ${spec.folder}/supervisor.log` });
  }
  const ready: SupervisorReady = JSON.parse(answer);
  if (!ready.ok) throw new CedanaError(ready.error);
  return { pid: ready.pid, startTime: BigInt(ready.startTime) };
}

/** Makes the folder of supervisors' sockets: for nobody but us. */
export function createSocketFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

/** Connects to a supervisor's socket; undefined when there is no supervisor any more. */
export function connectSupervisor(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", (error) => {
      // The last: it ended while we waited to be accepted.
      const gone = ["ENOENT", "ECONNREFUSED", "ECONNRESET"].includes(errnoOf(error) ?? "");
      gone ? resolve(undefined) : reject(error);
    });
  });
}

/** Asks or tells a supervisor something; undefined when there is none. */
export async function controlSupervisor(
  path: string,
  request: ControlRequest,
): Promise<ControlState | undefined> {
  const socket = await connectSupervisor(path);
  if (socket === undefined) return undefined;
  try {
    return await new Promise<ControlState | undefined>((resolve) => {
      const reader = new FrameReader();
      socket.on("data", (data: Buffer) => {
        for (const { payload } of reader.push(data)) resolve(decodeJson<ControlState>(payload));
      });
      socket.on("error", () => resolve(undefined));
      socket.on("close", () => resolve(undefined));
      socket.write(encodeJson(frame.control, request));
    });
  } finally {
    socket.destroy();
  }
}
