/** Names of namespaces, containers and execs: containerd uses them as folder names, and we as header values. */
import { CedanaError } from "../errors.ts";

const MAX_LENGTH = 76;

/** Throws INVALID_ARGUMENT for what containerd would refuse. */
export function checkIdentifier(what: string, text: string): void {
  if (text.length <= MAX_LENGTH && /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/.test(text)) return;
  throw new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: `"${text}" cannot be a ${what} of containerd`,
    hint: `use at most ${MAX_LENGTH} letters and digits, with single . _ or - between them`,
  });
}
