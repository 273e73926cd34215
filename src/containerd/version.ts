/** Which containerd is new enough. */
import { CedanaError } from "../errors.ts";

/** The oldest whose API has all that is asked for here, and that distributions still ship. */
const OLDEST = { major: 1, minor: 6 };

/** Why that version cannot be used; undefined when it can. Builds without a release number are believed. */
export function versionTrouble(version: string): CedanaError | undefined {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version)?.map(Number) ?? [];
  if (major === undefined || minor === undefined || (major === 0 && minor === 0)) return undefined;
  if (major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor)) return undefined;
  return new CedanaError({
    reason: "NOT_SUPPORTED",
    message: `containerd ${version} is too old`,
    hint: `update it to ${OLDEST.major}.${OLDEST.minor} or newer`,
  });
}
