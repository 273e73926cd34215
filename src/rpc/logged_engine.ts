/** The engine with a line in the daemon's log for everything that changes something, and for what failed. */
import type { Engine, JobView, ManageOptions, RestoreOptions, RunOptions, Target } from "../engine/api.ts";
import { CedanaError, messageOf } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import { tidyWhenIdle } from "./idle.ts";
import type { RpcLog } from "./log.ts";

/** Arguments and environment of jobs stay out of it: they hold secrets. */
export function loggedEngine(engine: Engine, log: RpcLog): Engine {
  async function logged<T>(
    caller: Identity,
    what: string,
    work: Promise<T>,
    told: (value: T) => string,
  ): Promise<T> {
    const by = `uid ${caller.uid}`;
    try {
      const value = await work;
      log.info(`${what} for ${by}: ${told(value)}`);
      return value;
    } catch (error) {
      const reason = error instanceof CedanaError ? `${error.reason}, ` : "";
      log.warn(`${what} for ${by} failed: ${reason}${messageOf(error)}`);
      throw error;
    } finally {
      tidyWhenIdle();
    }
  }
  const ids = (jids: string[]) => jids.join(", ") || "nothing to do";
  return {
    ...engine,
    run: (options) => logged(options.caller, runOf(options), engine.run(options), ({ job }) => started(job)),
    manage: (options) =>
      logged(options.caller, `manage of ${nameOf(options.target)}`, engine.manage(options), started),
    dump: (options) =>
      logged(
        options.caller,
        `dump of ${nameOf(options.target)}`,
        engine.dump(options),
        ({ checkpoint, image, profile }) =>
          `${checkpoint?.path ?? `image ${image}`} in ${Math.round(profile.totalMs)} ms`,
      ),
    restore: (options) =>
      logged(
        options.caller,
        `restore of ${nameOf(options.source)}`,
        engine.restore(options),
        ({ job, profile }) => `${started(job)} in ${Math.round(profile.totalMs)} ms`,
      ),
    freeze: (options) =>
      logged(options.caller, `freeze of ${nameOf(options.target)}`, engine.freeze(options), processes),
    unfreeze: (options) =>
      logged(options.caller, `unfreeze of ${nameOf(options.target)}`, engine.unfreeze(options), processes),
    kill: (options) => logged(options.caller, "kill", engine.kill(options), ids),
    delete: (options) => logged(options.caller, "delete", engine.delete(options), ids),
    retryCheckpoint: (options) =>
      logged(options.caller, "retry of a checkpoint", engine.retryCheckpoint(options), ({ path }) => path),
    deleteCheckpoint: (options) =>
      logged(options.caller, "delete of a checkpoint", engine.deleteCheckpoint(options), ({ path }) => path),
  };
}

function nameOf(what: Target | ManageOptions["target"] | RestoreOptions["source"]): string {
  if ("jid" in what) return `job ${what.jid}`;
  if ("pid" in what) return `process ${what.pid}`;
  if ("path" in what) return what.path;
  const { type, id, root, namespace } = what.container;
  const where = root ?? namespace;
  return `${type} container ${id}${where === undefined ? "" : ` in ${where}`}`;
}

/** A process's words stay out of it; what a container is made of tells enough. */
function runOf({ type, container }: RunOptions): string {
  const made = container?.bundle ?? container?.image ?? container?.rootfs;
  return made === undefined ? "run" : `run of ${type} ${made}`;
}

function started({ jid, container, process }: JobView): string {
  return `job ${jid}${container === undefined ? "" : `, container ${container.id}`}, pid ${process.pid}`;
}

function processes(pids: number[]): string {
  return pids.length === 1 ? "1 process" : `${pids.length} processes`;
}
