/** attach: relays between a client and a job's supervisor; of a job that has ended, its last output and its end. */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { CedanaError, errnoOf } from "../errors.ts";
import { jobFolder, tailPath } from "../jobs/folder.ts";
import type { JobExit, JobRecord } from "../jobs/types.ts";
import { connectSupervisor } from "../supervisor/client.ts";
import { decodeJson, encodeFrame, encodeJson, type Frame, FrameReader, frame } from "../supervisor/frames.ts";
import { findJob, findTarget, halted } from "./access.ts";
import type { AttachInput, AttachOptions, AttachOutput } from "./api.ts";
import { type EngineContext, socketPath } from "./context.ts";
import { viewJob } from "./view.ts";

export async function* attach(context: EngineContext, options: AttachOptions): AsyncGenerator<AttachOutput> {
  const job = await findAttachable(context, options);
  const socket = await connectSupervisor(socketPath(context, job.jid));
  if (socket === undefined) {
    yield* replay(context, job);
    return;
  }
  using _closing = { [Symbol.dispose]: () => socket.destroy() };
  options.signal?.addEventListener("abort", () => socket.destroy());
  socket.write(encodeJson(frame.hello, { noStdin: options.noStdin, terminal: options.terminal }));
  void relayInput(socket, options.input);
  const reader = new FrameReader();
  let started = false;
  for await (const data of untilReset(socket)) {
    for (const next of reader.push(data)) {
      const output = toOutput(next);
      started = true;
      yield output;
      if (output.kind === "exit") return;
    }
  }
  if (options.signal?.aborted) return;
  // The job ended while we came: its supervisor hung up without a word.
  if (!started) {
    yield* replay(context, job);
    return;
  }
  if (await isThere(socketPath(context, job.jid))) {
    throw new CedanaError({
      reason: "CANCELLED",
      message: `job ${job.jid} went on without this client, which took no output for too long`,
      hint: `attach again with: cedana job attach ${job.jid}`,
    });
  }
  const { exit } = await ended(context, job);
  if (exit !== undefined) {
    yield { kind: "exit", exit };
    return;
  }
  const message = `the supervisor of job ${job.jid} is gone: its end cannot be told`;
  throw new CedanaError({
    reason: "INTERNAL",
    message,
    hint: `see ${jobFolder(context.store.path, job.jid)}/supervisor.log`,
  });
}

/** A supervisor that ends with something of ours unread resets the connection: that is an end like any other. */
async function* untilReset(socket: Socket): AsyncGenerator<Uint8Array> {
  try {
    yield* socket;
  } catch (error) {
    if (errnoOf(error) !== "ECONNRESET" && errnoOf(error) !== "EPIPE") throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  const socket = await connectSupervisor(path);
  socket?.destroy();
  return socket !== undefined;
}

async function findAttachable(context: EngineContext, { caller, target }: AttachOptions): Promise<JobRecord> {
  const found = "jid" in target ? undefined : await findTarget(context, caller, target);
  const job = "jid" in target ? findJob(context, caller, target.jid) : found?.job;
  if (job === undefined) {
    throw new CedanaError({
      reason: "NOT_ATTACHABLE",
      message: `process ${found?.stat.pid} is no job of ours: its stdin and output are not held here`,
      hint: "attach works on jobs started or restored with --attach or --attachable",
    });
  }
  if (job.output.kind === "attachable") return job;
  const hint = job.output.kind === "log" ? `read its log with: cedana job logs -f ${job.jid}` : undefined;
  throw new CedanaError({ reason: "NOT_ATTACHABLE", message: `job ${job.jid} is not attachable`, hint });
}

async function relayInput(socket: Socket, input: AsyncIterable<AttachInput>): Promise<void> {
  try {
    for await (const item of input) {
      const flowing = socket.write(encodeInput(item));
      if (!flowing && !socket.destroyed)
        await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
    }
  } catch {
    // The client's side of the stream broke: it has detached, and the job runs on.
    socket.destroy();
  }
}

function encodeInput(item: AttachInput): Uint8Array {
  switch (item.kind) {
    case "stdin":
      return encodeFrame(frame.stdin, item.data);
    case "eof":
      return encodeFrame(frame.stdinEnd, new Uint8Array());
    case "resize":
      return encodeJson(frame.resize, item.size);
  }
}

function toOutput({ kind, payload }: Frame): AttachOutput {
  switch (kind) {
    case frame.started:
      return { kind: "started", ...decodeJson<{ jid: string; tty: boolean }>(payload) };
    case frame.stdout:
      return { kind: "stdout", data: payload };
    case frame.stderr:
      return { kind: "stderr", data: payload };
    case frame.exit:
      return { kind: "exit", exit: decodeJson<JobExit>(payload) };
    default:
      throw new CedanaError({
        reason: "INTERNAL",
        message: `the supervisor sent an unknown frame "${kind}"`,
      });
  }
}

async function* replay(context: EngineContext, job: JobRecord): AsyncGenerator<AttachOutput> {
  const { exit } = await ended(context, job);
  if (exit === undefined) throw halted(job);
  yield { kind: "started", jid: job.jid, tty: job.tty };
  for (const next of new FrameReader().push(readTail(context, job))) yield toOutput(next);
  yield { kind: "exit", exit };
}

/** A supervisor closes its socket a moment before it tells how the job ended. */
async function ended(context: EngineContext, job: JobRecord): Promise<{ exit?: JobExit }> {
  for (let tries = 0; tries < 50; tries++) {
    const { exit } = viewJob(context, job);
    if (exit !== undefined) return { exit };
    await Bun.sleep(10);
  }
  return {};
}

function readTail({ store }: EngineContext, job: JobRecord): Uint8Array {
  try {
    return readFileSync(tailPath(jobFolder(store.path, job.jid)));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return new Uint8Array();
    throw error;
  }
}
