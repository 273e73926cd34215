/** A folder for one run of CRIU: its log, statistics and pid file. */
import { chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import type { CriuIdentity } from "../criu/session.ts";
import type { EngineContext } from "./context.ts";

export interface WorkFolder extends Disposable {
  path: string;
}

/** Belongs to whoever CRIU runs as; removed when disposed of. */
export function openWorkFolder({ store }: EngineContext, identity: CriuIdentity): WorkFolder {
  const parent = `${store.path}.d`;
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const path = mkdtempSync(`${parent}/.criu-`);
  if (identity.kind === "user") chownSync(path, identity.identity.uid, identity.identity.gid);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
