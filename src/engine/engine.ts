/** The engine: every verb, behind one interface. */
import { checkHealth } from "../health/check.ts";
import type { Engine } from "./api.ts";
import { attach } from "./attach.ts";
import {
  findCheckpoint,
  inspectCheckpoint,
  listCheckpoints,
  removeCheckpointOf,
  retryCheckpoint,
  verify,
} from "./checkpoints.ts";
import type { EngineContext } from "./context.ts";
import { dump } from "./dump.ts";
import { freeze, unfreeze } from "./freeze.ts";
import { deleteJobs, getJob, killJobs, listJobs } from "./jobs.ts";
import { manage } from "./manage.ts";
import { query } from "./query.ts";
import { restore } from "./restore.ts";
import { run } from "./run.ts";

export function createEngine(context: EngineContext): Engine {
  return {
    run: async (options) => {
      const { value, profile } = await run(context, options);
      return { job: value, profile };
    },
    manage: (options) => manage(context, options),
    dump: async (options) => {
      const { value, profile } = await dump(context, options);
      return { ...value, profile };
    },
    restore: async (options) => {
      const { value, profile } = await restore(context, options, {
        foreground: false,
        start: (spec) => context.supervisors.start(spec),
      });
      return { job: value, profile };
    },
    watch: async function* ({ caller, operation: id, signal }) {
      const operation = await context.operations.find({ id, caller, signal });
      yield* operation.watch(signal);
    },
    cancel: async ({ caller, operation: id, signal }) => {
      const operation = await context.operations.find({ id, caller, signal });
      operation.cancel();
      await operation.over(signal);
    },
    freeze: async ({ caller, target }) => freeze(context, caller, target),
    unfreeze: async ({ caller, target }) => unfreeze(context, caller, target),
    attach: (options) => attach(context, options),
    get: async ({ caller, target }) => getJob(context, caller, target),
    list: async (options) => listJobs(context, options),
    kill: (options) => killJobs(context, options),
    delete: (options) => deleteJobs(context, options),
    checkpoint: async ({ caller, id, inspect }) => {
      const checkpoint = findCheckpoint(context, caller, id);
      if (!inspect) return { checkpoint };
      return { checkpoint, content: await inspectCheckpoint(context, caller, checkpoint) };
    },
    checkpoints: async ({ caller, jid }) => listCheckpoints(context, caller, jid),
    deleteCheckpoint: async ({ caller, id }) => {
      const checkpoint = findCheckpoint(context, caller, id);
      await removeCheckpointOf(context, caller, checkpoint);
      return checkpoint;
    },
    verify: (options) => verify(context, options),
    retryCheckpoint: async ({ caller, id }) => retryCheckpoint(context, caller, id),
    query: async (options) => query(context, options),
    health: ({ full }) => checkHealth({ config: context.config, full }),
  };
}
