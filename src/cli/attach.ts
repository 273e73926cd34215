/**
 * This terminal and a job:
 *
 *   stdin, window size ──▶ Outbox ──▶ Attach ──▶ job
 *   stdout, stderr     ◀───────────── Attach ◀── job, apart
 *
 * Whatever ends it (the job, the person, the daemon), the terminal is as it was before.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { CedanaError, type Reason } from "../errors.ts";
import type { AttachRequestSchema, TargetSchema } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import type { JobExit } from "../gen/cedana/daemon/v1/job_pb.ts";
import type { DaemonClient } from "../rpc/client.ts";
import { fromConnectError } from "../rpc/errors.ts";
import type { Io } from "./io.ts";
import { Keyboard } from "./keyboard.ts";
import { Outbox, writeOut } from "./relay.ts";
import { terminalSize } from "./requests.ts";

interface AttachCall {
  daemon: DaemonClient;
  target: MessageInitShape<typeof TargetSchema>;
  noStdin?: boolean;
  io: Io;
}

export type AttachMessage = NonNullable<MessageInitShape<typeof AttachRequestSchema>["message"]>;

/** Resolves with the job's exit status, or 0 after detaching. */
export async function attach({ daemon, target, noStdin = false, io }: AttachCall): Promise<number> {
  const outbox = new Outbox<{ message: AttachMessage }>();
  const left = new AbortController();
  using keyboard = new Keyboard({
    send: (message) => outbox.push({ message }),
    detach: () => left.abort(),
  });
  let jid: string | undefined;
  let exit: JobExit | undefined;
  void outbox.push({ message: { case: "start", value: { target, noStdin, terminal: terminalSize() } } });
  try {
    for await (const { message } of daemon.attach(outbox, { signal: left.signal })) {
      if (message.case === "stdout") await writeOut(process.stdout, message.value);
      else if (message.case === "stderr") await writeOut(process.stderr, message.value);
      else if (message.case === "exit") exit = message.value;
      else if (message.case === "started") {
        jid = message.value.jid;
        keyboard.connect({ tty: message.value.tty, stdin: !noStdin });
      }
    }
  } catch (error) {
    if (!left.signal.aborted) throw lost(fromConnectError(error), jid);
  } finally {
    outbox.close();
  }
  keyboard[Symbol.dispose]();
  if (exit !== undefined) return ended(exit, jid ?? "", io);
  if (!left.signal.aborted) throw lost(undefined, jid);
  io.err(
    `detached from ${jid ?? "the job"}, which runs on; attach again with: cedana job attach ${jid ?? "JOB"}\n`,
  );
  return 0;
}

function ended({ status, checkpointed }: JobExit, jid: string, io: Io): number {
  if (checkpointed)
    io.err(`job ${jid} was checkpointed; restore it with: cedana restore job --attach ${jid}\n`);
  return status;
}

/** What a connection that breaks off looks like from here; that nobody here cancelled is known by then. */
const breaks: readonly Reason[] = ["DAEMON_NOT_RUNNING", "SHUTTING_DOWN", "CANCELLED"];

/** A stream that ends without an exit is the daemon's end, not the job's: supervisors outlive the daemon. */
function lost(error: CedanaError | undefined, jid: string | undefined): CedanaError {
  if (error !== undefined && (jid === undefined || !breaks.includes(error.reason))) return error;
  return new CedanaError({
    reason: "DAEMON_NOT_RUNNING",
    message: `lost the daemon; job ${jid ?? ""} runs on`,
    hint: `when a daemon runs again: cedana job attach ${jid ?? "JOB"}`,
    cause: error,
  });
}
