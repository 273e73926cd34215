/** Configuration for what is not built yet: refused in one line rather than ignored. */
import type { Config } from "../config/schema.ts";
import { CedanaError } from "../errors.ts";

export function refuseUnbuilt({ checkpoint, db, metrics }: Config): void {
  const asked: [string, boolean][] = [
    ["db.remote", db.remote],
    ["metrics", metrics],
    [`checkpoint.dir at the Cedana endpoint (${checkpoint.dir})`, checkpoint.dir.startsWith("cedana://")],
  ];
  const [first] = asked.find(([, is]) => is) ?? [];
  if (first === undefined) return;
  throw new CedanaError({
    reason: "NOT_SUPPORTED",
    message: `not supported yet: ${first}`,
    hint: "take it out of the configuration and the environment",
  });
}
