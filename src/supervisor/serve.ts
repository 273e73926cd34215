/** The supervisor's socket: attach and control. Its folder lets only the daemon's user in. */
import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { WindowSize } from "../system/pty.ts";
import { decodeJson, encodeJson, type Frame, FrameReader, frame } from "./frames.ts";
import type { Output } from "./output.ts";
import type { ControlRequest, ControlState } from "./spec.ts";
import type { JobStdio } from "./stdio.ts";

export interface Hello {
  noStdin: boolean;
  terminal?: WindowSize;
}

export interface Served {
  output: Output;
  stdio: JobStdio;
  jid: string;
  /** The job's process, once there is one. */
  process?: { pid: number; startTime: string };
  log?: string;
  /** A dump is about to end the job on purpose. */
  onCheckpointed: () => void;
}

export async function serve(path: string, served: Served): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer((socket) => accept(socket, served));
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));
  return server;
}

function accept(socket: Socket, served: Served): void {
  const reader = new FrameReader();
  let noStdin = true;
  const handle = ({ kind, payload }: Frame) => {
    switch (kind) {
      case frame.hello: {
        const hello = decodeJson<Hello>(payload);
        noStdin = hello.noStdin;
        if (hello.terminal !== undefined) served.stdio.resize(hello.terminal);
        socket.write(
          encodeJson(frame.started, { jid: served.jid, tty: served.stdio.terminal !== undefined }),
        );
        served.output.attach(socket);
        break;
      }
      case frame.stdin:
        if (noStdin) break;
        served.stdio.input.write(payload);
        if (served.stdio.input.pending > 1024 * 1024) pauseUntilTaken(socket, served);
        break;
      case frame.stdinEnd:
        if (!noStdin) served.stdio.input.end();
        break;
      case frame.resize:
        served.stdio.resize(decodeJson<WindowSize>(payload));
        break;
      case frame.control:
        control(socket, decodeJson<ControlRequest>(payload), served);
        break;
    }
  };
  socket.on("data", (data: Buffer) => {
    try {
      for (const next of reader.push(data)) handle(next);
    } catch (error) {
      console.error(`attach: ${error}`);
      socket.destroy();
    }
  });
  // A client that vanishes is no trouble of ours: "close" follows, and the output lets go of it.
  socket.on("error", () => socket.destroy());
}

function pauseUntilTaken(socket: Socket, served: Served): void {
  socket.pause();
  const timer = setInterval(() => {
    if (served.stdio.input.pending > 0) return;
    clearInterval(timer);
    socket.resume();
  }, 20);
}

function control(socket: Socket, request: ControlRequest, served: Served): void {
  if (request.kind === "checkpointed") served.onCheckpointed();
  const { process, log, stdio } = served;
  const state: ControlState = { process, log, stdinEnded: stdio.input.ended, terminal: stdio.terminal?.() };
  socket.write(encodeJson(frame.state, state));
}
