/** What an image says of how it is run (OCI image-spec, config.md); docker's configuration has the same form. */
import { type Json, objectIn, textIn, textsIn } from "../system/json.ts";

export interface ImageConfig {
  entrypoint: string[];
  cmd: string[];
  /** "NAME=value" */
  env: string[];
  /** "" for /. */
  workingDir: string;
  /** "user", "uid", "user:group" and so on; "" for root. */
  user: string;
  stopSignal: string;
}

export function imageConfig(configJson: Json): ImageConfig {
  const config = objectIn(configJson, "config");
  return {
    entrypoint: textsIn(config, "Entrypoint"),
    cmd: textsIn(config, "Cmd"),
    env: textsIn(config, "Env"),
    workingDir: textIn(config, "WorkingDir") ?? "",
    user: textIn(config, "User") ?? "",
    stopSignal: textIn(config, "StopSignal") ?? "SIGTERM",
  };
}
