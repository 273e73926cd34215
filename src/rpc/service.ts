/** Every RPC: who calls, what they ask (checked), the engine's answer. No decision is taken here. */
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { Engine } from "../engine/api.ts";
import type { DaemonService } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import { relayAttach } from "./attach.ts";
import { callerOf } from "./caller.ts";
import * as answer from "./convert.ts";
import { relayProgress } from "./progress.ts";
import * as asked from "./requests.ts";
import * as is from "./validate.ts";

/** `draining` ends what would otherwise never end: watching a job. */
export function daemonService(engine: Engine, draining: AbortSignal): ServiceImpl<typeof DaemonService> {
  return {
    async dump(request, context) {
      const { profile, ...dumped } = await engine.dump({ ...asked.dump(request), ...from(context) });
      return { ...answer.dumped(dumped), profile: answer.profile(request.profiling, profile) };
    },
    async restore(request, context) {
      const { job, profile } = await engine.restore({ ...asked.restore(request), ...from(context) });
      return { job: answer.job(job), profile: answer.profile(request.profiling, profile) };
    },
    watchOperation(request, context) {
      return relayProgress(engine, { operation: asked.operation(request), ...from(context) });
    },
    async cancelOperation(request, context) {
      await engine.cancel({ operation: asked.operation(request), ...from(context) });
      return {};
    },
    async freeze(request, context) {
      return {
        pids: await engine.freeze({ caller: callerOf(context), target: asked.target(request.target) }),
      };
    },
    async unfreeze(request, context) {
      return {
        pids: await engine.unfreeze({ caller: callerOf(context), target: asked.target(request.target) }),
      };
    },
    async run(request, context) {
      const { job, profile } = await engine.run({ ...asked.run(request), caller: callerOf(context) });
      return { job: answer.job(job), profile: answer.profile(request.profiling, profile) };
    },
    async manage(request, context) {
      const job = await engine.manage({ ...asked.manage(request), ...from(context) });
      return { job: answer.job(job) };
    },
    attach(requests, context) {
      const signal = AbortSignal.any([context.signal, draining]);
      return relayAttach({ engine, requests, caller: callerOf(context), signal });
    },
    async get(request, context) {
      const target = asked.target(request.target);
      return { job: answer.job(await engine.get({ caller: callerOf(context), target })) };
    },
    async list({ all }, context) {
      return { jobs: (await engine.list({ caller: callerOf(context), all })).map(answer.job) };
    },
    async kill(request, context) {
      return { jids: await engine.kill({ ...asked.kill(request), caller: callerOf(context) }) };
    },
    async delete(request, context) {
      const { checkpoints } = request;
      return {
        jids: await engine.delete({ ...asked.jobs(request), checkpoints, caller: callerOf(context) }),
      };
    },
    async getCheckpoint({ id, inspect }, context) {
      const asked = { caller: callerOf(context), id: is.checkpointId("id", id), inspect };
      const { checkpoint, content } = await engine.checkpoint(asked);
      return { checkpoint: answer.checkpoint(checkpoint), content: content && answer.content(content) };
    },
    async listCheckpoints(request, context) {
      const jid = is.optional(request.jid, (jid) => is.jid("jid", jid));
      const checkpoints = await engine.checkpoints({ caller: callerOf(context), jid });
      return { checkpoints: checkpoints.map(answer.checkpoint) };
    },
    async deleteCheckpoint({ id }, context) {
      const asked = { caller: callerOf(context), id: is.checkpointId("id", id) };
      return { checkpoint: answer.checkpoint(await engine.deleteCheckpoint(asked)) };
    },
    async verifyCheckpoint(request, context) {
      const { path, files, bytes } = await engine.verify({ ...asked.verify(request), ...from(context) });
      return { path, files: BigInt(files), bytes: BigInt(bytes) };
    },
    async retryCheckpoint({ id }, context) {
      const asked = { caller: callerOf(context), id: is.checkpointId("id", id) };
      return { checkpoint: answer.checkpoint(await engine.retryCheckpoint(asked)) };
    },
    async query(request, context) {
      const found = await engine.query({ ...asked.query(request), caller: callerOf(context) });
      return {
        processes: found.processes.map(answer.processInfo),
        containers: found.containers.map(answer.containerInfo),
        pods: found.pods.map(answer.pod),
        warnings: found.warnings,
      };
    },
    async healthCheck({ full }, context) {
      return { items: (await engine.health({ caller: callerOf(context), full })).map(answer.healthItem) };
    },
  };
}

/** Who calls, and a signal that aborts when they hang up, their deadline passes or the daemon's patience ends. */
function from(context: HandlerContext) {
  return { caller: callerOf(context), signal: context.signal };
}
