/** The daemon's side: attaching to a supervisor, telling it things. */
import { mkdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { errnoOf } from "../errors.ts";
import { decodeJson, encodeJson, FrameReader, frame } from "./frames.ts";
import type { ControlRequest, ControlState } from "./spec.ts";

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
