/** Job ids: those people choose, and the adjective_surnameN we choose for them. */
import { CedanaError } from "../errors.ts";
import { adjectives, surnames } from "./words.ts";

/** Ids become file names and table cells: no separator, nothing a shell expands, no leading dash or dot. */
const pattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** The id itself, or INVALID_ARGUMENT. */
export function parseJobId(text: string): string {
  if (pattern.test(text)) return text;
  throw new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: `${JSON.stringify(text)} cannot be a job id`,
    hint: "use 1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
  });
}

function pick(words: readonly string[]): string {
  return words[Math.floor(Math.random() * words.length)] ?? "";
}

/** A new id such as `used_gould8` for which `isTaken` answers false. The number grows when most names are taken. */
export function generateJobId(isTaken: (jid: string) => boolean): string {
  for (let tries = 0; ; tries++) {
    const limit = 10 ** (1 + Math.floor(tries / 20));
    const jid = `${pick(adjectives)}_${pick(surnames)}${Math.floor(Math.random() * limit)}`;
    if (!isTaken(jid)) return jid;
  }
}
