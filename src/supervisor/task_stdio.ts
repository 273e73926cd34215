/**
 * The stdio of a task of containerd's: named pipes, of which its shim holds the other ends, and behind a terminal's the
 * terminal itself. The shim opens them when the task is made, and keeps them open until it is deleted: then the output
 * has ended.
 */
import { closeSync, constants, openSync } from "node:fs";
import type { Containerd } from "../containerd/connect.ts";
import { type Fifos, makeFifos } from "../containerd/fifos.ts";
import { closeStdin, resizeTerminal } from "../containerd/tasks.ts";
import type { WindowSize } from "../system/pty.ts";
import { Input, type JobStdio, pumpPipe } from "./stdio.ts";

export interface TaskStdio extends Disposable {
  fifos: Fifos;
  stdio: JobStdio;
  /** The shim has the pipes; from now on `containerd` is told of the input's end, and of the terminal's size. */
  taken(containerd: Containerd, id: string): void;
}

/** In a folder that is made in `folder`. */
export function openTaskStdio(folder: string, id: string, terminal: WindowSize | undefined): TaskStdio {
  const fifos = makeFifos(`${folder}/stdio`, id, { terminal: terminal !== undefined });
  // Without waiting for who is to write.
  const outputs = [fifos.stdout, fifos.stderr]
    .filter((path) => path !== "")
    .map((path) => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  // For both: it is there before the shim is, and what is written before is not lost.
  const [stdin, held] = [openSync(fifos.stdin, constants.O_RDWR), openSync(fifos.stdin, constants.O_RDWR)];
  let size = terminal;
  let task: { containerd: Containerd; id: string } | undefined;
  const tell = (what: (containerd: Containerd, id: string) => Promise<void>) => {
    // It may just have ended, and containerd may be away: neither is an error of the job's.
    if (task !== undefined) what(task.containerd, task.id).catch((error) => console.error(`stdio: ${error}`));
  };
  const input = new Input(stdin, terminal === undefined, () => tell(closeStdin));
  const resize = (next: WindowSize) => {
    size = next;
    tell((containerd, of) => resizeTerminal(containerd, of, { rows: next.rows, columns: next.cols }));
  };
  const stdio: JobStdio = {
    fds: [-1, -1, -1],
    terminal: size && (() => ({ rows: 24, cols: 80, ...size, attributes: "" })),
    takeMaster: () => {},
    claim: () => {},
    handedOver: () => {},
    async pump(onStdout, onStderr) {
      const [stdout, stderr] = outputs;
      await Promise.all([
        stdout === undefined ? undefined : pumpPipe(stdout, onStdout),
        stderr === undefined ? undefined : pumpPipe(stderr, onStderr),
      ]);
    },
    input,
    resize,
  };
  return {
    fifos,
    stdio,
    taken(containerd, of) {
      closeSync(held);
      task = { containerd, id: of };
      if (input.ended) tell(closeStdin);
      if (size !== undefined) resize(size);
    },
    [Symbol.dispose]: () => fifos[Symbol.dispose](),
  };
}
