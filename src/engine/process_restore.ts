/** restore, of a process: what its supervisor needs to have CRIU bring it back (supervisor/start_restore.ts). */
import type { Manifest } from "../archive/manifest.ts";
import { installHook } from "../criu/hook.ts";
import { readPipeData } from "../criu/images/pipe_data.ts";
import type { Replaced, RestoreStart } from "../supervisor/spec.ts";
import type { RestoreOptions } from "./api.ts";
import type { EngineContext } from "./context.ts";
import type { Images } from "./images.ts";
import { replacedStdio } from "./restore_plan.ts";

export async function restoreProcessStart(
  { config }: EngineContext,
  { criu: { leaveStopped, ...choices }, output }: RestoreOptions,
  made: {
    manifest: Manifest;
    images: Images;
    workDir: string;
    criu: string[];
    identity: RestoreStart["criuIdentity"];
  },
): Promise<RestoreStart> {
  const { manifest, criu, identity, images, workDir } = made;
  const { tty } = manifest;
  const stdio = replacedStdio(manifest, output);
  return {
    kind: "restore",
    pid: manifest.pid,
    criu,
    criuIdentity: identity,
    imagesDir: images.dir,
    workDir,
    verdict: images.verdict?.paths,
    choices: {
      ...choices,
      // A CRIU with a user's rights cannot open our pipes: its supervisor asks in its place.
      actionScript:
        images.verdict === undefined || identity.kind === "user" ? undefined : installHook(workDir),
      stream: images.stream,
      shellJob: choices.shellJob ?? manifest.shellJob,
      // What a CRIU with few rights dumped, or restores, has no cgroups.
      manageCgroups: identity.kind === "user" || manifest.unprivileged ? "ignore" : "",
      logLevel: config.criu.log_level,
    },
    leaveStopped: leaveStopped ?? false,
    stdio,
    unreadInput: await unreadInput(images, stdio),
    terminal: tty === null ? undefined : { key: tty.key, attributes: tty.attributes },
    stdinEnded: manifest.stdinEnded,
  };
}

/** What the pipe that was its stdin still held, when it gets another one. */
async function unreadInput({ dir, small }: Images, stdio: Replaced[]): Promise<string> {
  const stdin = stdio.find(({ fd, file }) => fd === 0 && file === undefined);
  if (stdin === undefined) return "";
  await small;
  return readPipeData(dir, stdin.key).toBase64();
}
